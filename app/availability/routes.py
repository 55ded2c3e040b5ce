"""The availability calls (docs/api.md) for whole weeks and the standing pattern. Days and blackouts
have modules of their own."""

from datetime import date, timedelta
from typing import Annotated, Any, Literal, NotRequired

import orjson
from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
)
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web
from app.accounts.session import SignedIn
from app.availability import filling, week
from app.availability.requests import (
    PAGE,
    DayRanges,
    Monday,
    Version,
    calendar_page,
    in_minutes,
    parse_date,
)
from app.availability.week import RangeJson, WeekConflict, WeekJson
from app.schema import FORM_ONLY
from app.web import Call, Request
from app.wire import Flag, LocalDate


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


# ---- weeks


@web.may("manage_availability")
async def show_week(request: Request, account: SignedIn) -> Response:
    query = web.query(request, WeekQuery)
    days = await week.read(request.state["pool"], account.account_id, query.start)
    return web.json(week.as_json(days))


@web.may("manage_availability")
async def replace_week(request: Request, account: SignedIn) -> Response:
    edit = await web.read(request, WeekEdit)
    days = {
        parse_date(text, f"days.{text}"): in_minutes(ranges) for text, ranges in edit.days.items()
    }
    state = request.state
    saved = await week.replace(
        state["pool"], account.account_id, edit.start, days, base=edit.version, now=state["now"]()
    )
    state["wake_up"](account.account_id)
    return web.json(week.as_json(saved))


@web.may("manage_availability")
async def clear_week(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, WeekQuery)
    return await _fill(
        request, account, filling.NOTHING, body.start, _sunday(body.start), field="start"
    )


@web.may("manage_availability")
async def copy_week(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Copy)
    return await _fill(
        request,
        account,
        body.source,
        body.to,
        _sunday(body.to),
        field="to",
        preview=body.preview,
    )


@web.may("manage_availability")
async def apply_week(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Apply)
    return await _fill(request, account, body.source, body.first, body.last, preview=body.preview)


@web.may("manage_availability")
async def apply_preset(request: Request, account: SignedIn) -> Response:
    body = await web.read(request, Preset)
    pattern = filling.PRESETS[body.preset]
    redirect_to = web.local_path(body.next, calendar_page(body.first))
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
    field: str = "last",
    preview: bool = False,
    redirect_to: str = "",
) -> Response:
    state = request.state
    result = await filling.fill(
        state["pool"],
        account.account_id,
        pattern,
        first,
        last,
        field=field,
        preview=preview,
        now=state["now"](),
    )
    if preview:
        return web.json({"days": result.days, "days_changed": result.days_changed})
    state["wake_up"](account.account_id)
    content = {"days_changed": result.days_changed, "version": result.version}
    return web.done(request, content, redirect_to=redirect_to or calendar_page(first))


def _sunday(monday: date) -> date:
    return monday + timedelta(days=6)


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


class FillJson(TypedDict):
    """With `version`, or of a preview with `days`: the new content of those that would change."""

    days_changed: int
    version: NotRequired[int]
    days: NotRequired[dict[str, list[RangeJson]]]


class PatternJson(TypedDict):
    days: dict[filling.DayName, list[RangeJson]]


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
]
