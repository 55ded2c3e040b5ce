"""Instructors: public profiles, and changes to a profile."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from typing_extensions import TypedDict

from app import gate, refusal
from app.accounts import role
from app.catalog import service
from app.catalog.service import Service, ServiceJson
from app.db import Db, Pool, Tx, transact
from app.schema import Id, ZoneText
from app.statements import PUBLIC_SECONDS, statement


@dataclass(frozen=True, slots=True)
class Instructor:
    """A profile with the active services. `areas` are slugs. `teaching_address`, where lessons at
    the instructor's place happen, is shown in booked lessons only."""

    id: UUID
    name: str
    headline: str
    bio: str
    years_experience: int
    areas: list[str]
    teaching_address: str
    time_zone: str
    min_advance_minutes: int
    travel_buffer_minutes: int
    free_cancel_hours: int
    is_active: bool
    service_rows: list[Any]  # JSON

    @property
    def services(self) -> list[Service]:
        return [Service(**row | {"id": UUID(row["id"])}) for row in self.service_rows]


@dataclass(frozen=True, slots=True)
class _NamedArea:
    name: str
    slug: str | None


_instructor = statement("instructor", Instructor, seconds=PUBLIC_SECONDS)
_areas_named = statement("areas_named", _NamedArea)
_update_instructor = statement("update_instructor", int)
_set_teaching = statement("set_teaching", int)

_CHANGEABLE = (
    "headline",
    "bio",
    "years_experience",
    "teaching_address",
    "min_advance_minutes",
    "travel_buffer_minutes",
    "free_cancel_hours",
)


async def find(db: Db, instructor_id: UUID) -> Instructor:
    """The public profile. Raises NotFound, also after the instructor has stopped teaching."""
    instructor = await _instructor.first(db, id=instructor_id)
    if instructor is None:
        raise refusal.NotFound
    if not instructor.is_active:
        raise refusal.NotFound("This instructor doesn’t take new bookings.")
    return instructor


async def own(db: Db, instructor_id: UUID) -> Instructor:
    """The instructor's own profile, active or not. Raises NotFound."""
    instructor = await _instructor.first(db, id=instructor_id)
    if instructor is None:
        raise refusal.NotFound
    return instructor


async def begin(pool: Pool, account_id: UUID, changes: Mapping[str, Any], *, now: datetime) -> None:
    """Makes the account an instructor (again), with this profile. Raises NotAllowed if an admin has
    removed the role, and ValidationError as `change` does."""

    async def write(tx: Tx) -> None:
        await role.take(tx, account_id, "instructor")
        await _set_teaching.run(tx, id=account_id, teaches=True)
        await change(tx, account_id, changes, now=now)

    async with gate.writer(pool, account_id):
        await transact(pool, write)


async def stop(db: Pool | Tx, instructor_id: UUID) -> None:
    """Stops new bookings, and hides the public profile and the free times on open boards. Booked
    lessons stay."""
    async with gate.writer(db, instructor_id):
        await _set_teaching.run(db, id=instructor_id, teaches=False)


async def change(
    db: Pool | Tx, instructor_id: UUID, changes: Mapping[str, Any], *, now: datetime
) -> None:
    """Changes the fields in `changes` and keeps the others. `areas` are slugs or names. Raises
    ValidationError for an area that is not in the catalog, and if a service would be offered
    nowhere without the address. A changed buffer or notice is a step of the calendar."""
    areas = await _slugs(db, changes.get("areas"))
    async with gate.writer(db, instructor_id):
        version = await _update_instructor.first(
            db,
            id=instructor_id,
            now=now,
            areas=areas,
            **{name: changes.get(name) for name in _CHANGEABLE},
        )
    if version is None:
        raise refusal.ValidationError(
            "A service is offered only at your place. Change or withdraw it first.",
            field="teaching_address",
        )


async def _slugs(db: Db, names: Sequence[str] | None) -> list[str] | None:
    if names is None:
        return None
    areas = await _areas_named.all(db, names=list(names))
    for index, name in enumerate(names):
        if not any(area.name == name and area.slug for area in areas):
            raise refusal.ValidationError(
                f"The catalog has no area “{name}”.", field=f"areas.{index}"
            )
    return sorted({area.slug for area in areas if area.slug})


class InstructorJson(TypedDict):
    """The public profile. `areas` are slugs."""

    id: Id
    name: str
    headline: str
    bio: str
    years_experience: int
    areas: list[str]
    time_zone: ZoneText
    min_advance_minutes: int
    free_cancel_hours: int
    services: list[ServiceJson]


class OwnProfileJson(InstructorJson):
    """The instructor's own view: the public profile and the private settings."""

    teaching_address: str
    travel_buffer_minutes: int
    is_active: bool


def as_json(instructor: Instructor) -> InstructorJson:
    """The public profile."""
    return {
        "id": str(instructor.id),
        "name": instructor.name,
        "headline": instructor.headline,
        "bio": instructor.bio,
        "years_experience": instructor.years_experience,
        "areas": instructor.areas,
        "time_zone": instructor.time_zone,
        "min_advance_minutes": instructor.min_advance_minutes,
        "free_cancel_hours": instructor.free_cancel_hours,
        "services": [service.as_json(row) for row in instructor.services],
    }


def own_as_json(instructor: Instructor) -> OwnProfileJson:
    """The instructor's own view: the public profile and the private settings."""
    return {
        **as_json(instructor),
        "teaching_address": instructor.teaching_address,
        "travel_buffer_minutes": instructor.travel_buffer_minutes,
        "is_active": instructor.is_active,
    }
