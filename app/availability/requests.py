"""Types and helpers that the availability calls share."""

from datetime import date, timedelta
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from app import refusal, wire
from app.availability import week
from app.schema import CLOCK
from app.web import Request
from app.wire import LocalDate

PAGE = "/teach/calendar"
OF_DATE: dict[str, Any] = {"date": LocalDate}

Minute = Annotated[int, BeforeValidator(week.minute), WithJsonSchema(CLOCK)]


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


def calendar_page(on: date) -> str:
    """The calendar's page with the week of a day, where forms lead."""
    return f"{PAGE}?week={on - timedelta(days=on.weekday())}"


def in_minutes(ranges: list[TimeRange]) -> list[week.Range]:
    return [(span.start, span.end) for span in ranges]


def parse_date(text: str, field: str) -> date:
    try:
        return wire.local_date(text)
    except ValueError as error:
        raise refusal.ValidationError(str(error), field=field) from None


def path_date(request: Request) -> date:
    return parse_date(request.path_params["date"], "date")
