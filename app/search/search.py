"""Search results: services that match all criteria, and the nearest ones if there are none.

Without a day or time, a result has the next start of its calendar
(app/availability/next_start.py). With one, only services whose instructors are free then for a
whole lesson are found, and `next_available` is the first such start. Free time comes from the same
functions as boards, and start_times lays out the starts.

A statement returns candidates in the order of a lower bound of their start, because the exact start
is expensive. Reading ends when no further candidate can start before the results of the page."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import chain, combinations, islice
from typing import Any, Literal
from uuid import UUID
from zoneinfo import ZoneInfo

from typing_extensions import TypedDict

from app import refusal, wire
from app.availability import next_start, start_times
from app.availability.next_start import Pair
from app.availability.start_times import HORIZON
from app.db import Db
from app.schema import InstantText, NamedJson
from app.search.dates import MAX_DAYS
from app.search.parse import Understood
from app.search.vocabulary import Vocabulary
from app.search.words import PARTS
from app.statements import PUBLIC_SECONDS, statement

Sort = Literal["soonest", "price", "newest"]
# The zone of days and times in a query.
ZONE = ZoneInfo("America/New_York")
# With a day or time, a search reads this many days first, and more only if they do not fill the
# page. Without a day, it ends with the last of these.
FIRST_DAYS = (3, 14)
# Candidates to read beyond a page, because some of them turn out not to be free.
SPARE = 10
# The candidates of each round of a search without a day or time, as multiples of the first round's.
ROUNDS = (1, 4, 16)
# The most candidates that a search with a day or time reads, in total and per statement.
MAX_CANDIDATES = 3_000
MAX_CANDIDATES_PER_STATEMENT = 1_000
# The most combinations of criteria that are dropped to find the nearest results.
MAX_ATTEMPTS = 16
# The audiences whose services also suit this one. Services without an audience suit everyone.
_INCLUDED_AUDIENCES = {"seniors": ["seniors", "adults"]}
# Reading all of more services, to find the few for an audience, would take too long.
FEW_SERVICES = 10
# Among the audiences of a statement, it leaves out services for everyone.
_NOT_EVERYONE = ""
# The first value of a cursor among them, instead of `soonest`.
_FOR_EVERYONE = "everyone"

# The criteria that can be dropped, from the one that matters least.
_DROPPABLE: dict[str, tuple[str, ...]] = {
    "time": ("part_of_day", "from_time", "to_time"),
    "date": ("date", "last_date", "days"),
    "area": ("area", "areas"),
    "price": ("min_price_cents", "max_price_cents"),
    "length": ("minutes",),
    "level": ("level",),
    "audience": ("audience",),
    "text": ("words",),
    "category": ("category",),
}
_EMPTY = Understood()


@dataclass(frozen=True, slots=True)
class Item:
    """A service with the next bookable start of a lesson of its `minutes`, the requested or the
    shortest length. `areas` are slugs."""

    instructor_id: UUID
    instructor_name: str
    service_id: UUID
    service_name: str
    catalog_service: str
    hourly_rate_cents: int
    areas: list[str]
    minutes: int
    next_available: datetime | None
    # By `soonest`, in a search for an audience: one of the services that come after its own.
    is_for_everyone: bool = False


@dataclass(frozen=True, slots=True)
class Matches:
    """A page of results. `is_cut`: more results may exist, because reading ended at
    MAX_CANDIDATES."""

    items: list[Item]
    is_cut: bool = False


NOTHING = Matches([])


@dataclass(frozen=True, slots=True)
class Nearest:
    """The nearest results, and the names of the criteria that they do not satisfy."""

    dropped: list[str]
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Position:
    """The sort key of the last result of a page."""

    id: UUID
    start: datetime | None = None
    rate: int | None = None
    instructor_id: UUID | None = None
    is_for_everyone: bool = False


@dataclass(frozen=True, slots=True)
class _Offer:
    """A service that matches the criteria except the time."""

    service_id: UUID
    instructor_id: UUID
    instructor_name: str
    service_name: str
    catalog_service: str
    hourly_rate_cents: int
    areas: list[str]
    minutes: int

    def item(self, start: datetime | None) -> Item:
        return Item(
            self.instructor_id,
            self.instructor_name,
            self.service_id,
            self.service_name,
            self.catalog_service,
            self.hourly_rate_cents,
            self.areas,
            self.minutes,
            start,
        )


@dataclass(frozen=True, slots=True)
class _Candidate(_Offer):
    start: datetime | None


@dataclass(frozen=True, slots=True)
class _FreeCandidate(_Offer):
    start: datetime
    time_zone: str
    notice: int
    edges: list[datetime]

    def first_start(self, now: datetime, exactly: int | None) -> datetime | None:
        """The first start in the free ranges; with `exactly`, at that minute of the day."""
        ranges = start_times.pairs(self.edges)
        zone = ZoneInfo(self.time_zone)
        if exactly is not None:
            ranges = [span for span in ranges if _minute_of_day(span[0], zone) == exactly]
        earliest, latest = now + timedelta(minutes=self.notice), now + HORIZON
        for start in start_times.of_ranges(ranges, self.minutes, self.time_zone):
            if start > latest:
                return None
            if start >= earliest and exactly in {None, _minute_of_day(start, zone)}:
                return start
        return None


@dataclass(frozen=True, slots=True)
class Hours:
    """The days of a search in order, and the minutes of each day between which a whole lesson must
    lie; with `exactly`, the minute at which it must start."""

    days: list[date]
    from_minute: int
    to_minute: int
    exactly: int | None


_page = statement("search_page", _Candidate, seconds=PUBLIC_SECONDS)
_free = statement("search_free", _FreeCandidate, seconds=PUBLIC_SECONDS)


def local_now(now: datetime) -> datetime:
    """The current time in the zone of queries."""
    return now.astimezone(ZONE)


async def find(
    db: Db,
    criteria: Understood,
    vocabulary: Vocabulary,
    *,
    now: datetime,
    limit: int,
    sort: Sort = "soonest",
    after: Position | None = None,
) -> Matches:
    """Up to `limit` services that satisfy every criterion, after the one at `after`. By `soonest`,
    those for the audience come before those for everyone if the query names FEW_SERVICES."""
    filters = _filters(criteria, vocabulary)
    if criteria.outside or filters["services"] == []:
        return NOTHING
    hours = hours_of(criteria, now=now)
    is_narrow = 0 < len(filters["services"] or ()) <= FEW_SERVICES
    if sort != "soonest" or not filters["audiences"] or not is_narrow:
        return await _find(db, filters, hours, now=now, limit=limit, sort=sort, after=after)
    first = NOTHING
    if after is None or not after.is_for_everyone:
        own = filters | {"audiences": [*filters["audiences"], _NOT_EVERYONE]}
        first = await _find(db, own, hours, now=now, limit=limit, sort=sort, after=after)
        after = None
    rest = NOTHING
    if len(first.items) < limit:
        everyone = filters | {"audiences": []}
        limit -= len(first.items)
        rest = await _find(db, everyone, hours, now=now, limit=limit, sort=sort, after=after)
    items = [*first.items, *(replace(item, is_for_everyone=True) for item in rest.items)]
    return Matches(items, first.is_cut or rest.is_cut)


async def _find(
    db: Db,
    filters: dict[str, Any],
    hours: Hours | None,
    *,
    now: datetime,
    limit: int,
    sort: Sort,
    after: Position | None,
) -> Matches:
    if hours is None:
        items = await _next_items(db, filters, now=now, limit=limit, sort=sort, after=after)
        return Matches(items)
    if hours.from_minute >= hours.to_minute:
        return NOTHING
    counts = [len(hours.days)]
    if sort == "soonest":
        counts = [*(count for count in FIRST_DAYS if count < len(hours.days)), *counts]
    for count in counts:
        first_hours = replace(hours, days=hours.days[:count])
        matches = await _free_items(
            db, filters, first_hours, now=now, limit=limit, sort=sort, after=after
        )
        if len(matches.items) >= limit:
            break
    return matches


async def find_nearest(
    db: Db,
    criteria: Understood,
    vocabulary: Vocabulary,
    *,
    now: datetime,
    limit: int = 10,
    sort: Sort = "soonest",
) -> Nearest | None:
    """The nearest results of a search that has none: with the fewest criteria dropped, and of these
    the least important. None if the search has no criteria, or there is no service at all."""

    async def items_of(looser: Understood) -> list[Item]:
        return (await find(db, looser, vocabulary, now=now, limit=limit, sort=sort)).items

    base, dropped = await _without_unavailable_subject(db, criteria, vocabulary, now=now)
    if criteria.outside:
        base = replace(base, outside=None)
        dropped.append("text")
    if dropped and (items := await items_of(base)):
        return Nearest(dropped, items)
    for groups in _groups_to_drop(criteria):
        names = [name for group in groups for name in _DROPPABLE[group]]
        looser = replace(base, **{name: getattr(_EMPTY, name) for name in names})
        if items := await items_of(looser):
            for group in groups:
                dropped += _names_of(criteria, group)
            return Nearest([*dict.fromkeys(dropped)], items)
    return None


async def _without_unavailable_subject(
    db: Db, criteria: Understood, vocabulary: Vocabulary, *, now: datetime
) -> tuple[Understood, list[str]]:
    """The criteria without a service or category that nobody offers, and what was dropped. The
    category of a service stays."""
    subject, name = Understood(service=criteria.service, services=criteria.services), "service"
    if subject == _EMPTY:
        subject, name = Understood(category=criteria.category), "category"
    if subject == _EMPTY or (await find(db, subject, vocabulary, now=now, limit=1)).items:
        return criteria, []
    category = None
    if criteria.service:
        category = vocabulary.category_of.get(criteria.service)
    elif criteria.services:
        category = criteria.category
    return replace(criteria, service=None, services=(), category=category), [name]


def _groups_to_drop(criteria: Understood) -> Iterator[tuple[str, ...]]:
    """Combinations of the search's groups of criteria, the fewest and least important first, up to
    MAX_ATTEMPTS; finally all of them."""
    groups = [
        group
        for group, names in _DROPPABLE.items()
        if any(getattr(criteria, name) not in {None, ()} for name in names)
    ]
    by_size = (combinations(groups, size) for size in range(1, len(groups) + 1))
    yield from islice(chain.from_iterable(by_size), MAX_ATTEMPTS)
    yield tuple(groups)


def _names_of(criteria: Understood, group: str) -> list[str]:
    """The criteria of a group in the names of the API, or the group if the API has no names."""
    sent = criteria.as_json()
    return [name for name in _DROPPABLE[group] if name in sent] or [group]


def cursor_key(item: Item, sort: Sort) -> list[Any]:
    """The values in the cursor of the page that begins after this result."""
    start = item.next_available and wire.instant(item.next_available)
    key = {"soonest": start, "price": item.hourly_rate_cents}.get(sort)
    part = _FOR_EVERYONE if item.is_for_everyone else sort
    return [part, key, item.instructor_id, item.service_id]


def cursor_position(paging: wire.Paging, sort: Sort) -> Position | None:
    """The position that the cursor names, or None without one. Raises ValidationError for a cursor
    of another sort."""
    values = paging.position(str, _sort_key, UUID, UUID)
    if values is None:
        return None
    cursor_sort, key, instructor_id, service_id = values
    is_for_everyone = cursor_sort == _FOR_EVERYONE
    if is_for_everyone:
        cursor_sort = "soonest"
    if cursor_sort != sort or isinstance(key, int) != (sort == "price"):
        raise refusal.ValidationError(
            "This cursor isn’t valid. Start again without one.", field="cursor"
        )
    if sort == "price":
        return Position(service_id, rate=key)
    return Position(
        service_id, start=key, instructor_id=instructor_id, is_for_everyone=is_for_everyone
    )


def _sort_key(value: object) -> datetime | int | None:
    if isinstance(value, str):
        return wire.moment(value)
    return None if value is None else wire.row_id(value)


class ServiceNameJson(NamedJson):
    catalog_service: str


class ResultJson(TypedDict):
    """A service of an instructor that matches. `areas` are slugs."""

    instructor: NamedJson
    service: ServiceNameJson
    hourly_rate_cents: int
    areas: list[str]
    next_available: InstantText | None


def as_json(item: Item) -> ResultJson:
    """A search result in the API's JSON (docs/api.md)."""
    return {
        "instructor": {"id": str(item.instructor_id), "name": item.instructor_name},
        "service": {
            "id": str(item.service_id),
            "name": item.service_name,
            "catalog_service": item.catalog_service,
        },
        "hourly_rate_cents": item.hourly_rate_cents,
        "areas": item.areas,
        "next_available": wire.instant(item.next_available) if item.next_available else None,
    }


# ---- criteria


def _filters(criteria: Understood, vocabulary: Vocabulary) -> dict[str, Any]:
    """The parameters of the statements; an empty list matches nothing."""
    services = [*criteria.services] or ([criteria.service] if criteria.service else None)
    if criteria.category:
        inside = vocabulary.services_in(criteria.category)
        services = [slug for slug in services if slug in inside] if services else inside
    named = (criteria.area,) if criteria.area else criteria.areas
    areas = sorted({other for area in named for other in vocabulary.areas_around(area)})
    audience = criteria.audience
    return {
        "services": services,
        "areas": areas or None,
        "min_price": criteria.min_price_cents,
        "max_price": criteria.max_price_cents,
        "minutes": criteria.minutes,
        "level": criteria.level,
        "audiences": _INCLUDED_AUDIENCES.get(audience, [audience]) if audience else None,
        "words": list(criteria.words),
    }


def hours_of(criteria: Understood, *, now: datetime) -> Hours | None:
    """The hours of a search with a day or time; None without. A time without a day means one of the
    next FIRST_DAYS[-1] days."""
    if not any((criteria.date, criteria.part_of_day, criteria.from_time, criteria.to_time)):
        return None
    today = local_now(now).date()
    first, count = today, FIRST_DAYS[-1]
    if criteria.date:
        last = max(criteria.last_date or criteria.date, criteria.date)
        # Past days of a range have no starts left.
        first = min(max(criteria.date, today - timedelta(days=1)), last)
        count = min((last - first).days + 1, MAX_DAYS)
    days = [first + timedelta(days=n) for n in range(count)]
    days = [day for day in days if not criteria.days or day in criteria.days] or days[-1:]
    begin, end = PARTS.get(criteria.part_of_day or "", (0, 24))
    from_minute, to_minute = begin * 60, end * 60
    exactly = None
    if criteria.from_time:
        from_minute = max(from_minute, _minute(criteria.from_time))
    if criteria.to_time and criteria.to_time == criteria.from_time:
        exactly = _minute(criteria.from_time)
        from_minute, to_minute = exactly, 24 * 60
    elif criteria.to_time:
        to_minute = min(to_minute, _minute(criteria.to_time))
    return Hours(days, from_minute, to_minute, exactly)


def _minute(wall_clock: str) -> int:
    return int(wall_clock[:2]) * 60 + int(wall_clock[3:])


def _minute_of_day(instant: datetime, zone: ZoneInfo) -> int:
    local = instant.astimezone(zone)
    return local.hour * 60 + local.minute


# ---- results


async def _next_items(
    db: Db,
    filters: dict[str, Any],
    *,
    now: datetime,
    limit: int,
    sort: Sort,
    after: Position | None,
) -> list[Item]:
    """Results with the next start of their calendars."""
    starts: dict[Pair, datetime | None] = {}
    ranking: list[Item] = []
    for factor in ROUNDS:
        size = (limit + SPARE) * factor if sort == "soonest" else limit
        candidates = await _page.all(
            db, **filters, sort=sort, **_keys(after), limit=size, latest=now + HORIZON
        )
        pairs = {(row.instructor_id, row.minutes) for row in candidates}
        starts |= await next_start.of(db, pairs - starts.keys(), now=now)
        results = [row.item(starts[row.instructor_id, row.minutes]) for row in candidates]
        ranking = _ranking(results, sort, after)
        if sort != "soonest" or len(candidates) < size:
            break
        # No service beyond these candidates is free earlier.
        last = max(_order(row.start, row.instructor_id, row.service_id) for row in candidates)
        if len(ranking) >= limit and _soonest(ranking[limit - 1]) <= last:
            break
    return ranking[:limit]


async def _free_items(
    db: Db,
    filters: dict[str, Any],
    hours: Hours,
    *,
    now: datetime,
    limit: int,
    sort: Sort,
    after: Position | None,
) -> Matches:
    """Results that are free within these hours, with their first start then."""
    results: list[Item] = []
    service_ids: set[UUID] = set()
    count, size = 0, limit + SPARE
    # With `soonest`, read from the beginning: a candidate whose lower bound belongs to an earlier
    # page may start late enough for this one.
    keys = _keys(None if sort == "soonest" else after)
    while count < MAX_CANDIDATES:
        candidates = await _free.all(
            db,
            **filters,
            days=hours.days,
            from_minute=hours.from_minute,
            to_minute=hours.to_minute,
            sort=sort,
            **keys,
            limit=size,
            now=now,
        )
        count += len(candidates)
        # A service has a row for each range of its calendar. The first one counts.
        rows = {row.service_id: row for row in reversed(candidates)}
        new_rows = [row for service_id, row in rows.items() if service_id not in service_ids]
        service_ids |= rows.keys()
        starts = [(row, row.first_start(now, hours.exactly)) for row in new_rows]
        results += [row.item(start) for row, start in starts if start is not None]
        ranking = _ranking(results, sort, after)
        if len(candidates) < size:
            return Matches(ranking[:limit])
        last = candidates[-1]
        if len(ranking) >= limit and (
            sort != "soonest"
            or _soonest(ranking[limit - 1])
            <= _order(last.start, last.instructor_id, last.service_id)
        ):
            return Matches(ranking[:limit])
        keys = _keys(
            Position(last.service_id, last.start, last.hourly_rate_cents, last.instructor_id)
        )
        size = min(size * 4, MAX_CANDIDATES_PER_STATEMENT)
    return Matches(ranking[:limit], is_cut=True)


def _keys(after: Position | None) -> dict[str, Any]:
    """The position as parameters of the statements."""
    return {
        "after_start": after and after.start,
        "after_rate": after and after.rate,
        "after_instructor": after and after.instructor_id,
        "after_id": after and after.id,
    }


def _ranking(results: list[Item], sort: Sort, after: Position | None) -> list[Item]:
    if sort == "price":
        return sorted(results, key=lambda item: (item.hourly_rate_cents, item.service_id))
    if sort == "newest":
        return sorted(results, key=lambda item: item.service_id, reverse=True)
    ranking = sorted(results, key=_soonest)
    if after is None:
        return ranking
    begin = _order(after.start, after.instructor_id or after.id, after.id)
    return [item for item in ranking if _soonest(item) > begin]


_NEVER = datetime.max.replace(tzinfo=UTC)


def _soonest(item: Item) -> tuple[datetime, UUID, UUID]:
    return _order(item.next_available, item.instructor_id, item.service_id)


def _order(
    start: datetime | None, instructor_id: UUID, service_id: UUID
) -> tuple[datetime, UUID, UUID]:
    """The sort key of `soonest`. Services without a start come last."""
    return start or _NEVER, instructor_id, service_id
