"""The checklist on `/teach`: three steps after which students can book a new instructor."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any

from app import refusal
from app.availability import next_start, week
from app.catalog import category
from app.catalog.category import CatalogService, Category
from app.catalog.instructor import Instructor
from app.pages import teach_profile
from app.web import Request

STEPS = ("profile", "service", "hours")
FILL_WEEKS = 12  # as the template says
# By preset (app/availability/filling.py).
HOURS = {
    "weekdays": ("Weekdays", "Monday to Friday", "09:00", "17:00"),
    "evenings": ("Evenings", "Every day", "17:00", "21:00"),
    "weekends": ("Weekends", "Saturday and Sunday", "10:00", "16:00"),
}


@dataclass(frozen=True)
class Checklist:
    """`done` are the finished steps. `open_step` is the one whose form is open: it was refused or
    comes next. `values` and `refusal` belong to that form. `next_start` is the first time that can
    be booked, known only when all steps have just been done."""

    done: frozenset[str]
    open_step: str
    values: Mapping[str, Any]
    service: Mapping[str, Any]
    refusal: refusal.Refusal | None
    today: date
    next_start: datetime | None
    categories: list[Category]
    catalog: list[CatalogService]

    @cached_property
    def is_done(self) -> bool:
        return len(self.done) == len(STEPS)

    @property
    def hours(self) -> Mapping[str, tuple[str, str, str, str]]:
        return HOURS

    @property
    def first_week_until(self) -> date:
        """The last day of the first week, which begins today."""
        return self.today + timedelta(days=6)

    @property
    def filled_until(self) -> date:
        return self.today + timedelta(weeks=FILL_WEEKS, days=-1)


async def of(request: Request, profile: Instructor, today: date) -> Checklist | None:
    """The steps until students can book this instructor; None once they are done, except right
    after the last one."""
    pool, now = request.state["pool"], request.state["now"]()
    steps = {
        "profile": profile.headline != "",
        "service": bool(profile.services),
        "hours": await week.has_hours(pool, profile.id, now=now),
    }
    done = frozenset(step for step in STEPS if steps[step])
    is_done = len(done) == len(STEPS)
    if not profile.is_active or (is_done and "ready" not in request.query_params):
        return None
    refused, typed = teach_profile.form_state(request)
    step = request.query_params.get("step", "")
    open_step = step if refused and step in STEPS else next((s for s in STEPS if s not in done), "")
    return Checklist(
        done,
        open_step,
        {"headline": "", "preset": "weekdays"} | typed,
        teach_profile.service_values(None, typed if step == "service" else {}),
        refused if step == open_step else None,
        today,
        await _next_start(request, profile, now) if is_done else None,
        await category.categories(pool),
        await category.services(pool),
    )


async def _next_start(request: Request, profile: Instructor, now: datetime) -> datetime | None:
    pair = (profile.id, profile.services[0].durations_minutes[0])
    return (await next_start.of(request.state["pool"], [pair], now=now))[pair]
