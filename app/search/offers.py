"""Search results: offers with their next bookable start."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import wire
from app.availability import next_start
from app.db import Db
from app.statements import PUBLIC_SECONDS, statement


@dataclass(frozen=True, slots=True)
class Offer:
    """A service of an instructor. `minutes`: the requested length, or the shortest. `areas` are
    slugs."""

    instructor_id: UUID
    instructor_name: str
    service_id: UUID
    service_name: str
    catalog_service: str
    hourly_rate_cents: int
    areas: list[str]
    minutes: int


@dataclass(frozen=True, slots=True)
class Item:
    """An offer and the next bookable start of a lesson of its `minutes`."""

    offer: Offer
    next_available: datetime | None


_offers = statement("offers", Offer, seconds=PUBLIC_SECONDS)


async def items(
    db: Db,
    *,
    now: datetime,
    limit: int,
    after: UUID | None = None,
    service: str | None = None,
    category: str | None = None,
    area: str | None = None,
    min_price: int | None = None,
    max_price: int | None = None,
    minutes: int | None = None,
) -> list[Item]:
    """The offers that match all filters, newest first. `service`, `category` and `area` are slugs,
    prices are cents per hour, `after` is the id of the last service before this page."""
    offers = await _offers.all(
        db,
        limit=limit,
        after=after,
        service=service,
        category=category,
        area=area,
        min_price=min_price,
        max_price=max_price,
        minutes=minutes,
    )
    pairs = [(offer.instructor_id, offer.minutes) for offer in offers]
    starts = await next_start.of(db, pairs, now=now)
    return [Item(offer, starts[pair]) for offer, pair in zip(offers, pairs, strict=True)]


def as_json(item: Item) -> dict[str, Any]:
    """A search result in the API's JSON (docs/api.md)."""
    offer = item.offer
    return {
        "instructor": {"id": str(offer.instructor_id), "name": offer.instructor_name},
        "service": {
            "id": str(offer.service_id),
            "name": offer.service_name,
            "catalog_service": offer.catalog_service,
        },
        "hourly_rate_cents": offer.hourly_rate_cents,
        "areas": offer.areas,
        "next_available": wire.instant(item.next_available) if item.next_available else None,
    }
