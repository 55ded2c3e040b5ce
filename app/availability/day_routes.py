"""The calls for days and single ranges (docs/api.md, "Availability")."""

from typing import Any, Literal, NotRequired

from pydantic import BaseModel, Field, model_validator
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web
from app.accounts.session import SignedIn
from app.availability import day, gaps
from app.availability.day import DayConflict, DayJson
from app.availability.requests import (
    OF_DATE,
    DayRanges,
    TimeRange,
    Version,
    calendar_page,
    in_minutes,
    path_date,
)
from app.availability.week import RangeJson
from app.schema import DateText
from app.web import Call, Request
from app.wire import LocalDate


class DayEdit(BaseModel):
    ranges: DayRanges
    version: Version = None


class DayForm(DayEdit):
    @model_validator(mode="before")
    @classmethod
    def _read_rows(cls, fields: dict[str, str]) -> Any:
        """A form has `ranges.0.start`, `ranges.0.end`, …; empty rows are ignored."""
        return fields | {"ranges": web.form_rows(fields, "ranges", "start", "end")}


class RangeChange(TimeRange):
    date: LocalDate


class BulkChange(RangeChange):
    action: Literal["add", "remove"]


class Bulk(BaseModel):
    changes: list[Any] = Field(min_length=1, max_length=day.MAX_CHANGES)


class DateQuery(BaseModel):
    date: LocalDate


@web.may("manage_availability")
async def show_day(request: Request, account: SignedIn) -> Response:
    current = await day.read(request.state["pool"], account.account_id, path_date(request))
    return web.json(day.as_json(current))


@web.may("manage_availability")
async def replace_day(request: Request, account: SignedIn) -> Response:
    on = path_date(request)
    edit = await web.read(request, DayForm if web.is_form(request) else DayEdit)
    state = request.state
    saved = await day.replace(
        state["pool"],
        account.account_id,
        on,
        in_minutes(edit.ranges),
        base=edit.version,
        now=state["now"](),
    )
    state["wake_up"](account.account_id)
    return web.done(request, day.as_json(saved), redirect_to=f"{calendar_page(on)}#day-{on}")


@web.may("manage_availability")
async def add_range(request: Request, account: SignedIn) -> Response:
    return await _change_range(request, account, "add", await web.read(request, RangeChange))


@web.may("manage_availability")
async def remove_range(request: Request, account: SignedIn) -> Response:
    if request.query_params:
        change = web.query(request, RangeChange)
    else:
        change = await web.read(request, RangeChange)
    return await _change_range(request, account, "remove", change)


async def _change_range(
    request: Request, account: SignedIn, action: Literal["add", "remove"], change: RangeChange
) -> Response:
    state = request.state
    changed = await day.change(
        state["pool"], account.account_id, [_change(action, change)], now=state["now"]()
    )
    for failure in changed.failures.values():
        raise refusal.ValidationError(failure.detail, field="date")
    state["wake_up"](account.account_id)
    on = change.date.isoformat()
    return web.json({"date": on, "ranges": changed.days[on], "version": changed.version})


@web.may("manage_availability")
async def change_in_bulk(request: Request, account: SignedIn) -> Response:
    changes, failures, changed = await _bulk(request, account, preview=False)
    if failures:
        raise refusal.ValidationError(
            f"{len(failures)} of {changes} changes aren’t possible, so none was saved.",
            failures=[_failure(index, failures[index]) for index in sorted(failures)],
        )
    request.state["wake_up"](account.account_id)
    results = [{"index": index, "ok": True} for index in range(changes)]
    return web.json({"results": results, "version": changed.version})


@web.may("manage_availability")
async def preview_bulk(request: Request, account: SignedIn) -> Response:
    changes, failures, changed = await _bulk(request, account, preview=True)
    results = [
        {**_failure(index, failures[index]), "ok": False}
        if index in failures
        else {"index": index, "ok": True}
        for index in range(changes)
    ]
    return web.json({"results": results, "days": changed.days})


async def _bulk(
    request: Request, account: SignedIn, *, preview: bool
) -> tuple[int, dict[int, refusal.Refusal], day.Changed]:
    """The number of changes, what prevents each impossible one, by its index, and the outcome.
    Nothing is stored if one is impossible."""
    body = await web.read(request, Bulk)
    failures: dict[int, refusal.Refusal] = {}
    changes: list[tuple[int, day.Change]] = []
    for index, item in enumerate(body.changes):
        try:
            change = web.check(BulkChange, item)
        except refusal.ValidationError as error:
            failures[index] = error
        else:
            changes.append((index, _change(change.action, change)))
    changed = await day.change(
        request.state["pool"],
        account.account_id,
        [change for _, change in changes],
        preview=preview or bool(failures),
        now=request.state["now"](),
    )
    failures |= {changes[nth][0]: error for nth, error in changed.failures.items()}
    return len(body.changes), failures, changed


def _failure(index: int, error: refusal.Refusal) -> dict[str, Any]:
    return {"index": index, "code": error.code, "detail": error.detail}


def _change(action: Literal["add", "remove"], change: RangeChange) -> day.Change:
    return {"action": action, "date": change.date, "start": change.start, "end": change.end}


@web.may("manage_availability")
async def show_gaps(request: Request, account: SignedIn) -> Response:
    on = web.query(request, DateQuery).date
    between = await gaps.of_day(request.state["pool"], account.account_id, on)
    return web.json({"date": on.isoformat(), "gaps": between})


class ChangeResultJson(TypedDict):
    index: int
    ok: bool
    code: NotRequired[str]
    detail: NotRequired[str]


class BulkResultJson(TypedDict):
    results: list[ChangeResultJson]
    version: int


class BulkPreviewJson(TypedDict):
    results: list[ChangeResultJson]
    days: dict[str, list[RangeJson]]


class FailureJson(TypedDict):
    index: int
    code: str
    detail: str


class BulkFailures(TypedDict):
    failures: NotRequired[list[FailureJson]]


class GapJson(RangeJson):
    minutes: int


class GapsJson(TypedDict):
    date: DateText
    gaps: list[GapJson]


routes = [
    Call(
        "GET",
        "/api/availability/days/{date}",
        show_day,
        "A day",
        parameters=OF_DATE,
        returns=DayJson,
        refusals=(refusal.ValidationError,),
    ),
    Call(
        "PUT",
        "/api/availability/days/{date}",
        replace_day,
        "Replace a day",
        parameters=OF_DATE,
        body=DayEdit,
        form=True,
        returns=DayJson,
        refusals=((refusal.VersionConflict, DayConflict),),
    ),
    Call(
        "POST",
        "/api/availability/ranges",
        add_range,
        "Add a range",
        body=RangeChange,
        returns=DayJson,
    ),
    Call(
        "DELETE",
        "/api/availability/ranges",
        remove_range,
        "Remove a range",
        description="The range is in the query, or in a JSON body of the same fields.",
        query=RangeChange,
        returns=DayJson,
    ),
    Call(
        "POST",
        "/api/availability/bulk",
        change_in_bulk,
        "Change many ranges, or none",
        body=Bulk,
        returns=BulkResultJson,
        refusals=((refusal.ValidationError, BulkFailures),),
    ),
    Call(
        "POST",
        "/api/availability/bulk/preview",
        preview_bulk,
        "Preview a change of many ranges",
        body=Bulk,
        returns=BulkPreviewJson,
    ),
    Call(
        "GET",
        "/api/availability/gaps",
        show_gaps,
        "Free time between a day’s lessons",
        query=DateQuery,
        returns=GapsJson,
    ),
]
