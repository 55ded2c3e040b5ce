"""The shared catalog: categories, services and the areas of the city. It is shipped as data
(sql/data)."""

from dataclasses import dataclass

from app.db import Db
from app.statements import statement


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
class Area:
    """A neighborhood, or a whole borough, whose name and borough are the same."""

    slug: str
    name: str
    borough: str


_categories = statement("categories", Category)
_catalog_services = statement("catalog_services", CatalogService)
_areas = statement("areas", Area)


async def categories(db: Db) -> list[Category]:
    return await _categories.all(db)


async def services(db: Db, category: str | None = None) -> list[CatalogService]:
    """All services of the catalog, or those of one category."""
    return await _catalog_services.all(db, category=category)


async def areas(db: Db) -> list[Area]:
    return await _areas.all(db)
