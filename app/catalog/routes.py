"""The catalog API: the shared catalog, instructors and their services (docs/api.md)."""

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Annotated, Any, TypeVar
from uuid import UUID

import pydantic
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Field,
    WrapValidator,
    field_validator,
    model_validator,
)
from pydantic.json_schema import SkipJsonSchema
from starlette.responses import Response

from app import web, wire
from app.accounts.session import SignedIn
from app.catalog import category, instructor, service
from app.catalog.category import AreaJson, CatalogServiceJson, CategoryJson
from app.catalog.instructor import InstructorJson, OwnProfileJson
from app.catalog.service import MAX_MINUTES, LocationType, ServiceJson
from app.schema import FORM_ONLY
from app.web import Call, Request

T = TypeVar("T")


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


def _unique(values: list[T]) -> list[T]:
    return list(dict.fromkeys(values))


def _sentence(sentence: str) -> WrapValidator:
    """Replaces the error of the validators before it by a sentence for users."""

    def validate(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except pydantic.ValidationError:
            raise ValueError(sentence) from None

    return WrapValidator(validate)


def _lengths(minutes: list[int]) -> list[int]:
    if not minutes:
        raise ValueError("Choose at least one length.")
    if any(length % 15 or not 15 <= length <= MAX_MINUTES for length in minutes):
        raise ValueError(f"A lesson lasts 15 to {MAX_MINUTES} minutes, in steps of 15.")
    return sorted(set(minutes))


def _words(words: list[str]) -> list[str]:
    if not all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", word) and len(word) <= 40 for word in words):
        raise ValueError("Use words in kebab-case, such as beginner or young-adults.")
    return _unique(words)


def _places(location_types: list[LocationType]) -> list[LocationType]:
    if not location_types:
        raise ValueError("Choose at least one place.")
    return _unique(location_types)


Rate = Annotated[
    wire.Number,
    Field(ge=100, le=100_000),
    _sentence("Enter a price from $1 to $1,000 an hour, such as 60 or 62.50."),
]
Description = Annotated[
    str, Field(max_length=2000), _sentence("A description has at most 2,000 characters.")
]
Lengths = Annotated[
    list[wire.Number],
    BeforeValidator(_split),
    Field(max_length=10),
    AfterValidator(_lengths),
]
LocationTypes = Annotated[
    list[LocationType],
    BeforeValidator(_split),
    Field(max_length=10),
    AfterValidator(_places),
]
Words = Annotated[list[str], BeforeValidator(_split), Field(max_length=10), AfterValidator(_words)]
Headline = Annotated[
    str, Field(max_length=200), _sentence("A headline has at most 200 characters.")
]
Bio = Annotated[str, Field(max_length=5000), _sentence("A bio has at most 5,000 characters.")]
Years = Annotated[wire.Number, Field(ge=0, le=80), _sentence("Enter whole years, from 0 to 80.")]
Address = Annotated[
    str,
    AfterValidator(str.strip),
    Field(max_length=500),
    _sentence("An address has at most 500 characters."),
]
Notice = Annotated[wire.Number, Field(ge=0, le=43_200), _sentence("Notice is 0 to 43,200 minutes.")]
Buffer = Annotated[wire.Number, Field(ge=0, le=240), _sentence("Travel time is 0 to 240 minutes.")]
FreeCancelHours = Annotated[
    wire.Number,
    Field(ge=1, le=48),
    _sentence("Cancelling is free until 1 to 48 hours before a lesson."),
]
AreaNames = Annotated[
    list[Annotated[str, Field(max_length=100)]],
    BeforeValidator(_split),
    Field(max_length=100),
    AfterValidator(_unique),
]


class Form(BaseModel):
    """`next`: the page to which a form leads."""

    next: str | None = Field(default=None, json_schema_extra=FORM_ONLY)


class PriceForm(Form):
    @model_validator(mode="before")
    @classmethod
    def _read_form(cls, fields: Any) -> Any:
        """A form has the price in dollars, as typed. Text that is not a price becomes 0 cents,
        which `Rate` refuses."""
        if isinstance(fields, dict) and "hourly_rate" in fields:
            text = str(fields["hourly_rate"]).strip().replace(",", "")
            dollars = re.fullmatch(r"\$?([0-9]{1,4})(?:\.([0-9]{1,2}))?", text)
            cents = int(dollars[1]) * 100 + int((dollars[2] or "").ljust(2, "0")) if dollars else 0
            return fields | {"hourly_rate_cents": cents}
        return fields


class ServiceOffer(PriceForm):
    catalog_service: Annotated[
        str, Field(min_length=1, max_length=100), _sentence("Choose a service.")
    ]
    hourly_rate_cents: Rate
    durations_minutes: Lengths
    description: Description = ""
    location_types: LocationTypes | None = None
    levels: Words | None = None
    audiences: Words | None = None


class ServiceChange(PriceForm):
    hourly_rate_cents: Rate | None = None
    durations_minutes: Lengths | None = None
    description: Description | None = None
    location_types: LocationTypes | None = None
    levels: Words | None = None
    audiences: Words | None = None
    active: wire.Flag | None = None
    catalog_service: SkipJsonSchema[Any] = None

    @field_validator("active")
    @classmethod
    def _only_true(cls, active: bool | None) -> bool | None:
        if active is False:
            raise ValueError("To withdraw a service, delete it. true reverses that.")
        return active

    @field_validator("catalog_service")
    @classmethod
    def _unchangeable(cls, _: Any) -> Any:
        raise ValueError(
            "The subject of a service can’t be changed. Withdraw it and offer another."
        )


class ProfileChange(Form):
    headline: Headline | None = None
    bio: Bio | None = None
    years_experience: Years | None = None
    areas: AreaNames | None = None
    teaching_address: Address | None = None
    min_advance_minutes: Notice | None = None
    travel_buffer_minutes: Buffer | None = None
    free_cancel_hours: FreeCancelHours | None = None


# Fields that are empty if a form sends them empty, instead of unchanged.
CLEARABLE_PROFILE_FIELDS = ("headline", "bio", "areas", "teaching_address")
CLEARABLE_SERVICE_FIELDS = (
    "hourly_rate",
    "description",
    "durations_minutes",
    "location_types",
    "levels",
    "audiences",
)


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


@web.for_any_site
async def profile(request: Request) -> Response:
    return web.json(
        instructor.as_json(await instructor.find(request.state["pool"], web.path_id(request)))
    )


@web.may("manage_instructor_profile")
async def own_profile(request: Request, account: SignedIn) -> Response:
    return web.json(await _own(request, account))


@web.may("edit_own_profile")
async def begin_teaching(request: Request, account: SignedIn) -> Response:
    profile_fields = await web.read(request, ProfileChange, clearable=CLEARABLE_PROFILE_FIELDS)
    changes = profile_fields.model_dump(exclude={"next"}, exclude_none=True)
    state = request.state
    await instructor.begin(state["pool"], account.account_id, changes, now=state["now"]())
    if "instructor" not in account.roles:
        web.record_security_event(request, "role_granted", account.account_id, role="instructor")
    state["wake_up"](account.account_id)
    redirect_to = _page(profile_fields)
    return web.done(request, await _own(request, account), status=201, redirect_to=redirect_to)


@web.may("manage_instructor_profile")
async def change_profile(request: Request, account: SignedIn) -> Response:
    profile_fields = await web.read(request, ProfileChange, clearable=CLEARABLE_PROFILE_FIELDS)
    changes = profile_fields.model_dump(exclude={"next"}, exclude_none=True)
    state = request.state
    await instructor.change(state["pool"], account.account_id, changes, now=state["now"]())
    state["wake_up"](account.account_id)
    redirect_to = _page(profile_fields)
    return web.done(request, await _own(request, account), redirect_to=redirect_to)


async def _own(request: Request, account: SignedIn) -> OwnProfileJson:
    return instructor.own_as_json(await instructor.own(request.state["pool"], account.account_id))


@web.may("manage_instructor_profile")
async def stop_teaching(request: Request, account: SignedIn) -> Response:
    await instructor.stop(request.state["pool"], account.account_id)
    request.state["wake_up"](account.account_id)
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
    offer = await web.read(
        request, ServiceOffer, clearable=("catalog_service", *CLEARABLE_SERVICE_FIELDS)
    )
    fields = offer.model_dump(exclude={"next"})
    created = await service.offer(request.state["pool"], account.account_id, **fields)
    request.state["wake_up"](account.account_id)
    return web.done(request, service.as_json(created), status=201, redirect_to=_page(offer))


@web.may("manage_services")
async def change_service(request: Request, account: SignedIn) -> Response:
    change = await web.read(request, ServiceChange, clearable=CLEARABLE_SERVICE_FIELDS)
    changes = change.model_dump(exclude={"next"}, exclude_none=True)
    changed = await service.change(
        request.state["pool"], account.account_id, web.path_id(request), changes
    )
    request.state["wake_up"](account.account_id)
    return web.done(request, service.as_json(changed), redirect_to=_page(change))


@web.may("manage_services")
async def withdraw_service(request: Request, account: SignedIn) -> Response:
    form = await web.read(request, Form) if web.is_form(request) else Form()
    await service.withdraw(request.state["pool"], account.account_id, web.path_id(request))
    request.state["wake_up"](account.account_id)
    return web.done(request, None, status=204, redirect_to=_page(form))


def _page(form: Form) -> str:
    return web.local_path(form.next, "/teach")


routes = [
    Call(
        "GET",
        "/api/catalog/categories",
        categories,
        "List categories",
        query=CatalogQuery,
        returns=wire.Listing[CategoryJson],
    ),
    Call(
        "GET",
        "/api/catalog/services",
        catalog_services,
        "List the catalog’s services",
        query=CatalogQuery,
        returns=wire.Listing[CatalogServiceJson],
    ),
    Call(
        "GET",
        "/api/catalog/areas",
        areas,
        "List areas",
        query=CatalogQuery,
        returns=wire.Listing[AreaJson],
    ),
    Call("GET", "/api/instructors/me", own_profile, "Show your profile", returns=OwnProfileJson),
    Call(
        "POST",
        "/api/instructors/me",
        begin_teaching,
        "Begin teaching",
        description="Gives the account the instructor’s role.",
        body=ProfileChange,
        form=True,
        returns=OwnProfileJson,
        status=201,
    ),
    Call(
        "PUT",
        "/api/instructors/me",
        change_profile,
        "Change your profile",
        description="Fields that are left out stay unchanged.",
        body=ProfileChange,
        form=True,
        returns=OwnProfileJson,
    ),
    Call(
        "DELETE",
        "/api/instructors/me",
        stop_teaching,
        "Stop teaching",
        form=True,
        status=204,
    ),
    Call(
        "GET",
        "/api/instructors/me/services",
        own_services,
        "List your services",
        query=wire.Paging,
        returns=wire.Listing[ServiceJson],
    ),
    Call(
        "POST",
        "/api/instructors/me/services",
        offer_service,
        "Offer a service",
        body=ServiceOffer,
        form=True,
        returns=ServiceJson,
        status=201,
    ),
    Call(
        "PATCH",
        "/api/instructors/me/services/{id}",
        change_service,
        "Change a service, or offer it again",
        body=ServiceChange,
        form=True,
        returns=ServiceJson,
    ),
    Call(
        "DELETE",
        "/api/instructors/me/services/{id}",
        withdraw_service,
        "Withdraw a service",
        form=True,
        status=204,
    ),
    *web.with_preflight(
        Call(
            "GET",
            "/api/instructors/{id}",
            profile,
            "Show an instructor’s public profile",
            returns=InstructorJson,
        )
    ),
]
