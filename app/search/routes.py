"""The search API (docs/api.md)."""

from uuid import UUID

from pydantic import Field, field_validator
from starlette.responses import Response
from starlette.routing import Route

from app import web, wire
from app.search import offers
from app.web import Request

MAX_LENGTH_MINUTES = 480


class OffersQuery(wire.Paging):
    service: str | None = Field(None, max_length=100)
    category: str | None = Field(None, max_length=100)
    area: str | None = Field(None, max_length=100)
    min_price: int | None = Field(None, ge=0, le=10_000_000)
    max_price: int | None = Field(None, ge=0, le=10_000_000)
    duration_minutes: int | None = Field(None, ge=1, le=MAX_LENGTH_MINUTES)
    q: str | None = None
    date: str | None = None
    part_of_day: str | None = None

    @field_validator("q", "date", "part_of_day")
    @classmethod
    def _unsupported(cls, _: str) -> str:
        raise ValueError(
            "This filter is not supported yet. Use service, category, area, min_price, max_price "
            "or duration_minutes."
        )


@web.public
async def search(request: Request) -> Response:
    filters = web.query(request, OffersQuery)
    (after,) = filters.position(UUID) or [None]
    items = await offers.items(
        request.state["pool"],
        now=request.state["now"](),
        limit=filters.limit + 1,
        after=after,
        service=filters.service,
        category=filters.category,
        area=filters.area,
        min_price=filters.min_price,
        max_price=filters.max_price,
        minutes=filters.duration_minutes,
    )
    return web.json(
        wire.listing(items, filters, offers.as_json, lambda item: (item.offer.service_id,))
    )


routes = [Route("/api/instructors", search, methods=["GET"])]
