"""Public availability (docs/api.md): no sign-in, no personal data, readable by any site."""

from pydantic import (
    BaseModel,
    Field,
    ValidationInfo,
    field_validator,
)
from starlette.responses import Response

from app import web
from app.availability import public
from app.availability.public import Answer
from app.web import Request
from app.wire import LocalDate


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


@web.for_any_site
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


@web.for_any_site
async def next_available(request: Request) -> Response:
    query = web.query(request, NextQuery)
    answer = await public.next_available(
        request.state["pool"],
        web.path_id(request),
        query.duration_minutes,
        now=request.state["now"](),
    )
    return _cacheable(request, answer)


def _cacheable(request: Request, answer: Answer) -> Response:
    headers = {"ETag": answer.etag, "Cache-Control": "public, max-age=0, must-revalidate"}
    if_none_match = request.headers.get("if-none-match", "").split(",")
    etags = {tag.strip().removeprefix("W/") for tag in if_none_match}
    if answer.etag in etags or "*" in etags:
        return Response(status_code=304, headers=headers)
    return Response(answer.body, headers=headers, media_type="application/json")


routes = [
    *web.get_from_any_site("/api/public/instructors/{id}/availability", availability),
    *web.get_from_any_site("/api/public/instructors/{id}/next-available", next_available),
]
