"""The catalog API: the shared catalog, instructors and their services (docs/api.md)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, field_validator
from starlette.responses import Response
from starlette.routing import Route

from app import web, wire
from app.accounts.session import SignedIn
from app.catalog import category, instructor, service
from app.catalog.service import LocationType
from app.web import Request

T = TypeVar("T")
MAX_LENGTH_MINUTES = 480


class CatalogQuery(wire.Paging):
    """The catalog's lists are short and rarely change, so pages default to the maximum size, and
    the cursor is a position."""

    limit: int = Field(100, ge=1, le=100)
    category: str | None = Field(None, max_length=100)


def _split(value: Any) -> Any:
    """A form sends a list as one field with commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _once(values: list[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _lengths(minutes: list[int]) -> list[int]:
    if any(length % 15 or not 15 <= length <= MAX_LENGTH_MINUTES for length in minutes):
        raise ValueError(f"A lesson lasts 15 to {MAX_LENGTH_MINUTES} minutes, in steps of 15.")
    return sorted(set(minutes))


def _words(words: list[str]) -> list[str]:
    if not all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", word) and len(word) <= 40 for word in words):
        raise ValueError("Use words in kebab-case, such as beginner or young-adults.")
    return _once(words)


Rate = Annotated[int, Field(ge=100, le=100_000)]
Description = Annotated[str, Field(max_length=2000)]
Lengths = Annotated[
    list[int],
    BeforeValidator(_split),
    Field(min_length=1, max_length=10),
    AfterValidator(_lengths),
]
LocationTypes = Annotated[
    list[LocationType],
    BeforeValidator(_split),
    Field(min_length=1, max_length=10),
    AfterValidator(_once),
]
Words = Annotated[list[str], BeforeValidator(_split), Field(max_length=10), AfterValidator(_words)]
Address = Annotated[str, AfterValidator(str.strip), Field(max_length=500)]
AreaNames = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    BeforeValidator(_split),
    Field(max_length=100),
    AfterValidator(_once),
]


class ServiceOffer(BaseModel):
    catalog_service: str = Field(max_length=100)
    hourly_rate_cents: Rate
    durations_minutes: Lengths
    description: Description = ""
    location_types: LocationTypes | None = None
    levels: Words | None = None
    audiences: Words | None = None


class ServiceChange(BaseModel):
    hourly_rate_cents: Rate | None = None
    durations_minutes: Lengths | None = None
    description: Description | None = None
    location_types: LocationTypes | None = None
    levels: Words | None = None
    audiences: Words | None = None
    active: bool | None = None
    catalog_service: Any = None

    @field_validator("active")
    @classmethod
    def _only_reversed(cls, active: bool | None) -> bool | None:
        if active is False:
            raise ValueError("To withdraw a service, delete it. true reverses that.")
        return active

    @field_validator("catalog_service")
    @classmethod
    def _unchangeable(cls, _: Any) -> Any:
        raise ValueError(
            "The subject of a service can’t be changed. Withdraw it and offer another."
        )


class Profile(BaseModel):
    headline: str | None = Field(None, max_length=200)
    bio: str | None = Field(None, max_length=5000)
    years_experience: int | None = Field(None, ge=0, le=80)
    areas: AreaNames | None = None
    teaching_address: Address | None = None
    min_advance_minutes: int | None = Field(None, ge=0, le=43_200)
    travel_buffer_minutes: int | None = Field(None, ge=0, le=240)
    free_cancel_hours: int | None = Field(None, ge=1, le=48)


# ---- the shared catalog


@web.public
async def categories(request: Request) -> Response:
    return await _catalog(request, lambda _: category.categories(request.state["pool"]))


@web.public
async def catalog_services(request: Request) -> Response:
    return await _catalog(
        request, lambda query: category.services(request.state["pool"], query.category)
    )


@web.public
async def areas(request: Request) -> Response:
    return await _catalog(request, lambda _: category.areas(request.state["pool"]))


async def _catalog(request: Request, read: Callable[[CatalogQuery], Any]) -> Response:
    query = web.query(request, CatalogQuery)
    (first,) = query.position(_index) or [0]
    rows: Sequence[Any] = await read(query)
    numbered = list(enumerate(rows))[first : first + query.limit + 1]
    return web.json(
        wire.listing(numbered, query, lambda row: asdict(row[1]), lambda row: (row[0] + 1,))
    )


def _index(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value <= 100_000:
        raise ValueError("not a position")
    return value


# ---- instructors


@web.public
async def profile(request: Request) -> Response:
    return web.json(
        instructor.as_json(await instructor.find(request.state["pool"], web.path_id(request)))
    )


@web.may("manage_instructor_profile")
async def own_profile(request: Request, account: SignedIn) -> Response:
    return web.json(await _own(request, account))


@web.signed_in
async def begin_teaching(request: Request, account: SignedIn) -> Response:
    profile_fields = await web.read(request, Profile)
    changes = profile_fields.model_dump(exclude_none=True)
    state = request.state
    await instructor.begin(state["pool"], account.account_id, changes, now=state["now"]())
    state["wake_up"]()
    return web.done(request, await _own(request, account), status=201, redirect_to="/teach")


@web.may("manage_instructor_profile")
async def change_profile(request: Request, account: SignedIn) -> Response:
    profile_fields = await web.read(request, Profile)
    changes = profile_fields.model_dump(exclude_none=True)
    state = request.state
    await instructor.change(state["pool"], account.account_id, changes, now=state["now"]())
    state["wake_up"]()
    return web.done(request, await _own(request, account), redirect_to="/teach")


async def _own(request: Request, account: SignedIn) -> dict[str, Any]:
    return instructor.own_as_json(await instructor.own(request.state["pool"], account.account_id))


@web.may("manage_instructor_profile")
async def stop_teaching(request: Request, account: SignedIn) -> Response:
    await instructor.stop(request.state["pool"], account.account_id)
    request.state["wake_up"]()
    return web.done(request, None, status=204, redirect_to="/teach")


# ---- an instructor's services


@web.may("manage_services")
async def own_services(request: Request, account: SignedIn) -> Response:
    paging = web.query(request, wire.Paging)
    (after,) = paging.position(UUID) or [None]
    rows = await service.of_instructor(
        request.state["pool"], account.account_id, after=after, limit=paging.limit + 1
    )
    return web.json(wire.listing(rows, paging, service.as_json, lambda row: (row.id,)))


@web.may("manage_services")
async def offer_service(request: Request, account: SignedIn) -> Response:
    offer = await web.read(request, ServiceOffer)
    created = await service.offer(request.state["pool"], account.account_id, **offer.model_dump())
    return web.done(request, service.as_json(created), status=201, redirect_to="/teach")


@web.may("manage_services")
async def change_service(request: Request, account: SignedIn) -> Response:
    change = await web.read(request, ServiceChange)
    changes = change.model_dump(exclude_none=True)
    changed = await service.change(
        request.state["pool"], account.account_id, web.path_id(request), changes
    )
    return web.done(request, service.as_json(changed), redirect_to="/teach")


@web.may("manage_services")
async def withdraw_service(request: Request, account: SignedIn) -> Response:
    await service.withdraw(request.state["pool"], account.account_id, web.path_id(request))
    return web.done(request, None, status=204, redirect_to="/teach")


routes = [
    Route("/api/catalog/categories", categories, methods=["GET"]),
    Route("/api/catalog/services", catalog_services, methods=["GET"]),
    Route("/api/catalog/areas", areas, methods=["GET"]),
    Route("/api/instructors/me", own_profile, methods=["GET"]),
    Route("/api/instructors/me", begin_teaching, methods=["POST"]),
    Route("/api/instructors/me", change_profile, methods=["PUT"]),
    Route("/api/instructors/me", stop_teaching, methods=["DELETE"]),
    Route("/api/instructors/me/services", own_services, methods=["GET"]),
    Route("/api/instructors/me/services", offer_service, methods=["POST"]),
    Route("/api/instructors/me/services/{id}", change_service, methods=["PATCH"]),
    Route("/api/instructors/me/services/{id}", withdraw_service, methods=["DELETE"]),
    Route("/api/instructors/{id}", profile, methods=["GET"]),
]
