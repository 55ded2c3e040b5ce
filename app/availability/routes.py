"""The availability API (docs/api.md): the instructor's own week, and public availability."""

import functools
from typing import Annotated, Any, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    field_validator,
)
from starlette.requests import Request as StarletteRequest
from starlette.responses import Response
from starlette.routing import Route

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import public, week
from app.availability.public import Answer
from app.web import Handler, Request
from app.wire import LocalDate

Minute = Annotated[int, BeforeValidator(week.minute)]


def _monday(day: LocalDate) -> LocalDate:
    if day.weekday() != 0:
        raise ValueError("A week starts on a Monday.")
    return day


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


class WeekQuery(BaseModel):
    start: Monday


class WeekEdit(WeekQuery):
    days: dict[str, Annotated[list[TimeRange], Field(max_length=week.MAX_RANGES)]]
    version: int | None = Field(None, ge=0, le=2**62)


class DaysQuery(BaseModel):
    start_date: LocalDate | None = None
    end_date: LocalDate | None = None

    @field_validator("end_date")
    @classmethod
    def _not_before_start(cls, end: LocalDate | None, info: ValidationInfo) -> LocalDate | None:
        start = info.data.get("start_date")
        if start is not None and end is not None and end < start:
            raise ValueError("The end_date must not be before the start_date.")
        return end


class NextQuery(BaseModel):
    duration_minutes: int | None = Field(None, ge=1, le=1440)


@web.may("manage_availability")
async def show_week(request: Request, account: SignedIn) -> Response:
    query = web.query(request, WeekQuery)
    days = await week.read(request.state["pool"], account.account_id, query.start)
    return web.json(week.as_json(days))


@web.may("manage_availability")
async def replace_week(request: Request, account: SignedIn) -> Response:
    edit = await web.read(request, WeekEdit)
    days = {
        _day(text): [(span.start, span.end) for span in ranges]
        for text, ranges in edit.days.items()
    }
    state = request.state
    saved = await week.replace(
        state["pool"], account.account_id, edit.start, days, base=edit.version, now=state["now"]()
    )
    state["wake_up"]()
    return web.json(week.as_json(saved))


def _day(text: str) -> LocalDate:
    try:
        return wire.local_date(text)
    except ValueError as error:
        raise refusal.ValidationError(str(error), field=f"days.{text}") from None


# ---- public


def _for_everyone(handler: Handler) -> Handler:
    """Any site may read the response, including refusals (CORS)."""

    @functools.wraps(handler)
    async def with_cors(request: Request) -> Response:
        try:
            response = await handler(request)
        except refusal.Refusal as error:
            response = await web.render_refusal(cast(StarletteRequest, request), error)
        response.headers["Access-Control-Allow-Origin"] = "*"
        response.headers["Access-Control-Expose-Headers"] = "ETag"
        return response

    return web.public(with_cors)


@_for_everyone
async def availability(request: Request) -> Response:
    query = web.query(request, DaysQuery)
    state = request.state
    answer = await public.availability(
        state["pool"],
        web.path_id(request),
        query.start_date,
        query.end_date,
        state["settings"],
        now=state["now"](),
    )
    return _cacheable(request, answer)


@_for_everyone
async def next_available(request: Request) -> Response:
    query = web.query(request, NextQuery)
    answer = await public.next_available(
        request.state["pool"],
        web.path_id(request),
        query.duration_minutes,
        now=request.state["now"](),
    )
    return _cacheable(request, answer)


@_for_everyone
async def preflight(_: Request) -> Response:
    """Browsers send this before a request with If-None-Match to another site."""
    allowed = {
        "Access-Control-Allow-Methods": "GET",
        "Access-Control-Allow-Headers": "If-None-Match",
        "Access-Control-Max-Age": "86400",
    }
    return Response(status_code=204, headers=allowed)


def _cacheable(request: Request, answer: Answer) -> Response:
    headers = {"ETag": answer.etag, "Cache-Control": "public, max-age=0, must-revalidate"}
    if_none_match = request.headers.get("if-none-match", "").split(",")
    etags = {tag.strip().removeprefix("W/") for tag in if_none_match}
    if answer.etag in etags or "*" in etags:
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type="application/json")


def _get(path: str, handler: Any) -> list[Route]:
    return [Route(path, handler, methods=["GET"]), Route(path, preflight, methods=["OPTIONS"])]


routes = [
    Route("/api/availability/week", show_week, methods=["GET"]),
    Route("/api/availability/week", replace_week, methods=["PUT"]),
    *_get("/api/public/instructors/{id}/availability", availability),
    *_get("/api/public/instructors/{id}/next-available", next_available),
]
