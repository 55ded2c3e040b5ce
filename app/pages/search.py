"""`/search`: results, how the query was understood, and a form that corrects it."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any
from uuid import UUID

import jinja2
from starlette.responses import Response

from app import formatting, web
from app.accounts.session import SignedIn
from app.availability.start_times import HORIZON
from app.bookings import booking
from app.pages import instructor_cards, meta, search_criteria
from app.pages.instructor_cards import Card, Pick, Window
from app.pages.meta import Meta
from app.search import history, search, visitor
from app.search.parse import MAX_LENGTH, Understood, parse
from app.search.search import Item, Position, Sort
from app.search.vocabulary import Vocabulary, load_vocabulary
from app.search.words import PARTS
from app.web import Request, State

PAGE_SIZE = 12
MAX_NEAREST = 6


@dataclass(frozen=True, slots=True)
class Results:
    """A page of results with their cards. A search without results has the `nearest` ones and the
    criteria that were `dropped` for them."""

    items: list[Item]
    has_more: bool
    is_cut: bool
    cards: list[Card]
    nearest: list[Card]
    dropped: list[str]

    @property
    def dropped_fields(self) -> set[str]:
        return search_criteria.fields_of(self.dropped)


@web.visitor
@web.rate_class("search")
async def page(request: Request, account: SignedIn | None) -> Response:
    state, fields = request.state, request.query_params
    pool, now = state["pool"], state["now"]()
    query = fields.get("q", "").replace("\x00", "").strip()[:MAX_LENGTH]
    vocabulary = await load_vocabulary(pool)
    is_refined = "refined" in fields
    understood = parse("" if is_refined else query, vocabulary, now=search.local_now(now))
    criteria = replace(understood, **search_criteria.filters(fields, vocabulary))
    sort = search_criteria.sort(fields, criteria)
    after = search_criteria.position(fields.get("cursor", ""), sort)
    results = await _results(state, criteria, vocabulary, sort=sort, after=after, now=now)

    searcher = visitor.of(request, account)
    search_id: UUID | None = None
    if query and not is_refined and after is None:
        search_id = visitor.new_search_id(searcher, state["settings"])
        count = len(results.items)
        history.record(state["write_behind"], searcher, query, search_id, count=count, now=now)
    is_student = account is not None and "create_bookings" in account.permissions
    chips = search_criteria.chips(criteria, vocabulary, sort, _today(now))
    title = search_criteria.title(criteria, vocabulary)
    data = instructor_cards.page_data([*results.cards, *results.nearest], now)
    response = web.page(
        request,
        "search.html",
        meta=_meta(criteria, title, results, after, state["settings"].site_url),
        title=title,
        query=search_criteria.phrase(chips) if is_refined else query,
        criteria=criteria,
        chips=chips,
        results=results,
        dropped=[chip.text for chip in chips if {*chip.fields} & results.dropped_fields],
        is_student=is_student,
        last_place=(
            await booking.last_place(pool, account.account_id) if account and is_student else None
        ),
        page_data=data | {"search_id": str(search_id) if search_id else None},
        **_links(criteria, sort, after, results),
        services=_options(state["templates"], vocabulary, "service", criteria.service),
        several_services=_several(
            () if criteria.service else criteria.services,
            search_criteria.services(criteria, vocabulary),
        ),
        areas=_options(state["templates"], vocabulary, "area", criteria.area),
        several_areas=_several(
            criteria.areas,
            formatting.alternatives([vocabulary.names["area", slug] for slug in criteria.areas]),
        ),
        named_days=search_criteria.named_days(criteria, _today(now)),
        invalid_prices=search_criteria.invalid_prices(fields),
        notes=_notes(criteria, understood, search.local_now(now)),
        sort=sort,
        parts_of_day=PARTS,
        levels=search_criteria.LEVELS,
        audiences=search_criteria.AUDIENCES,
        today=_today(now),
    )
    return visitor.remember(request, response, searcher)


async def _results(
    state: State,
    criteria: Understood,
    vocabulary: Vocabulary,
    *,
    sort: Sort,
    after: Position | None,
    now: datetime,
) -> Results:
    pool = state["pool"]
    matches = await search.find(
        pool, criteria, vocabulary, now=now, limit=PAGE_SIZE + 1, sort=sort, after=after
    )
    items = matches.items[:PAGE_SIZE]
    has_more = len(matches.items) > PAGE_SIZE
    if items or after:
        cards = await _cards(state, items, criteria, now)
        return Results(items, has_more, matches.is_cut and not has_more, cards, [], [])
    nearest = await search.find_nearest(
        pool, criteria, vocabulary, now=now, limit=MAX_NEAREST, sort=sort
    )
    if nearest is None:
        return Results([], False, matches.is_cut, [], [], [])
    looser = search_criteria.without(criteria, nearest.dropped)
    cards = await _cards(state, nearest.items, looser, now)
    return Results([], False, matches.is_cut, [], cards, nearest.dropped)


def _links(
    criteria: Understood, sort: Sort, after: Position | None, results: Results
) -> dict[str, Any]:
    """The addresses of the other sorts and pages."""
    more = None
    if results.has_more:
        cursor = search_criteria.cursor(results.items[-1], sort)
        more = search_criteria.address(criteria, sort, cursor=cursor)
    return {
        "sorts": {
            name: (text, search_criteria.address(criteria, name))
            for name, text in search_criteria.SORTS.items()
        },
        "more": more,
        "first_page": search_criteria.address(criteria, sort) if after else None,
    }


def _today(now: datetime) -> date:
    return search.local_now(now).date()


def _meta(
    criteria: Understood, title: str, results: Results, after: Position | None, site_url: str
) -> Meta:
    """Search engines list the results of a category or a service, but no other searches."""
    subject = Understood(service=criteria.service, category=criteria.category)
    is_only_subject = criteria == subject and subject != Understood()
    addresses = [f"/instructors/{item.instructor_id}" for item in results.items]
    return Meta(
        f"{title}, in person: compare prices and see who is really free. Book in seconds.",
        meta.search_address(service=criteria.service, category=criteria.category),
        data=meta.item_list(list(dict.fromkeys(addresses)), site_url),
        is_indexed=is_only_subject and bool(results.items) and after is None,
    )


async def _cards(
    state: State, items: list[Item], criteria: Understood, now: datetime
) -> list[Card]:
    """The results' cards. With a day or time, they show only times then."""
    window = _window(criteria, now)
    # The cards of an instructor share a board, which begins for the soonest.
    soonest: dict[UUID, datetime] = {}
    for item in items:
        if item.next_available:
            earliest = soonest.get(item.instructor_id, item.next_available)
            soonest[item.instructor_id] = min(earliest, item.next_available)
    picks = [
        Pick(item.service_id, item.instructor_id, item.minutes, soonest.get(item.instructor_id))
        for item in items
    ]
    return await instructor_cards.of(
        state["pool"], picks, boards=state["boards"], window=window, now=now
    )


def _window(criteria: Understood, now: datetime) -> Window | None:
    hours = search.hours_of(criteria, now=now)
    if hours is None:
        return None
    return Window(
        hours.days,
        hours.from_minute if hours.exactly is None else hours.exactly,
        hours.to_minute,
        hours.exactly is not None,
    )


def _notes(criteria: Understood, understood: Understood, now: datetime) -> list[str]:
    """Sentences about criteria that search cannot follow."""
    notes = []
    if understood.is_online:
        notes.append("Lessons here are in person; there are none online.")
    if criteria.outside:
        notes.append("Lessons here are in New York City only.")
    if understood.ignored:
        phrases = formatting.quoted([*understood.ignored])
        notes.append(f"We can’t search for {phrases}, so it is left out.")
    if criteria.date and criteria.date > now.date() + HORIZON:
        notes.append(f"Lessons can be booked up to {HORIZON.days} days ahead.")
    return notes


def _several(slugs: tuple[str, ...], text: str) -> tuple[str, str] | None:
    """The value and text of the option for any of several services or areas."""
    return (",".join(slugs), text) if slugs else None


# The options of each kind, as HTML of a vocabulary: drawing hundreds of them takes longer than the
# rest of the page.
_drawn_options: dict[str, tuple[Vocabulary, str]] = {}


def _options(
    templates: jinja2.Environment, vocabulary: Vocabulary, kind: str, selected: str | None
) -> str:
    """The options of a select, grouped by category or borough."""
    drawn = _drawn_options.get(kind)
    if drawn is None or drawn[0] is not vocabulary:
        groups = _grouped(vocabulary, kind)
        drawn = vocabulary, templates.get_template("options.html").render(groups=groups)
        _drawn_options[kind] = drawn
    value = f'value="{selected}"'  # slugs need no escaping
    return drawn[1].replace(value, f"{value} selected", 1)


def _grouped(vocabulary: Vocabulary, kind: str) -> dict[str, list[tuple[str, str]]]:
    """The slugs and names of a kind by group."""
    groups: dict[str, dict[str, str]] = {}
    for term in vocabulary.terms:
        if term.kind == kind:
            group = vocabulary.names.get(("category", term.group), term.group)
            groups.setdefault(group, {})[term.slug] = term.name
    return {
        group: sorted(names.items(), key=lambda pair: pair[1])
        for group, names in sorted(groups.items())
    }
