"""`/instructors/{id}`: an instructor's profile, their live board, and the form that holds a
time."""

from typing import Any
from uuid import UUID

from starlette.responses import Response

from app import formatting, web, wire
from app.accounts.session import SignedIn
from app.bookings import booking
from app.bookings.booking import Booking
from app.catalog import category, instructor
from app.catalog.instructor import Instructor
from app.catalog.service import Service
from app.pages import meta, offer, selection
from app.pages.offer import Offer
from app.search import similar
from app.web import Request

# A longer bio and further services are folded.
LEAD_LENGTH = 320
VISIBLE_SERVICES = 6


@web.visitor
async def page(request: Request, account: SignedIn | None) -> Response:
    pool = request.state["pool"]
    profile = await instructor.find(pool, web.path_id(request))
    areas = await category.area_names(pool, profile.areas)
    current = await _offer(request, account, profile)
    others = []
    if current:
        now, service_id = request.state["now"](), current.selection.service.id
        others = await similar.to_service(pool, service_id, now=now)
    lead, rest = _split_bio(profile.bio)
    return web.page(
        request,
        "instructor.html",
        meta=meta.profile(profile, areas, request.state["settings"].site_url),
        instructor=profile,
        facts=_facts(profile, areas),
        bio_lead=lead,
        bio_rest=rest,
        services=_services(profile, current),
        offer=current,
        similar=others,
        viewer=_viewer(account, profile.id),
        location_type=await _location_type(request, account, current),
        hold_time=formatting.duration(request.state["settings"].hold_seconds),
        page_data=page_data(current, account) if current else None,
    )


async def _offer(request: Request, account: SignedIn | None, profile: Instructor) -> Offer | None:
    """What the page offers; None if the instructor has no services."""
    state: web.PerRequest = request.scope["state"]
    fields = dict(request.query_params) | dict(state.get("form_fields", {}))
    selected = selection.read(profile, fields, state["now"]())
    if selected is None:
        return None
    return await offer.read(request, account, selected, offer.refused_alternatives(request))


async def _location_type(
    request: Request, account: SignedIn | None, current: Offer | None
) -> str | None:
    """The place to preselect, on the page that follows."""
    if account is None or current is None:
        return None
    last = await booking.last_place(request.state["pool"], account.account_id)
    return last.default_of(current.selection.service.location_types)


def _split_bio(bio: str) -> tuple[str, str]:
    """The beginning of a bio, which ends with a sentence or a word, and the rest. A bio that is
    only a little too long stays whole."""
    if len(bio) <= LEAD_LENGTH * 1.25:
        return bio, ""
    begin = bio[:LEAD_LENGTH]
    sentences = max(begin.rfind(mark) for mark in (". ", "! ", "? ", ".\n", "!\n", "?\n")) + 1
    end = sentences if sentences > LEAD_LENGTH // 2 else begin.rfind(" ")
    end = end if end > 0 else LEAD_LENGTH
    return bio[:end], bio[end:].lstrip()


def _services(profile: Instructor, current: Offer | None) -> tuple[list[Service], list[Service]]:
    """The visible services, the selected one among them, and the folded ones."""
    services = profile.services
    visible = services[:VISIBLE_SERVICES]
    if current and current.selection.service not in visible:
        visible = [current.selection.service, *visible[:-1]]
    return visible, [service for service in services if service not in visible]


def _facts(profile: Instructor, areas: list[str]) -> list[str]:
    years = profile.years_experience
    return [
        *([", ".join(areas)] if areas else []),
        *([f"{formatting.count(years, 'year')} of teaching"] if years else []),
    ]


def _viewer(account: SignedIn | None, instructor_id: UUID) -> str:
    if account is None:
        return "guest"
    if account.account_id == instructor_id:
        return "self"
    return "student" if "create_bookings" in account.permissions else "other"


def page_data(current: Offer, account: SignedIn | None) -> dict[str, Any]:
    """The state with which app/static/offer.js starts."""
    selected, snapshot = current.selection, current.board
    return {
        "now": wire.instant(current.now),
        "instructor": str(selected.instructor.id),
        "first_name": formatting.first_name(selected.instructor.name),
        "viewer": str(account.account_id) if account else None,
        "viewer_zone": current.own_zone,
        "service": {
            "id": str(selected.service.id),
            "name": selected.service.name,
            "hourly_rate_cents": selected.service.hourly_rate_cents,
        },
        "minutes": selected.minutes,
        "first": str(selected.first),
        "start": wire.instant(selected.start) if selected.start else None,
        "elsewhere": wire.instant(current.elsewhere) if current.elsewhere else None,
        "free_cancel_hours": selected.instructor.free_cancel_hours,
        "own": [_own_json(own) for own in current.own_bookings],
        "board": {
            "epoch": snapshot.epoch,
            "version": snapshot.version,
            "time_zone": snapshot.time_zone,
            "min_advance_minutes": snapshot.min_advance_minutes,
            "days": snapshot.days,
        },
    }


def _own_json(own: Booking) -> dict[str, Any]:
    """The part of a viewer's booking that the script needs, in the shape of the API."""
    return {
        "id": str(own.id),
        "state": own.state,
        "start": wire.instant(own.starts_at),
        "end": wire.instant(own.ends_at),
        "held_until": wire.instant(own.held_until) if own.held_until else None,
        "instructor": {"id": str(own.instructor_id)},
    }
