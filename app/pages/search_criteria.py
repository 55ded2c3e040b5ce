"""The criteria of a search: as fields of its address, and in words.

With `q` alone, the criteria are the meaning of its words; other fields override them. With
`refined`, only the other fields count. The form sends `refined`, and so do links that remove a
criterion."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from app import formatting, refusal, wire
from app.search import search
from app.search.dates import MAX_DAYS
from app.search.parse import MAX_LENGTH, Understood
from app.search.search import Item, Position, Sort
from app.search.vocabulary import Vocabulary
from app.search.words import PARTS

SORTS: dict[Sort, str] = {
    "soonest": "Soonest",
    "price": "Lowest price",
    "newest": "Newest",
}
LEVELS = ("beginner", "intermediate", "advanced")
AUDIENCES = ("kids", "teens", "adults", "seniors")
PRICES = ("min_price", "max_price")
MAX_CENTS = 10_000_000
MAX_SLUGS = 20  # in one field
MAX_OUTSIDE_LENGTH = 40
# Up to this many services are all named.
MAX_NAMES = 3
_DOLLARS = re.compile(r"\$?([0-9]{1,6}(?:\.[0-9]{0,4})?)")
_WITH_ARTICLE = re.compile(
    r"\bBronx\b|\b(?:Upper|Lower) (?:East|West) Side\b|\b(?:East|West) Village\b|"
    r"\b(?:Financial|Flatiron|Garment|Meatpacking|Theater) District\b"
)
# Beginnings of the names that take "on" instead of "in".
_TAKES_ON = ("the Upper", "the Lower", "Staten Island", "Roosevelt Island", "City Island")
_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d|24:00")


@dataclass(frozen=True, slots=True)
class Chip:
    """A criterion in words, as in a sentence, and the fields of `Understood` that hold it."""

    text: str
    fields: tuple[str, ...]
    without: str  # the address of the same search without it

    @property
    def label(self) -> str:
        return self.text[0].upper() + self.text[1:]


# ---- the address: criteria as fields


def filters(fields: Mapping[str, str], vocabulary: Vocabulary) -> dict[str, Any]:
    """The criteria of the fields besides `q`. Invalid values are ignored."""
    return _subject(fields, vocabulary) | _prices(fields) | _times(fields) | _others(fields)


def _subject(fields: Mapping[str, str], vocabulary: Vocabulary) -> dict[str, Any]:
    """The services, the category and the areas: slugs, separated by commas. A place outside the
    city counts only without an area."""
    values: dict[str, Any] = {}
    if outside := fields.get("outside", "").replace("\x00", "")[:MAX_OUTSIDE_LENGTH]:
        values |= {"outside": outside}
    for kind, several in (("service", "services"), ("area", "areas")):
        slugs = tuple(fields.get(kind, "").split(",")[:MAX_SLUGS])
        if all((kind, slug) in vocabulary.names for slug in slugs):
            is_one = len(slugs) == 1
            values |= {kind: slugs[0] if is_one else None, several: () if is_one else slugs}
            if kind == "area":
                values["outside"] = None
    if ("category", fields.get("category", "")) in vocabulary.names:
        values["category"] = fields["category"]
    services = {values.get("service"), *values.get("services", ())} - {None}
    if services and values.get("category") not in {
        vocabulary.category_of.get(slug) for slug in services
    }:
        # Of two subjects that exclude each other, the more precise one counts.
        values["category"] = None
    return values


def _prices(fields: Mapping[str, str]) -> dict[str, Any]:
    """The lower price is the minimum, whichever field it is in."""
    low, high = (_cents(fields.get(name)) for name in PRICES)
    if low is not None and high is not None:
        low, high = min(low, high), max(low, high)
    prices = {"min_price_cents": low, "max_price_cents": high}
    return {name: cents for name, cents in prices.items() if cents is not None}


def invalid_prices(fields: Mapping[str, str]) -> dict[str, str]:
    """The texts in the price fields that are not prices, by field."""
    typed = {name: fields.get(name, "").replace("\x00", "").strip() for name in PRICES}
    return {name: text[:MAX_LENGTH] for name, text in typed.items() if text and not _cents(text)}


def _times(fields: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if day := _day(fields.get("date")):
        last = min(_day(fields.get("last_date")) or day, day + timedelta(days=MAX_DAYS - 1))
        days = tuple(filter(None, map(_day, fields.get("days", "").split(",")[:MAX_DAYS])))
        is_range = not days or (min(days), max(days)) != (day, last)
        values |= {
            "date": day,
            "last_date": last if last > day else None,
            "days": () if is_range else days,
        }
    if fields.get("part_of_day") in PARTS:
        values |= {"part_of_day": fields["part_of_day"], "from_time": None, "to_time": None}
    clocks = {name: fields.get(name, "") for name in ("from_time", "to_time")}
    return values | {name: clock for name, clock in clocks.items() if _CLOCK.fullmatch(clock)}


def _others(fields: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, possible in (("level", LEVELS), ("audience", AUDIENCES)):
        if fields.get(name) in possible:
            values[name] = fields[name]
    if re.fullmatch("[0-9]{1,3}", fields.get("minutes", "")):
        values["minutes"] = int(fields["minutes"])
    if text := fields.get("words", "").replace("\x00", "")[:MAX_LENGTH].split():
        values |= {"words": tuple(text), "text": " ".join(text)}
    return values


def _cents(dollars: str | None) -> int | None:
    """Dollars as typed, in cents."""
    match = _DOLLARS.fullmatch((dollars or "").strip())
    cents = int(Decimal(match[1]) * 100) if match else 0
    return cents if 0 < cents <= MAX_CENTS else None


def _day(text: str | None) -> date | None:
    try:
        return wire.local_date(text)
    except ValueError:
        return None


def sort(fields: Mapping[str, str], criteria: Understood) -> Sort:
    for name in SORTS:
        if fields.get("sort") == name:
            return name
    return "price" if criteria.by_price else "soonest"


def address(criteria: Understood, sort: Sort, **more: object) -> str:
    """The address of a search for these criteria."""
    return formatting.address(
        "/search",
        refined=1,
        service=criteria.service or ",".join(criteria.services),
        category=criteria.category,
        area=criteria.area or ",".join(criteria.areas),
        outside=criteria.outside,
        min_price=_dollars(criteria.min_price_cents),
        max_price=_dollars(criteria.max_price_cents),
        date=criteria.date,
        last_date=criteria.last_date,
        days=",".join(map(str, criteria.days)),
        part_of_day=criteria.part_of_day,
        from_time=criteria.from_time,
        to_time=criteria.to_time,
        level=criteria.level,
        audience=criteria.audience,
        minutes=criteria.minutes,
        words=" ".join(criteria.words),
        sort=sort if sort != "soonest" else None,
        **more,
    )


def _dollars(cents: int | None) -> str | None:
    return None if cents is None else formatting.money(cents)[1:].replace(",", "")


def position(cursor: str, sort: Sort) -> Position | None:
    """The position that a cursor names; None for one of another sort, or no cursor."""
    try:
        return search.cursor_position(wire.Paging(limit=1, cursor=cursor or None), sort)
    except (refusal.Refusal, ValueError):
        return None


def cursor(item: Item, sort: Sort) -> str:
    """The cursor of the page after this result."""
    return wire.cursor(search.cursor_key(item, sort))


def without(criteria: Understood, names: list[str]) -> Understood:
    """The criteria without some of them, by the names of `search.Nearest`."""
    empty = Understood()
    return replace(criteria, **{name: getattr(empty, name) for name in fields_of(names)})


def fields_of(names: Iterable[str]) -> set[str]:
    """The fields of `Understood` that hold these criteria."""
    return {field for name in names for field in _GROUPS.get(name, (name,))}


_GROUPS = {
    "service": ("service", "services"),
    "area": ("area", "areas"),
    "date": ("date", "last_date", "days"),
    "time": ("part_of_day", "from_time", "to_time"),
    "length": ("minutes",),
    "text": ("text", "words", "outside"),
}


# ---- the criteria in words


def chips(criteria: Understood, vocabulary: Vocabulary, sort: Sort, today: date) -> list[Chip]:
    texts = [
        (services(criteria, vocabulary), ("service", "services")),
        (_category(criteria, vocabulary), ("category",)),
        (_place(criteria, vocabulary), ("area", "areas")),
        (_price(criteria), ("min_price_cents", "max_price_cents")),
        (f"in {criteria.outside}" if criteria.outside else "", ("outside",)),
        (_days(criteria, today), ("date", "last_date", "days")),
        (_time(criteria), ("part_of_day", "from_time", "to_time")),
        (f"{criteria.minutes} minutes" if criteria.minutes else "", ("minutes",)),
        (criteria.level or "", ("level",)),
        (f"for {criteria.audience}" if criteria.audience else "", ("audience",)),
        (f"“{criteria.text}”" if criteria.words else "", ("text", "words")),
    ]
    return [
        Chip(text, fields, address(without(criteria, [*fields]), sort))
        for text, fields in texts
        if text
    ]


def _names(vocabulary: Vocabulary, kind: str, slugs: Sequence[str]) -> str:
    """The names of the slugs, joined by "or"."""
    return formatting.alternatives([vocabulary.names.get((kind, slug), slug) for slug in slugs])


def services(criteria: Understood, vocabulary: Vocabulary) -> str:
    """The services, such as "Piano or Violin". If there are more than MAX_NAMES, a word that names
    all of them, such as "Coding"."""
    if term := _shared_term(criteria, vocabulary):
        return term[0].upper() + term[1:]
    return _names(
        vocabulary, "service", [criteria.service] if criteria.service else criteria.services
    )


def _category(criteria: Understood, vocabulary: Vocabulary) -> str:
    return _names(vocabulary, "category", [criteria.category] if criteria.category else [])


def _shared_term(criteria: Understood, vocabulary: Vocabulary) -> str | None:
    if criteria.service or len(criteria.services) <= MAX_NAMES:
        return None
    return vocabulary.shared_terms.get(frozenset(criteria.services))


def _place(criteria: Understood, vocabulary: Vocabulary) -> str:
    """The areas, such as "in Brooklyn", "in the Bronx or Queens" or "on the Upper West Side"."""
    name = _names(vocabulary, "area", [criteria.area] if criteria.area else criteria.areas)
    name = _WITH_ARTICLE.sub(r"the \g<0>", name)
    preposition = "on" if name.startswith(_TAKES_ON) else "in"
    return f"{preposition} {name}" if name else ""


def _price(criteria: Understood) -> str:
    low, high = criteria.min_price_cents, criteria.max_price_cents
    if low is not None and high is not None:
        return f"{formatting.money(low)} to {formatting.money(high)}"
    if high is not None:
        return f"up to {formatting.money(high)}"
    return f"from {formatting.money(low)}" if low is not None else ""


def _days(criteria: Understood, today: date) -> str:
    if criteria.date is None:
        return ""
    if criteria.days:
        return named_days(criteria, today)
    days = [day for day in (criteria.date, criteria.last_date) if day]
    return " – ".join(_day_in_words(day, today) for day in days)


def named_days(criteria: Understood, today: date) -> str:
    """The days of a search that skips days between them, such as "tomorrow or Wed, Nov 25"."""
    return " or ".join(_day_in_words(day, today) for day in criteria.days)


def _day_in_words(day: date, today: date) -> str:
    return formatting.near_day(day, today).lower() or formatting.short_day(day)


def _time(criteria: Understood) -> str:
    begin, end = criteria.from_time, criteria.to_time
    if begin and begin == end:
        return f"at {formatting.wall_clock(begin)}"
    if begin and end:
        return formatting.wall_span(begin, end)
    if begin:
        return f"after {formatting.wall_clock(begin)}"
    if end:
        return f"before {formatting.wall_clock(end)}"
    return criteria.part_of_day or ""


def phrase(chips: list[Chip]) -> str:
    """The criteria as somebody could type them."""
    return " ".join(chip.text for chip in chips).replace("“", "").replace("”", "")


def title(criteria: Understood, vocabulary: Vocabulary) -> str:
    """The title of the page, such as "Piano lessons in Brooklyn", or with more than MAX_NAMES
    services "Lessons in Brooklyn: Python, C++ or 5 others"."""
    subject = services(criteria, vocabulary) or _category(criteria, vocabulary)
    place = _place(criteria, vocabulary) or "in New York"
    if len(criteria.services) > MAX_NAMES and not _shared_term(criteria, vocabulary):
        return f"Lessons {place}: {subject}"
    return f"{subject} lessons {place}" if subject else f"Lessons {place}"
