"""A service: one instructor's offer of a catalog service, with its price, lengths and places."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal
from uuid import UUID

from app import gate, refusal
from app.db import Db, Pool, Tx
from app.statements import statement

LocationType = Literal["student", "instructor", "public"]
EVERYWHERE: tuple[LocationType, ...] = ("student", "instructor", "public")


@dataclass(frozen=True, slots=True)
class Service:
    """`name` is the catalog's. Lengths in minutes, ascending; the first place is the one meant when none is named."""

    id: UUID
    name: str
    catalog_service: str
    description: str
    hourly_rate_cents: int
    durations_minutes: list[int]
    location_types: list[str]
    levels: list[str]
    audiences: list[str]


_services_of = statement("services_of", Service)
_insert_service = statement("insert_service", Service)
_instructor_of_service = statement("instructor_of_service", UUID)
_is_in_catalog = statement("is_in_catalog", bool)
_update_service = statement("update_service", Service)
_remove_service = statement("remove_service", bool)

# By service, the longest unused first.
_instructors: dict[UUID, UUID] = {}
_REMEMBERED = 10_000

_CHANGEABLE = ("description", "hourly_rate_cents", "durations_minutes", "location_types", "levels", "audiences")


async def of_instructor(db: Db, instructor_id: UUID, *, after: UUID | None = None, limit: int = 100) -> list[Service]:
    """The active services, in the order they were offered."""
    return await _services_of.all(db, instructor_id=instructor_id, after=after, limit=limit)


async def instructor_of(db: Db, service_id: UUID) -> UUID | None:
    """Whose service it is, or None if there is none. It never changes, so this process remembers it."""
    instructor_id = _instructors.pop(service_id, None)
    if instructor_id is None:
        instructor_id = await _instructor_of_service.first(db, id=service_id)
    if instructor_id is not None:
        _instructors[service_id] = instructor_id  # the last ones asked for stay
        if len(_instructors) > _REMEMBERED:
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
    """One more service of this instructor. Raises ValidationError when the catalog has no such service or the instructor offers it
    already."""
    async with gate.writer(db, instructor_id):
        service = await _insert_service.first(
            db,
            instructor_id=instructor_id,
            catalog_service=catalog_service,
            description=description,
            hourly_rate_cents=hourly_rate_cents,
            durations_minutes=durations_minutes,
            location_types=location_types or list(EVERYWHERE),
            levels=levels or [],
            audiences=audiences or [],
        )
    if service is None:
        known = await _is_in_catalog.one(db, slug=catalog_service)
        why = "You offer this already: change that service instead." if known else "The catalog has no such service."
        raise refusal.ValidationError(why, field="catalog_service")
    return service


async def change(db: Pool | Tx, instructor_id: UUID, service_id: UUID, changes: Mapping[str, Any]) -> Service:
    """Changes what `changes` names of a service; what it leaves out stays. Raises NotFound, also where it is another's."""
    values = {name: changes.get(name) for name in _CHANGEABLE}
    async with gate.writer(db, instructor_id):
        changed = await _update_service.first(db, id=service_id, instructor_id=instructor_id, **values)
    if changed is None:
        raise refusal.NotFound
    return changed


async def withdraw(db: Pool | Tx, instructor_id: UUID, service_id: UUID) -> None:
    """Takes a service down; lessons booked of it stay. Raises NotFound."""
    async with gate.writer(db, instructor_id):
        removed = await _remove_service.one(db, instructor_id=instructor_id, id=service_id)
    if not removed:
        raise refusal.NotFound


def as_json(service: Service) -> dict[str, Any]:
    """The contract's service, as on an instructor's profile."""
    return asdict(service) | {"id": str(service.id)}
