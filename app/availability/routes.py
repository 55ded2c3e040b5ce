"""The availability API (docs/api.md): the signed-in instructor's weeks, days and blackouts."""

from datetime import date, timedelta
from typing import Annotated, Any, Literal, NotRequired

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import blackout, day, filling, gaps, week
from app.availability.day import DayConflict, DayJson
from app.availability.filling import Filled
from app.availability.week import RangeJson, WeekConflict, WeekJson
from app.schema import CLOCK, FORM_ONLY, DateText
from app.web import Call, Request
from app.wire import Flag, LocalDate

Minute = Annotated[int, BeforeValidator(week.minute), WithJsonSchema(CLOCK)]
MAX_REASON = 500
PAGE = "/teach/calendar"


def _monday(first: LocalDate) -> LocalDate:
    if first.weekday() != 0:
        raise ValueError("A week starts on a Monday.")
    return first


Monday = Annotated[LocalDate, AfterValidator(_monday)]


class TimeRange(BaseModel):
    start: Minute
    end: Minute

    @field_validator("start")
    @classmethod
    def _within_the_day(cls, start: int) -> int:
        if start == 24 * 60:
            raise ValueError("24:00 ends a day; the next one starts at 00:00.")
        return start

    @field_validator("end")
    @classmethod
    def _after_start(cls, end: int, info: ValidationInfo) -> int:
        if end <= info.data.get("start", -1):
            raise ValueError("The end must be after the start.")
        return end


DayRanges = Annotated[list[TimeRange], Field(max_length=week.MAX_RANGES)]
Version = Annotated[wire.Number | None, Field(ge=0, le=2**62)]


class WeekQuery(BaseModel):
    start: Monday


class WeekEdit(WeekQuery):
    days: dict[str, DayRanges]
    version: Version = None


class Copy(BaseModel):
    source: Monday = Field(alias="from")
    to: Monday
    preview: Flag = False


class Apply(BaseModel):
    source: Monday = Field(alias="from")
    first: LocalDate
    last: LocalDate
    preview: Flag = False


class Preset(BaseModel):
    preset: Literal["weekdays", "evenings", "weekends"]
    first: LocalDate
    last: LocalDate
    preview: Flag = False
    # The page to which a form leads.
    next: str | None = Field(None, json_schema_extra=FORM_ONLY)


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


def _parsed(value: Any) -> Any:
    """A form sends its pattern as JSON."""
    if isinstance(value, str):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            raise ValueError("The pattern is not valid JSON.") from None
    return value


class StandingPattern(BaseModel):
    days: Annotated[dict[filling.DayName, DayRanges], BeforeValidator(_parsed)]


class DateQuery(BaseModel):
    date: LocalDate


class BlackoutEdit(BaseModel):
    first: LocalDate
    last: LocalDate | None = None
    reason: str = Field("", max_length=MAX_REASON)


# ---- weeks


@web.may("manage_availability")
async def show_week(request: Request, account: SignedIn) -> Response:
    query = web.query(request, WeekQuery)
    days = await week.read(request.state["pool"], account.account_id, query.start)
    return web.json(week.as_json(days))


@web.may("manage_availability")
async def replace_week(request: Request, account: SignedIn) -> Response:
    edit = await web.read(request, WeekEdit)
    days = {_date(text, "days"): _minutes(ranges) for text, ranges in edit.days.items()}
    state = request.state
    saved = await week.replace(
        state["pool"], account.account_id, edit.start, days, base=edit.version, now=state["now"]()
    )
    state["wake_up"](account.account_id)
    return web.json(week.as_json(saved))


@web.may("manage_availability")
async def clear_week(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, WeekQuery)
    return await _fill(request, account, filling.NOTHING, body.start, _sunday(body.start))


@web.may("manage_availability")
async def copy_week(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Copy)
    return await _fill(
        request, account, body.source, body.to, _sunday(body.to), preview=body.preview
    )


@web.may("manage_availability")
async def apply_week(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Apply)
    return await _fill(request, account, body.source, body.first, body.last, preview=body.preview)


@web.may("manage_availability")
async def apply_preset(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Preset)
    pattern = filling.PRESETS[body.preset]
    redirect_to = web.local_path(body.next, _page(body.first))
    return await _fill(
        request,
        account,
        pattern,
        body.first,
        body.last,
        preview=body.preview,
        redirect_to=redirect_to,
    )


async def _fill(
    request: Request,
    account: SignedIn,
    pattern: filling.Pattern | date,
    first: date,
    last: date,
    *,
    preview: bool = False,
    redirect_to: str = "",
) -> Response:
    state = request.state
    filled: Filled = await filling.fill(
        state["pool"],
        account.account_id,
        pattern,
        first,
        last,
        preview=preview,
        now=state["now"](),
    )
    if preview:
        return web.json({"days": filled.days, "days_changed": filled.days_changed})
    state["wake_up"](account.account_id)
    content = {"days_changed": filled.days_changed, "version": filled.version}
    return web.done(request, content, redirect_to=redirect_to or _page(first))


# ---- days and single ranges


@web.may("manage_availability")
async def show_day(request: Request, account: SignedIn) -> Response:
    current = await day.read(request.state["pool"], account.account_id, _path_date(request))
    return web.json(day.as_json(current))


@web.may("manage_availability")
async def replace_day(request: Request, account: SignedIn) -> Response:
    on = _path_date(request)
    edit = await web.read(request, DayForm if web.is_form(request) else DayEdit)
    state = request.state
    saved = await day.replace(
        state["pool"],
        account.account_id,
        on,
        _minutes(edit.ranges),
        base=edit.version,
        now=state["now"](),
    )
    state["wake_up"](account.account_id)
    return web.done(request, day.as_json(saved), redirect_to=f"{_page(on)}#day-{on}")


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


# ---- the standing pattern


@web.may("manage_availability")
async def show_pattern(request: Request, account: SignedIn) -> Response:
    pattern = await filling.standing_pattern(request.state["pool"], account.account_id)
    if pattern is None:
        raise refusal.NotFound("You have no standing pattern.")
    return web.json(_pattern_json(pattern))


@web.may("manage_availability")
async def keep_pattern(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, StandingPattern)
    pattern = {
        str(filling.DAY_NAMES.index(name) + 1): [
            {"start": week.clock(span.start), "end": week.clock(span.end)}
            for span in sorted(ranges, key=lambda span: span.start)
        ]
        for name, ranges in body.days.items()
    }
    state = request.state
    await filling.set_standing_pattern(
        state["pool"], account.account_id, pattern, now=state["now"]()
    )
    state["wake_up"](account.account_id)
    return web.done(request, _pattern_json(pattern), redirect_to=PAGE)


@web.may("manage_availability")
async def remove_pattern(request: Request, account: SignedIn) -> Response:
    await filling.remove_standing_pattern(request.state["pool"], account.account_id)
    return web.done(request, None, status=204, redirect_to=PAGE)


def _pattern_json(pattern: filling.Pattern) -> dict[str, Any]:
    days = {name: pattern.get(str(number), []) for number, name in enumerate(filling.DAY_NAMES, 1)}
    return {"days": days}


# ---- gaps and blackouts


@web.may("manage_availability")
async def show_gaps(request: Request, account: SignedIn) -> Response:
    on = web.query(request, DateQuery).date
    between = await gaps.of_day(request.state["pool"], account.account_id, on)
    return web.json({"date": on.isoformat(), "gaps": between})


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
    return web.done(request, content, status=201, redirect_to=_page(body.first))


@web.may("manage_blackouts")
async def remove_blackout(request: Request, account: SignedIn) -> Response:
    on = _path_date(request)
    await blackout.remove(request.state["pool"], account.account_id, on)
    request.state["wake_up"](account.account_id)
    return web.done(request, None, status=204, redirect_to=_page(on))


# ---- shapes


def _page(on: date) -> str:
    """The calendar's page with the week of a day, where forms lead."""
    return f"{PAGE}?week={on - timedelta(days=on.weekday())}"


def _sunday(monday: date) -> date:
    return monday + timedelta(days=6)


def _minutes(ranges: list[TimeRange]) -> list[week.Range]:
    return [(span.start, span.end) for span in ranges]


def _change(action: Literal["add", "remove"], change: RangeChange) -> day.Change:
    return {"action": action, "date": change.date, "start": change.start, "end": change.end}


def _date(text: str, field: str) -> date:
    try:
        return wire.local_date(text)
    except ValueError as error:
        raise refusal.ValidationError(str(error), field=f"{field}.{text}") from None


def _path_date(request: Request) -> date:
    return _date(request.path_params["date"], "date")


class FillJson(TypedDict):
    """With `version`, or of a preview with `days`: the new content of those that would change."""

    days_changed: int
    version: NotRequired[int]
    days: NotRequired[dict[str, list[RangeJson]]]


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


class PatternJson(TypedDict):
    days: dict[filling.DayName, list[RangeJson]]


class GapJson(RangeJson):
    minutes: int


class GapsJson(TypedDict):
    date: DateText
    gaps: list[GapJson]


class BlackoutJson(TypedDict):
    date: DateText
    reason: str


class BlackoutsJson(TypedDict):
    first: DateText
    last: DateText
    reason: str


_OF_DATE: dict[str, Any] = {"date": LocalDate}

routes = [
    Call(
        "GET",
        "/api/availability/week",
        show_week,
        "A week",
        query=WeekQuery,
        returns=WeekJson,
    ),
    Call(
        "PUT",
        "/api/availability/week",
        replace_week,
        "Replace days of a week",
        body=WeekEdit,
        returns=WeekJson,
        refusals=((refusal.VersionConflict, WeekConflict),),
    ),
    Call(
        "POST",
        "/api/availability/week/clear",
        clear_week,
        "Clear a week",
        body=WeekQuery,
        form=True,
        returns=FillJson,
    ),
    Call(
        "POST",
        "/api/availability/week/copy",
        copy_week,
        "Copy a week to another",
        body=Copy,
        form=True,
        returns=FillJson,
    ),
    Call(
        "POST",
        "/api/availability/week/apply",
        apply_week,
        "Repeat a week over many days",
        body=Apply,
        form=True,
        returns=FillJson,
    ),
    Call(
        "POST",
        "/api/availability/presets",
        apply_preset,
        "Fill days from a preset",
        body=Preset,
        form=True,
        returns=FillJson,
    ),
    Call(
        "GET",
        "/api/availability/days/{date}",
        show_day,
        "A day",
        parameters=_OF_DATE,
        returns=DayJson,
        refusals=(refusal.ValidationError,),
    ),
    Call(
        "PUT",
        "/api/availability/days/{date}",
        replace_day,
        "Replace a day",
        parameters=_OF_DATE,
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
        "/api/availability/pattern",
        show_pattern,
        "The standing pattern",
        returns=PatternJson,
        refusals=(refusal.NotFound,),
    ),
    Call(
        "PUT",
        "/api/availability/pattern",
        keep_pattern,
        "Set the standing pattern",
        body=StandingPattern,
        form=True,
        returns=PatternJson,
    ),
    Call(
        "DELETE",
        "/api/availability/pattern",
        remove_pattern,
        "Remove the standing pattern",
        form=True,
        status=204,
    ),
    Call(
        "GET",
        "/api/availability/gaps",
        show_gaps,
        "Free time between a day’s lessons",
        query=DateQuery,
        returns=GapsJson,
    ),
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
        parameters=_OF_DATE,
        form=True,
        status=204,
        refusals=(refusal.ValidationError,),
    ),
]
