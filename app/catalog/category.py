"""The shared catalog: categories, services and the areas of the city. It is shipped as data
(sql/data)."""

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import TypedDict

from app.db import Db
from app.statements import PUBLIC_SECONDS, statement


@dataclass(frozen=True, slots=True)
class Category:
    slug: str
    name: str


@dataclass(frozen=True, slots=True)
class CatalogService:
    slug: str
    name: str
    category: str


@dataclass(frozen=True, slots=True)
class ListedService:
    """A catalog service with its other names, and the number of its instructors, counted up to a
    limit."""

    slug: str
    name: str
    category: str
    terms: list[str]
    instructors: int


@dataclass(frozen=True, slots=True)
class Area:
    """A neighborhood, or a whole borough, whose name and borough are the same."""

    slug: str
    name: str
    borough: str


class CategoryJson(TypedDict):
    slug: str
    name: str


class CatalogServiceJson(CategoryJson):
    category: str


class AreaJson(CategoryJson):
    """A neighborhood, or a whole borough."""

    borough: str


_categories = statement("categories", Category)
_catalog_services = statement("catalog_services", CatalogService)
_listed_services = statement("listed_services", ListedService, seconds=PUBLIC_SECONDS)
_areas = statement("areas", Area)
_areas_by_slug = statement("areas_by_slug", Area)


async def categories(db: Db) -> list[Category]:
    return await _categories.all(db)


async def services(db: Db, category: str | None = None) -> list[CatalogService]:
    """All services of the catalog, or those of one category."""
    return await _catalog_services.all(db, category=category)


async def listed_services(db: Db, *, max_instructors: int) -> list[ListedService]:
    """All services of the catalog, counting up to `max_instructors` of each."""
    return await _listed_services.all(db, max_instructors=max_instructors)


async def areas(db: Db) -> list[Area]:
    return await _areas.all(db)


async def area_names(db: Db, slugs: Sequence[str]) -> list[str]:
    """The names of these areas, in this order."""
    names = {area.slug: area.name for area in await _areas_by_slug.all(db, slugs=slugs)}
    return [names[slug] for slug in slugs]
