"""The search API (docs/api.md)."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, Field
from starlette.responses import Response
from typing_extensions import TypedDict

from app import refusal, web, wire
from app.accounts.session import SignedIn
from app.catalog.service import MAX_MINUTES
from app.schema import Id, InstantText
from app.search import history, search, suggestions, visitor
from app.search.history import Kind
from app.search.parse import MAX_LENGTH, Understood, UnderstoodJson, parse
from app.search.search import Item, ResultJson, Sort
from app.search.vocabulary import Vocabulary, load_vocabulary
from app.web import Call, Request

Slug = Annotated[str, Field(max_length=100)]
Price = Annotated[int, Field(ge=0, le=10_000_000)]


class SearchQuery(wire.Paging):
    """`q` in everyday words, and filters, which override it. Prices are cents per hour."""

    q: str = Field("", max_length=MAX_LENGTH)
    service: Slug | None = None
    category: Slug | None = None
    area: Slug | None = None
    min_price: Price | None = None
    max_price: Price | None = None
    date: wire.LocalDate | None = None
    part_of_day: Literal["morning", "afternoon", "evening"] | None = None
    level: Slug | None = None
    audience: Slug | None = None
    duration_minutes: int | None = Field(None, ge=1, le=MAX_MINUTES)
    sort: Sort | None = None


class SuggestionsQuery(BaseModel):
    q: str = Field("", max_length=MAX_LENGTH)
    limit: int = Field(8, ge=1, le=20)


class Interaction(BaseModel):
    search_id: UUID
    instructor_id: UUID
    kind: Kind


class RelaxedJson(TypedDict):
    """The nearest results, and the criteria that were dropped for them."""

    dropped: list[str]
    items: list[ResultJson]


class SearchJson(TypedDict):
    """`items` satisfy all criteria. `relaxed` is null unless `items` is empty."""

    understood: UnderstoodJson
    items: list[ResultJson]
    relaxed: RelaxedJson | None
    next_cursor: str | None
    search_id: Id


class SuggestionJson(TypedDict):
    text: str
    kind: str


class SuggestionsJson(TypedDict):
    items: list[SuggestionJson]


class RecentSearchJson(TypedDict):
    id: Id
    query: str
    searched_at: InstantText


class EmptyJson(TypedDict):
    """An empty object."""


def with_filters(
    understood: Understood, filters: SearchQuery, vocabulary: Vocabulary
) -> Understood:
    """The criteria of the query, overridden by the filters."""
    values: dict[str, Any] = {}
    if filters.service:
        values |= {"service": filters.service, "services": (), "category": None}
    if filters.category:
        values["category"] = filters.category
        services = {understood.service, *understood.services}
        if not filters.service and services.isdisjoint(vocabulary.services_in(filters.category)):
            values |= {"service": None, "services": ()}
    if filters.area:
        values |= {"area": filters.area, "areas": (), "outside": None}
    if filters.min_price is not None or filters.max_price is not None:
        values |= {"min_price_cents": filters.min_price, "max_price_cents": filters.max_price}
    if filters.date:
        values |= {"date": filters.date, "last_date": None, "days": ()}
    if filters.part_of_day:
        values |= {"part_of_day": filters.part_of_day, "from_time": None, "to_time": None}
    if filters.level:
        values["level"] = filters.level
    if filters.audience:
        values["audience"] = filters.audience
    if filters.duration_minutes:
        values["minutes"] = filters.duration_minutes
    return replace(understood, **values)


@web.public
@web.rate_class("search")
async def list_instructors(request: Request) -> Response:
    filters = web.query(request, SearchQuery)
    page = await _page(request, filters, default="newest")
    return web.json(page.listing)


@web.visitor
@web.rate_class("search")
async def search_instructors(request: Request, account: SignedIn | None) -> Response:
    filters = web.query(request, SearchQuery)
    page = await _page(request, filters, default="soonest")
    items, state, now = page.listing["items"], request.state, request.state["now"]()
    nearest = None
    if not items and filters.cursor is None:
        nearest = await search.find_nearest(
            state["pool"], page.criteria, page.vocabulary, now=now, sort=page.sort
        )
    searcher = visitor.of(request, account)
    search_id = visitor.new_search_id(searcher, state["settings"])
    history.record(state["write_behind"], searcher, filters.q, search_id, count=len(items), now=now)
    content: SearchJson = {
        "understood": page.criteria.as_json(),
        "items": items,
        "relaxed": _relaxed_json(nearest) if nearest is not None else None,
        "next_cursor": page.listing["next_cursor"],
        "search_id": str(search_id),
    }
    return visitor.remember(request, web.json(content), searcher)


def _relaxed_json(nearest: search.Nearest) -> RelaxedJson:
    items = [search.as_json(item) for item in nearest.items]
    return {"dropped": nearest.dropped, "items": items}


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of results, and the search that has them."""

    criteria: Understood
    vocabulary: Vocabulary
    sort: Sort
    listing: wire.Listing[ResultJson]


async def _page(request: Request, filters: SearchQuery, *, default: Sort) -> _Page:
    pool, now = request.state["pool"], request.state["now"]()
    vocabulary = await load_vocabulary(pool)
    understood = parse(filters.q, vocabulary, now=search.local_now(now))
    criteria = with_filters(understood, filters, vocabulary)
    sort: Sort = filters.sort or ("price" if criteria.by_price else default)
    matches = await search.find(
        pool,
        criteria,
        vocabulary,
        now=now,
        limit=filters.limit + 1,
        sort=sort,
        after=search.cursor_position(filters, sort),
    )

    def key(item: Item) -> list[Any]:
        return search.cursor_key(item, sort)

    listing = wire.listing(matches.items, filters, search.as_json, key)
    return _Page(criteria, vocabulary, sort, listing)


@web.public
async def suggest(request: Request) -> Response:
    query = web.query(request, SuggestionsQuery)
    vocabulary = await load_vocabulary(request.state["pool"])
    suggested = suggestions.of(query.q, vocabulary, limit=query.limit)
    return web.json({"items": [{"text": each.text, "kind": each.kind} for each in suggested]})


# ---- history


@web.visitor
async def recent_searches(request: Request, account: SignedIn | None) -> Response:
    paging = web.query(request, wire.Paging)
    searcher = _searcher(request, account, "view_own_search_history")
    rows = await history.recent(
        request.state["pool"],
        request.state["write_behind"],
        searcher,
        before=_before(paging),
        limit=paging.limit + 1,
    )

    def show(row: history.Search) -> RecentSearchJson:
        return {
            "id": str(row.id),
            "query": row.query,
            "searched_at": wire.instant(row.searched_at),
        }

    return web.json(wire.listing(rows, paging, show, lambda row: (row.searched_at, row.id)))


def _before(paging: wire.Paging) -> tuple[datetime, UUID] | None:
    position = paging.position(wire.moment, UUID)
    return (position[0], position[1]) if position else None


@web.visitor
async def forget_searches(request: Request, account: SignedIn | None) -> Response:
    searcher = _searcher(request, account, "delete_own_search_history")
    state = request.state
    await history.clear(state["pool"], state["write_behind"], searcher)
    return web.done(request, None, status=204, redirect_to="/")


@web.visitor
async def forget_search(request: Request, account: SignedIn | None) -> Response:
    searcher = _searcher(request, account, "delete_own_search_history")
    state = request.state
    await history.remove(state["pool"], state["write_behind"], searcher, web.path_id(request))
    others = await history.recent(state["pool"], state["write_behind"], searcher, limit=1)
    # The page's focus goes to the other searches, or to the search box.
    return web.done(request, None, status=204, redirect_to="/#recent" if others else "/#q")


def _searcher(request: Request, account: SignedIn | None, permission: str) -> visitor.Visitor:
    """The visitor whose history the request is about. Accounts need the permission; guests do not.
    Raises NotAllowed."""
    if account is not None and permission not in account.permissions:
        raise refusal.NotAllowed
    return visitor.of(request, account)


@web.visitor
async def interact(request: Request, account: SignedIn | None) -> Response:
    interaction = await web.read(request, Interaction)
    state = request.state
    searcher = visitor.of(request, account)
    if not visitor.owns_search(request, searcher, interaction.search_id):
        raise refusal.NotFound
    history.record_interaction(
        state["write_behind"],
        searcher,
        interaction.search_id,
        interaction.instructor_id,
        interaction.kind,
        now=state["now"](),
    )
    return web.json({}, 202)


routes = [
    Call(
        "GET",
        "/api/instructors",
        list_instructors,
        "List instructors’ services",
        description="Filters combine with each other and with `q`.",
        query=SearchQuery,
        returns=wire.Listing[ResultJson],
    ),
    Call(
        "GET",
        "/api/search",
        search_instructors,
        "Search in everyday words",
        query=SearchQuery,
        returns=SearchJson,
    ),
    Call(
        "GET",
        "/api/search/suggestions",
        suggest,
        "Suggestions while a search is typed",
        query=SuggestionsQuery,
        returns=SuggestionsJson,
    ),
    Call(
        "GET",
        "/api/search/history",
        recent_searches,
        "List recent searches",
        query=wire.Paging,
        returns=wire.Listing[RecentSearchJson],
        refusals=(refusal.NotAllowed,),
    ),
    Call(
        "DELETE",
        "/api/search/history",
        forget_searches,
        "Forget all searches",
        form=True,
        status=204,
    ),
    Call(
        "DELETE",
        "/api/search/history/{id}",
        forget_search,
        "Forget a search",
        form=True,
        status=204,
    ),
    Call(
        "POST",
        "/api/search/interactions",
        interact,
        "Report what a visitor did with a result",
        body=Interaction,
        returns=EmptyJson,
        status=202,
        refusals=(refusal.NotFound,),
    ),
]
