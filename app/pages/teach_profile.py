"""`/teach/profile`: the instructor's profile, booking rules and services."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from app import formatting, web
from app.accounts.session import SignedIn
from app.catalog import category, instructor, service
from app.catalog.instructor import Instructor
from app.catalog.service import Service
from app.web import Request

Options = list[tuple[Any, str]]

# Choices on the page; the API accepts more, and a form also shows the stored value.
BUFFERS = (0, 5, 10, 15, 20, 30, 45, 60, 90, 120)
NOTICES = (0, 30, 60, 120, 180, 240, 360, 720, 1440, 2880, 4320, 10_080)
FREE_CANCEL_HOURS = (1, 2, 3, 6, 12, 24, 48)
LENGTHS = (30, 45, 60, 90, 120)
LEVELS = ("beginner", "intermediate", "advanced")
AUDIENCES = ("kids", "teens", "adults")
DEFAULT_RATE_CENTS = 6000
LISTS = ("areas", "durations_minutes", "location_types", "levels", "audiences")


@web.may("manage_instructor_profile")
async def page(request: Request, account: SignedIn) -> Response:
    pool, query = request.state["pool"], request.query_params
    profile = await instructor.own(pool, account.account_id)
    withdrawn = await service.withdrawn(pool, account.account_id)
    refused, typed = form_state(request)
    # The service whose form is open: an id, or `new`. Then the refusal is about that form.
    open_service = query.get("service", "")
    values = _profile_values(profile) | (typed if not open_service else {})
    return web.page(
        request,
        "teach_profile.html",
        profile=profile,
        withdrawn=withdrawn,
        just_withdrawn=None if refused else _by_id(withdrawn, query.get("withdrawn", "")),
        saved="" if refused else query.get("saved", ""),
        open_service=open_service,
        values=values,
        service_values={
            row.id: service_values(row, typed if open_service == str(row.id) else {})
            for row in profile.services
        },
        new_values=service_values(None, typed if open_service == "new" else {}),
        buffers=_options(BUFFERS, values["travel_buffer_minutes"], _minutes),
        notices=_options(NOTICES, values["min_advance_minutes"], _minutes),
        cancellations=_options(FREE_CANCEL_HOURS, values["free_cancel_hours"], _until),
        areas=await category.areas(pool),
        categories=await category.categories(pool),
        catalog=await category.services(pool),
        offered={row.catalog_service for row in profile.services},
    )


def form_state(request: Request) -> tuple[Any, dict[str, Any]]:
    """The refusal of a form that is shown again, or None, and what was typed."""
    state: web.PerRequest = request.scope["state"]
    typed: dict[str, Any] = dict(state.get("form_fields", {}))
    lists = {name: typed[name].split(",") for name in LISTS if name in typed}
    return state.get("refusal"), typed | lists


def service_values(row: Service | None, typed: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a service's form: the typed ones, the stored ones, or those of a new service;
    and the choices."""
    rate = row.hourly_rate_cents if row else DEFAULT_RATE_CENTS
    values: dict[str, Any] = {
        "catalog_service": row.catalog_service if row else "",
        "hourly_rate": formatting.money(rate).removeprefix("$").replace(",", ""),
        "description": row.description if row else "",
        "durations_minutes": [str(minutes) for minutes in row.durations_minutes] if row else ["60"],
        "location_types": row.location_types if row else ["student", "instructor", "public"],
        "levels": row.levels if row else [],
        "audiences": row.audiences if row else [],
    }
    lengths = sorted({*LENGTHS, *(row.durations_minutes if row else ())})
    return {
        **values,
        "lengths": [(minutes, f"{minutes} min") for minutes in lengths],
        "known_levels": _words(LEVELS, values["levels"]),
        "known_audiences": _words(AUDIENCES, values["audiences"]),
        **typed,
    }


def _words(common: Sequence[str], stored: Sequence[str]) -> Options:
    """The common words and the other stored ones, as choices."""
    return [
        (word, word.replace("-", " ").capitalize()) for word in dict.fromkeys([*common, *stored])
    ]


def _profile_values(profile: Instructor) -> dict[str, Any]:
    return {
        "headline": profile.headline,
        "bio": profile.bio,
        "years_experience": profile.years_experience,
        "areas": profile.areas,
        "teaching_address": profile.teaching_address,
        "travel_buffer_minutes": profile.travel_buffer_minutes,
        "min_advance_minutes": profile.min_advance_minutes,
        "free_cancel_hours": profile.free_cancel_hours,
    }


def _options(numbers: Sequence[int], stored: object, words: Any) -> Options:
    others = {int(str(stored))} if re.fullmatch("[0-9]{1,6}", str(stored)) else set()
    return [(number, words(number)) for number in sorted({*numbers, *others})]


def _minutes(minutes: int) -> str:
    return formatting.length(minutes) if minutes else "None"


def _until(hours: int) -> str:
    return f"Until {formatting.count(hours, 'hour')} before the lesson"


def _by_id(services: Sequence[Service], text: str) -> Service | None:
    return next((row for row in services if str(row.id) == text), None)
