"""Privacy in the API (docs/api.md, "Privacy"): the export, erasure, retention and statistics. The
forms are on /account and /account/delete."""

from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field
from starlette.background import BackgroundTask
from starlette.responses import Response, StreamingResponse
from typing_extensions import TypedDict

from app import limits, web
from app.accounts.session import SignedIn
from app.privacy import erasure, export, retention, statistics
from app.schema import InstantText
from app.web import Call, Request, security_log

# How long the rest of a large erasure may take after its response.
_REST_SECONDS = 600


class ErasureRequest(BaseModel):
    password: str = Field(max_length=1000)


@web.may("export_own_data")
async def export_own(request: Request, account: SignedIn) -> Response:
    state, now = request.state, request.state["now"]()
    await state["limiter"].hit(
        limits.EXPORTS_OF_ACCOUNT, str(account.account_id), "You’ve exported your data often today."
    )
    await state["write_behind"].flush()
    file = await export.write(state["pool"], account.account_id, now=now)
    name = f"instainstru-{now:%Y-%m-%d}.json"
    return StreamingResponse(
        export.chunks(file),
        media_type="application/json",
        headers={
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


@web.may("delete_own_account")
async def erase_own(request: Request, account: SignedIn) -> Response:
    body, state = await web.read(request, ErasureRequest), request.state
    subject = str(account.account_id)
    await state["limiter"].hit(limits.PASSWORD_FAILURES_OF_ACCOUNT, subject)
    await state["write_behind"].flush()
    await erasure.erase_own(state["pool"], account.account_id, body.password, now=state["now"]())
    await state["limiter"].forget((limits.PASSWORD_FAILURES_OF_ACCOUNT, subject))
    response = web.done(request, None, status=204, redirect_to="/goodbye")
    await _complete(request, response, account.account_id)
    return web.clear_session_cookie(request, response)


@web.may("manage_accounts")
async def erase_account(request: Request, account: SignedIn) -> Response:
    account_id, state = web.path_id(request), request.state
    await erasure.erase(state["pool"], account_id, now=state["now"]())
    response = web.done(request, None, status=204, redirect_to="/admin/accounts")
    await _complete(request, response, account_id, actor=str(account.account_id))
    return response


async def _complete(request: Request, response: Response, account_id: UUID, **fields: str) -> None:
    """Updates sockets and boards, and completes the erasure, after the response if it is large.
    `fields` go to the security log."""
    state = request.state
    security_log.record(request, "account_erased", account_id, **fields)
    state["sessions_ended"](account_id)
    state["wake_up"](account_id)  # drops an instructor's public answers at once
    progress = await erasure.complete(state["pool"], account_id, now=state["now"])
    state["wake_up"](*progress.calendars)
    if not progress.finished:
        response.background = BackgroundTask(_continue, request, account_id)


async def _continue(request: Request, account_id: UUID) -> None:
    state = request.state
    progress = await erasure.complete(
        state["pool"], account_id, now=state["now"], seconds=_REST_SECONDS
    )
    state["wake_up"](*progress.calendars)


@web.may("view_own_profile")
async def show_retention(request: Request, _: SignedIn) -> Response:
    return web.json(await retention.overview(request.state["pool"]))


@web.may("manage_accounts")
async def run_retention(request: Request, _: SignedIn) -> Response:
    deleted = await retention.run_now(request.state["pool"], now=request.state["now"]())
    return web.done(request, {"deleted": deleted}, redirect_to="/admin")


@web.may("view_system_analytics")
async def show_statistics(request: Request, _: SignedIn) -> Response:
    return web.json(await statistics.read(request.state["pool"]))


class ExportJson(TypedDict):
    """Everything that is stored about the account: besides these fields, a list for each kind of
    data."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]  # pydantic's attribute

    exported_at: InstantText
    account: dict[str, Any]


class DeletedJson(TypedDict):
    """The number of deleted rows of each kind."""

    deleted: dict[str, int]


routes = [
    Call(
        "GET",
        "/api/privacy/export",
        export_own,
        "Export your data",
        returns=ExportJson,
    ),
    Call(
        "POST",
        "/api/privacy/erasure",
        erase_own,
        "Delete your account",
        description="Cancels upcoming lessons. This can’t be undone.",
        body=ErasureRequest,
        form=True,
        status=204,
    ),
    Call(
        "POST",
        "/api/privacy/accounts/{id}/erasure",
        erase_account,
        "Delete an account",
        form=True,
        status=204,
    ),
    Call(
        "GET",
        "/api/privacy/retention",
        show_retention,
        "Show the retention rules",
        returns=retention.OverviewJson,
    ),
    Call(
        "POST",
        "/api/privacy/retention/run",
        run_retention,
        "Run the retention now",
        form=True,
        returns=DeletedJson,
    ),
    Call(
        "GET",
        "/api/privacy/statistics",
        show_statistics,
        "Count accounts and rows",
        returns=statistics.StatisticsJson,
    ),
]
