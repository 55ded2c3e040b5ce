"""`/lessons/{id}/move`: the instructor's board, on which a student chooses another time for a
lesson. /lessons shows it in a dialog."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from starlette.responses import Response

from app import formatting, refusal, web, wire
from app.accounts.session import SignedIn
from app.availability import start_times
from app.bookings import booking, reschedule
from app.bookings.booking import Booking
from app.bookings.reschedule import Terms
from app.catalog import instructor
from app.pages import instructor as instructor_page
from app.pages import offer, selection
from app.pages.offer import Offer
from app.pages.selection import Selection
from app.web import Request


@dataclass(frozen=True)
class MoveSelection(Selection):
    """The selection on the page of this lesson."""

    lesson_id: UUID

    def address(self, **changes: Any) -> str:
        other = replace(self, **changes)
        return formatting.address(
            f"/lessons/{self.lesson_id}/move",
            minutes=other.minutes,
            **{"from": other.first},
            start=wire.instant(other.start) if other.start else None,
        )


@dataclass(frozen=True)
class Move:
    """A lesson, the terms that it keeps, and the times it can move to. app/static/move.js
    mirrors the sentences."""

    lesson: Booking
    terms: Terms
    offer: Offer

    @property
    def is_unchanged(self) -> bool:
        selected, lesson = self.offer.selection, self.lesson
        return (selected.start, selected.minutes) == (lesson.starts_at, lesson.duration_minutes)

    @property
    def is_possible(self) -> bool:
        return self.offer.is_bookable and not self.is_unchanged

    @property
    def action(self) -> str:
        """The text of the button, such as "Move to Wed 1:00 pm" or "Move to tomorrow 1:00 pm"."""
        moment = self.offer.brief_moment
        near = moment.startswith("To")
        return f"Move to {moment[0].lower() + moment[1:] if near else moment}"

    @property
    def consequences(self) -> str:
        """What changes with the time: the price, and until when a cancellation is free."""
        return f"{self._price} {self._policy}"

    @property
    def _price(self) -> str:
        before, after = self.lesson.price_cents, self.offer.selection.cents
        if self.offer.selection.minutes == self.lesson.duration_minutes:
            return f"The price stays {formatting.money(before)}."
        return (
            f"{self.offer.selection.minutes} minutes instead of {self.lesson.duration_minutes}: "
            f"{formatting.money(after)} instead of {formatting.money(before)}."
        )

    @property
    def _policy(self) -> str:
        start, now = self.offer.selection.start, self.offer.now
        if now > self.lesson.free_cancel_until:
            return "A cancellation still counts as late: a lesson moved late stays late."
        assert start is not None
        hours = timedelta(hours=self.terms.free_cancel_hours)
        until = min(start, max(start - hours, self.lesson.created_at + formatting.GRACE))
        if until <= now:
            return "A cancellation will then count as late."
        return f"Free to cancel until {formatting.moment(until, self.lesson.time_zone)}."


@web.may("reschedule_own_bookings")
async def page(request: Request, account: SignedIn) -> Response:
    pool, now = request.state["pool"], request.state["now"]()
    lesson = await booking.find(pool, web.path_id(request), viewer=account.account_id)
    if lesson.student_id != account.account_id:
        raise refusal.NotFound
    move = None
    obstacle = _obstacle(lesson, now)
    if not obstacle:
        move = await _move(request, account, lesson)
    if not obstacle and move is None:
        name = formatting.first_name(lesson.instructor_name)
        obstacle = f"{name} no longer offers this lesson, so it can’t be moved."
    return web.page(
        request,
        "move.html",
        lesson=lesson,
        move=move,
        obstacle=obstacle,
        offer=move.offer if move else None,
        selection=move.offer.selection if move else None,
        page_data=_page_data(move, account) if move else None,
    )


def _obstacle(lesson: Booking, now: datetime) -> str:
    """Why the lesson can't be moved at all; else empty."""
    if lesson.state == "held":
        return "You’re only holding this time. Choose another one instead."
    if lesson.state == "cancelled":
        return "This lesson is cancelled, so it can’t be moved."
    if lesson.state == "confirmed" and now < lesson.starts_at:
        return ""
    return "This lesson has started or is over, so it can’t be moved."


async def _move(request: Request, account: SignedIn, lesson: Booking) -> Move | None:
    """What the lesson can move to; None if its service is no longer offered."""
    pool, now = request.state["pool"], request.state["now"]()
    state: web.PerRequest = request.scope["state"]
    profile = await instructor.own(pool, lesson.instructor_id)
    service = next((each for each in profile.services if each.id == lesson.service_id), None)
    if service is None or not profile.is_active:
        return None
    # The lesson keeps its own length, whether or not it is still offered.
    lengths = sorted({*service.durations_minutes, lesson.duration_minutes})
    service = replace(service, durations_minutes=lengths)
    terms = await reschedule.terms(pool, lesson.id)
    fields = {
        "minutes": str(lesson.duration_minutes),
        "from": str(formatting.local_day(lesson.starts_at, lesson.time_zone)),
        **request.query_params,
        **state.get("form_fields", {}),
    }
    selected = selection.of_service(profile, service, fields, now)
    at_its_rate = replace(service, hourly_rate_cents=terms.hourly_rate_cents)
    current = await offer.read(
        request,
        account,
        MoveSelection(**vars(selected) | {"service": at_its_rate}, lesson_id=lesson.id),
        offer.refused_alternatives(request),
    )
    current = replace(
        current,
        own_bookings=[own for own in current.own_bookings if own.id != lesson.id],
        moving=lesson,
        own_time=start_times.pairs(terms.own_edges),
    )
    return Move(lesson, terms, current)


def _page_data(move: Move, account: SignedIn) -> dict[str, Any]:
    """The state with which app/static/move.js starts."""
    lesson = move.lesson
    return instructor_page.page_data(move.offer, account) | {
        "own_time": [
            [wire.instant(begin), wire.instant(end)] for begin, end in move.offer.own_time
        ],
        "lesson": {
            "id": str(lesson.id),
            "start": wire.instant(lesson.starts_at),
            "minutes": lesson.duration_minutes,
            "price_cents": lesson.price_cents,
            "free_cancel_until": wire.instant(lesson.free_cancel_until),
            "free_cancel_hours": move.terms.free_cancel_hours,
            "created_at": wire.instant(lesson.created_at),
        },
    }
