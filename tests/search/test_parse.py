"""Queries in everyday words, with the shipped catalog."""

import asyncio
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import asyncpg
import pytest

from app.search.parse import MAX_LENGTH, Understood, parse
from app.search.vocabulary import Term, Vocabulary, stem
from app.statements import CATALOG
from tests.cluster import TEMPLATE, Cluster
from tests.search.phrasings import PHRASINGS

ZONE = ZoneInfo("America/New_York")
SATURDAY = datetime(2026, 11, 21, 10, tzinfo=ZONE)


@pytest.fixture(scope="module")
def vocabulary(postgres: Cluster) -> Vocabulary:
    """Of the catalog that is shipped."""

    async def read() -> Vocabulary:
        connection = await asyncpg.connect(postgres.database(TEMPLATE))
        try:
            rows = await connection.fetch(CATALOG["search_vocabulary"][0])
        finally:
            await connection.close()
        return Vocabulary.of(Term(*row) for row in rows)

    return asyncio.run(read())


def expected_json(expected: dict[str, Any]) -> dict[str, Any]:
    """The expectation in the names of the API; prices there are in cents."""
    values = dict(expected)
    for name in ("min", "max"):
        if name in values:
            values[f"{name}_price_cents"] = round(values.pop(name) * 100)
    return values


@pytest.mark.parametrize(("query", "expected"), PHRASINGS)
def test_a_query_in_everyday_words_is_understood(
    vocabulary: Vocabulary, query: str, expected: dict[str, Any]
) -> None:
    assert parse(query, vocabulary, now=SATURDAY).as_json() == expected_json(expected)


@pytest.mark.parametrize("query", ["piano 12/31/9999", "piano 1/1/0001", "piano 0001-01-01"])
def test_a_date_centuries_away_is_ignored(vocabulary: Vocabulary, query: str) -> None:
    """Postgres could not add days to it."""
    understood = parse(query, vocabulary, now=SATURDAY)
    assert (understood.service, understood.date) == ("piano", None)


def test_there_are_many_phrasings() -> None:
    assert len({query for query, _ in PHRASINGS}) >= 150


@pytest.mark.parametrize(
    ("now", "query", "first", "last"),
    [
        ("2026-11-18 10:00", "this weekend", "2026-11-21", "2026-11-22"),
        ("2026-11-21 23:00", "this weekend", "2026-11-21", "2026-11-22"),
        ("2026-11-22 18:00", "this weekend", "2026-11-21", "2026-11-22"),
        ("2026-11-22 23:50", "this weekend", "2026-11-28", "2026-11-29"),
        ("2026-11-22 12:30", "this weekend in the morning", "2026-11-28", "2026-11-29"),
        ("2026-11-23 10:00", "next tuesday", "2026-12-01", None),
        ("2026-11-24 10:00", "tuesday", "2026-11-24", None),
        ("2026-11-24 10:00", "next tuesday", "2026-12-01", None),
        ("2026-11-24 18:00", "tuesday afternoon", "2026-12-01", None),
        ("2026-11-21 22:40", "sat at 5pm piano", "2026-11-28", None),
        ("2026-11-21 22:40", "piano sat 5pm", "2026-11-28", None),
        ("2026-11-21 16:50", "piano sat 5pm", "2026-11-21", None),
        ("2026-11-21 22:40", "saturday 6-8pm", "2026-11-28", None),
        ("2026-11-21 19:30", "saturday 6-8pm", "2026-11-21", None),
        ("2026-11-21 22:40", "saturday after 6pm", "2026-11-28", None),
        ("2026-11-21 20:00", "saturday after 6pm", "2026-11-21", None),
        ("2026-11-21 22:40", "saturday after 10pm", "2026-11-21", None),
        ("2026-11-21 10:00", "before 9am on saturday", "2026-11-28", None),
        ("2026-11-21 22:40", "sat or sun at 5pm", "2026-11-22", "2026-11-28"),
        ("2026-11-21 22:40", "saturday to monday at 5pm", "2026-11-21", "2026-11-23"),
        ("2026-11-21 22:40", "from saturday after 6pm", "2026-11-28", "2026-12-11"),
        ("2026-11-21 22:40", "today at 5pm", "2026-11-21", None),
        ("2026-11-22 12:30", "this weekend at 9am", "2026-11-28", "2026-11-29"),
        ("2026-12-31 10:00", "tomorrow", "2027-01-01", None),
        ("2028-02-20 10:00", "feb 29", "2028-02-29", None),
    ],
)
def test_days_are_relative_to_now(
    vocabulary: Vocabulary, now: str, query: str, first: str, last: str | None
) -> None:
    local = datetime.fromisoformat(now).replace(tzinfo=ZONE)
    understood = parse(query, vocabulary, now=local).as_json()
    assert (understood["date"], understood.get("last_date")) == (first, last)


def test_an_ambiguous_word_stays_text_and_means_all_of_its_services() -> None:
    words = [("service", "coding", slug, slug.title(), "technology") for slug in ("python", "java")]
    vocabulary = Vocabulary.of([Term(*row) for row in words])
    understood = parse("coding lessons", vocabulary, now=SATURDAY)
    assert (understood.service, understood.services) == (None, ("java", "python"))
    assert (understood.text, understood.words) == ("coding", ())


@pytest.mark.parametrize(
    ("query", "days"),
    [
        ("mon or wed", ["2026-11-23", "2026-11-25"]),
        ("next monday or wed", ["2026-11-23", "2026-11-25"]),
        ("fri, sat or mon", ["2026-11-21", "2026-11-23", "2026-11-27"]),
        ("dec 3, 5 and 7", ["2026-12-03", "2026-12-05", "2026-12-07"]),
        ("3, 5 and 7 december", ["2026-12-03", "2026-12-05", "2026-12-07"]),
        ("5th and 7th of dec", ["2026-12-05", "2026-12-07"]),
        ("dec 3 or 5, 7", ["2026-12-03", "2026-12-05", "2026-12-07"]),
        ("this weekend or next monday", []),
        ("friday or the weekend", ["2026-11-21", "2026-11-22", "2026-11-27"]),
        (
            "this weekend or next weekend",
            ["2026-11-21", "2026-11-22", "2026-11-28", "2026-11-29"],
        ),
        ("tomorrow or next weekend", ["2026-11-22", "2026-11-28", "2026-11-29"]),
        ("monday or tuesday", []),
        ("mon-fri", []),
    ],
)
def test_only_the_named_days_count(vocabulary: Vocabulary, query: str, days: list[str]) -> None:
    understood = parse(query, vocabulary, now=SATURDAY)
    assert [str(day) for day in understood.days] == days


@pytest.mark.parametrize(
    ("query", "ignored"),
    [
        ("piano not on monday", ("not on monday",)),
        ("piano no weekends", ("no weekends",)),
        ("piano any day but monday", ("any day but monday",)),
        ("piano not on monday morning", ("not on monday morning",)),
        ("piano no mornings", ()),
        ("piano no afternoons", ("no afternoons",)),
        ("piano after 6pm, no evenings", ("no evenings",)),
        ("piano no early mornings", ("no early mornings",)),
        ("piano feb 30", ("feb 30",)),
        ("piano on the 31st of june", ("31 st of june",)),
        ("piano mornings or evenings", ("evening",)),
        ("guitar but not bass guitar", ("not bass guitar",)),
        ("guitar not electric", ("not electric",)),
        ("piano in hoboken or queens", ("Hoboken",)),
        ("piano not before 6pm", ()),
        ("piano not too expensive", ()),
    ],
)
def test_criteria_that_no_search_can_satisfy_are_reported(
    vocabulary: Vocabulary, query: str, ignored: tuple[str, ...]
) -> None:
    assert parse(query, vocabulary, now=SATURDAY).ignored == ignored


@pytest.mark.parametrize(
    ("query", "minutes"),
    [
        ("piano for an hour", 60),
        ("piano an hour lesson under 80", 60),
        ("piano under 60 dollars for 1 hour", 60),
        ("piano $60 an hour", None),
        ("piano under 60 an hour", None),
        ("piano 60 dollars an hour", None),
        ("piano less than 60 bucks an hour", None),
    ],
)
def test_a_price_per_hour_is_not_a_length(
    vocabulary: Vocabulary, query: str, minutes: int | None
) -> None:
    assert parse(query, vocabulary, now=SATURDAY).minutes == minutes


@pytest.mark.parametrize(
    ("query", "services"),
    [
        ("piano for my 7 year old", ("kids-piano", "piano")),
        ("piano for my daughter", ("kids-piano", "piano")),
        ("piano for kids", ("kids-piano", "piano")),
        ("piano for my 15 year old", ()),
        ("violin for my 7 year old", ()),
    ],
)
def test_the_catalogs_services_for_an_audience_are_included(
    vocabulary: Vocabulary, query: str, services: tuple[str, ...]
) -> None:
    understood = parse(query, vocabulary, now=SATURDAY)
    assert understood.service in {"piano", "violin"}
    assert understood.services == services


def test_lessons_elsewhere_and_online_are_told_apart(vocabulary: Vocabulary) -> None:
    assert parse("piano in new jersey", vocabulary, now=SATURDAY).outside == "New Jersey"
    assert parse("piano on zoom", vocabulary, now=SATURDAY).is_online
    assert not parse("piano in person", vocabulary, now=SATURDAY).is_online


@pytest.mark.parametrize(
    "query",
    ["rugby", "patient", "sarah chen", "march", "violet", "dance", "chest", "brook", "mary"],
)
def test_a_correct_word_is_never_replaced(vocabulary: Vocabulary, query: str) -> None:
    understood = parse(query, vocabulary, now=SATURDAY)
    named = vocabulary.meanings.get((query,))
    assert understood.service is None or (named and understood.service in named.services)


@pytest.mark.parametrize("query", ["fitness seniors", "music toddlers"])
def test_a_reversed_name_with_an_audience_is_understood(vocabulary: Vocabulary, query: str) -> None:
    reversed_query = " ".join(reversed(query.split()))
    understood = parse(query, vocabulary, now=SATURDAY)
    named = vocabulary.meanings[tuple(map(stem, reversed_query.split()))]
    assert named.services & {understood.service, *understood.services}


@pytest.mark.parametrize(
    "query",
    ["$", "-", "11/99", "99:99", "feb 30", "0", "$$$ 5-", "(" * 500, "not \x005\x00", "\x000\x00"],
)
def test_nonsense_is_understood_as_nothing(vocabulary: Vocabulary, query: str) -> None:
    assert not parse(query, vocabulary, now=SATURDAY).service


def test_a_query_is_read_up_to_its_greatest_length(vocabulary: Vocabulary) -> None:
    understood = parse("x " * MAX_LENGTH + "piano", vocabulary, now=SATURDAY)
    assert understood.service is None
    assert parse("", vocabulary, now=SATURDAY) == Understood()
