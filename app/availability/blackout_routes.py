"""The calls for blackouts: days without lessons (docs/api.md, "Availability")."""

from pydantic import BaseModel, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import blackout
from app.availability.requests import OF_DATE, calendar_page, path_date
from app.schema import DateText
from app.web import Call, Request
from app.wire import LocalDate


class BlackoutEdit(BaseModel):
    first: LocalDate
    last: LocalDate | None = None
    reason: str = Field("", max_length=500)


@web.may("manage_blackouts")
async def list_blackouts(request: Request, account: SignedIn) -> Response:
    query = web.query(request, wire.Paging)
    position = query.position(wire.local_date)
    rows = await blackout.list_of(
        request.state["pool"],
        account.account_id,
        after=position[0] if position else None,
        limit=query.limit + 1,
    )
    return web.json(
        wire.listing(
            rows,
            query,
            lambda row: {"date": row.day.isoformat(), "reason": row.reason},
            lambda row: (row.day,),
        )
    )


@web.may("manage_blackouts")
async def add_blackouts(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, BlackoutEdit)
    last = body.last or body.first
    state = request.state
    await blackout.add(
        state["pool"], account.account_id, body.first, last, reason=body.reason, now=state["now"]()
    )
    state["wake_up"](account.account_id)
    content = {"first": body.first.isoformat(), "last": last.isoformat(), "reason": body.reason}
    return web.done(request, content, status=201, redirect_to=calendar_page(body.first))


@web.may("manage_blackouts")
async def remove_blackout(request: Request, account: SignedIn) -> Response:
    on = path_date(request)
    await blackout.remove(request.state["pool"], account.account_id, on)
    request.state["wake_up"](account.account_id)
    return web.done(request, None, status=204, redirect_to=calendar_page(on))


class BlackoutJson(TypedDict):
    date: DateText
    reason: str


class BlackoutsJson(TypedDict):
    first: DateText
    last: DateText
    reason: str


routes = [
    Call(
        "GET",
        "/api/availability/blackouts",
        list_blackouts,
        "List blackouts",
        query=wire.Paging,
        returns=wire.Listing[BlackoutJson],
    ),
    Call(
        "POST",
        "/api/availability/blackouts",
        add_blackouts,
        "Add blackouts",
        body=BlackoutEdit,
        form=True,
        returns=BlackoutsJson,
        status=201,
    ),
    Call(
        "DELETE",
        "/api/availability/blackouts/{date}",
        remove_blackout,
        "Remove a blackout",
        parameters=OF_DATE,
        form=True,
        status=204,
        refusals=(refusal.ValidationError,),
    ),
]
