"""A service: an instructor's offer of a catalog service, with its price, lengths and locations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

from typing_extensions import TypedDict

from app import gate, refusal
from app.db import Db, Pool, Tx
from app.schema import Id
from app.statements import statement

LocationType = Literal["student", "instructor", "public"]
MAX_MINUTES = 480  # of a lesson


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is the catalog's. `durations_minutes` ascend. The first location type is the
    default."""

    id: UUID
    name: str
    catalog_service: str
    description: str
    hourly_rate_cents: int
    durations_minutes: list[int]
    location_types: list[LocationType]
    levels: list[str]
    audiences: list[str]


@dataclass(frozen=True, slots=True)
class _State:
    is_active: bool
    location_types: list[str]


_services_of = statement("services_of", Service)
_insert_service = statement("insert_service", Service)
_instructor_of_service = statement("instructor_of_service", UUID)
_is_in_catalog = statement("is_in_catalog", bool)
_update_service = statement("update_service", Service)
_can_teach_at = statement("can_teach_at", bool)
_service_state = statement("service_state", _State)
_withdraw_service = statement("withdraw_service", bool)
_withdrawn_services = statement("withdrawn_services", Service)

# By service, least recently used first.
_instructors: dict[UUID, UUID] = {}
_MAX_CACHED = 10_000

_CHANGEABLE = (
    "description",
    "hourly_rate_cents",
    "durations_minutes",
    "location_types",
    "levels",
    "audiences",
    "active",
)
_OFFERED = "You offer this already. Change that service instead."
_NOT_IN_CATALOG = "The catalog has no such service."
_NO_ADDRESS = "Add the address of your place to your profile first, or offer other places."


async def of_instructor(
    db: Db, instructor_id: UUID, *, after: UUID | None = None, limit: int = 100
) -> list[Service]:
    """The active services, oldest first."""
    return await _services_of.all(db, instructor_id=instructor_id, after=after, limit=limit)


async def withdrawn(db: Db, instructor_id: UUID) -> list[Service]:
    """The withdrawn services that can be offered again, by name."""
    return await _withdrawn_services.all(db, instructor_id=instructor_id)


async def instructor_of(db: Db, service_id: UUID) -> UUID | None:
    """The service's instructor, or None if there is no such service. It never changes, so it is
    cached."""
    instructor_id = _instructors.pop(service_id, None)
    if instructor_id is None:
        instructor_id = await _instructor_of_service.first(db, id=service_id)
    if instructor_id is not None:
        _instructors[service_id] = instructor_id  # moves it to the end
        if len(_instructors) > _MAX_CACHED:
            del _instructors[next(iter(_instructors))]
    return instructor_id


async def offer(
    db: Pool | Tx,
    instructor_id: UUID,
    catalog_service: str,
    *,
    hourly_rate_cents: int,
    durations_minutes: list[int],
    description: str = "",
    location_types: list[LocationType] | None = None,
    levels: list[str] | None = None,
    audiences: list[str] | None = None,
) -> Service:
    """Adds a service of this instructor, by default at every location type that is possible. Raises
    ValidationError if the catalog has no such service, the instructor already offers it, or has no
    address for lessons at their place."""
    async with gate.writer(db, instructor_id):
        service = await _insert_service.first(
            db,
            instructor_id=instructor_id,
            catalog_service=catalog_service,
            description=description,
            hourly_rate_cents=hourly_rate_cents,
            durations_minutes=durations_minutes,
            location_types=location_types,
            levels=levels or [],
            audiences=audiences or [],
        )
    if service is None:
        await _check_location_types(db, instructor_id, location_types or [])
        if await _is_in_catalog.one(db, slug=catalog_service):
            raise refusal.ValidationError(_OFFERED, field="catalog_service")
        raise refusal.ValidationError(_NOT_IN_CATALOG, field="catalog_service")
    return service


async def change(
    db: Pool | Tx, instructor_id: UUID, service_id: UUID, changes: Mapping[str, Any]
) -> Service:
    """Changes the fields in `changes` and keeps the others; `active` reverses a withdrawal. Booked
    lessons keep their terms. Raises NotFound, also for another instructor's service, and
    ValidationError as `offer` does."""
    values = {name: changes.get(name) for name in _CHANGEABLE}
    async with gate.writer(db, instructor_id):
        changed = await _update_service.first(
            db, id=service_id, instructor_id=instructor_id, **values
        )
    if changed is None:
        state = await _service_state.first(db, id=service_id, instructor_id=instructor_id)
        if state is None or not (state.is_active or values["active"]):
            raise refusal.NotFound
        location_types = values["location_types"] or state.location_types
        await _check_location_types(db, instructor_id, location_types)
        raise refusal.ValidationError(_OFFERED, field="active")
    return changed


async def withdraw(db: Pool | Tx, instructor_id: UUID, service_id: UUID) -> None:
    """Withdraws a service; `change` can offer it again. Its booked lessons stay. Raises
    NotFound."""
    async with gate.writer(db, instructor_id):
        is_withdrawn = await _withdraw_service.one(db, instructor_id=instructor_id, id=service_id)
    if not is_withdrawn:
        raise refusal.NotFound


async def _check_location_types(db: Db, instructor_id: UUID, location_types: Sequence[str]) -> None:
    """Raises ValidationError for lessons at the place of an instructor without an address."""
    if not await _can_teach_at.one(
        db, instructor_id=instructor_id, location_types=list(location_types)
    ):
        raise refusal.ValidationError(_NO_ADDRESS, field="location_types")


class ServiceJson(TypedDict):
    """A service as on an instructor's profile. The first location type is the default."""

    id: Id
    name: str
    catalog_service: str
    description: str
    hourly_rate_cents: int
    durations_minutes: list[int]
    location_types: list[LocationType]
    levels: list[str]
    audiences: list[str]


def as_json(service: Service) -> ServiceJson:
    """The service in the API's JSON, as on an instructor's profile."""
    return {
        "id": str(service.id),
        "name": service.name,
        "catalog_service": service.catalog_service,
        "description": service.description,
        "hourly_rate_cents": service.hourly_rate_cents,
        "durations_minutes": service.durations_minutes,
        "location_types": service.location_types,
        "levels": service.levels,
        "audiences": service.audiences,
    }
