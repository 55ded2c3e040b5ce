"""The cards of the home page are correct for any number of instructors."""

from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from app import formatting
from app.availability.board_cache import BoardCache
from app.db import Pool
from app.pages import instructor_cards
from app.pages.instructor_cards import Card
from app.search import search
from app.search.parse import Understood
from app.search.vocabulary import Vocabulary
from tests import factories

NOW = datetime(2026, 11, 24, 13, 5, tzinfo=UTC)
NOTHING = Vocabulary.of(())


def clock(instant: datetime) -> str:
    return formatting.clock(instant, "America/New_York")


async def free_next(pool: Pool) -> list[Card]:
    return await instructor_cards.free_next(pool, boards=BoardCache(), now=NOW)


async def names(pool: Pool) -> list[str]:
    return [card.row.name for card in await free_next(pool)]


async def test_the_newest_of_many_instructors_comes_first_if_free_first(pool: Pool) -> None:
    for n in range(30):
        await factories.instructor(pool, f"Carl {n:02}", hours=("12:00", "17:00"), now=NOW)
    await names(pool)
    await factories.instructor(pool, "Anna", hours=("08:00", "17:00"), notice_minutes=0, now=NOW)
    cards = await free_next(pool)
    assert len(cards) == instructor_cards.LIMIT
    assert cards[0].row.name == "Anna"
    assert cards[0].starts[0] == NOW.replace(minute=30)


async def test_a_cancelled_lesson_brings_its_instructor_back_to_the_front(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("11:00", "12:00"), now=NOW)
    await factories.instructor(pool, "Carl", hours=("12:00", "17:00"), now=NOW)
    ben = await factories.student(pool, "Ben")
    assert await names(pool) == ["Anna", "Carl"]
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("11:00", day=0), now=NOW)
    assert await names(pool) == ["Carl", "Anna"]
    await pool.execute("select refusal from cancel_booking($1, $2, '', $3)", ben.id, lesson.id, NOW)
    assert await names(pool) == ["Anna", "Carl"]


async def test_the_cards_vary_in_subject(pool: Pool) -> None:
    for n in range(20):
        await factories.instructor(pool, f"Carl {n:02}", service="piano", now=NOW)
    for service in ("guitar", "violin", "cello", "spanish", "chess"):
        later = ("12:00", "17:00")
        await factories.instructor(pool, service, service=service, hours=later, now=NOW)
    cards = await free_next(pool)
    subjects = [card.row.service_name for card in cards]
    assert len(cards) == instructor_cards.LIMIT
    assert {"Piano", "Guitar", "Violin", "Cello", "Spanish", "Chess"} == set(subjects)
    starts = [card.starts[0] for card in cards]
    assert starts == sorted(starts)


async def test_the_cards_vary_in_their_times(pool: Pool) -> None:
    for n in range(10):
        await factories.instructor(pool, f"Carl {n:02}", hours=("10:00", "20:00"), now=NOW)
    for n in range(10):
        await factories.instructor(pool, f"Eve {n:02}", hours=("17:00", "20:00"), now=NOW)
    cards = await free_next(pool)
    firsts = [clock(card.starts[0]) for card in cards]
    assert min(firsts.count("10:30 am"), firsts.count("5:00 pm")) >= 4
    assert len({tuple(card.starts) for card in cards}) > 3


async def test_the_times_of_a_card_are_not_neighbors(pool: Pool) -> None:
    await factories.instructor(pool, "Anna", hours=("10:00", "18:00"), now=NOW)
    await factories.instructor(pool, "Bea", hours=("10:00", "12:00"), days=1, now=NOW)
    anna, bea = await free_next(pool)
    assert clock(anna.starts[0]) == "10:30 am"
    parts = [formatting.part_of_day(start, "America/New_York") for start in anna.starts]
    assert parts == ["morning", "afternoon", "evening"]
    assert [clock(start) for start in bea.starts] == ["10:30 am", "11:00 am", "11:30 am"]


async def test_an_instructor_who_teaches_again_is_listed_again(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", now=NOW)
    await pool.fetchval("select set_teaching($1, false)", anna.id)
    assert await names(pool) == []
    await pool.fetchval("select set_teaching($1, true)", anna.id)
    [card] = await free_next(pool)
    assert card.starts


async def test_known_boards_are_computed_again_only_after_a_change(pool: Pool) -> None:
    anna = await factories.instructor(pool, "Anna", hours=("10:00", "18:00"), now=NOW)
    await factories.instructor(pool, "Bea", hours=("11:00", "18:00"), now=NOW)
    ben = await factories.student(pool, "Ben")
    boards = BoardCache()

    async def computed() -> tuple[list[Card], list[Card]]:
        """The cards, and those of them whose boards were computed."""
        cards = await instructor_cards.free_next(pool, boards=boards, now=NOW)
        fresh = await instructor_cards.free_next(pool, boards=BoardCache(), now=NOW)
        assert [card.as_json() for card in cards] == [card.as_json() for card in fresh]
        assert [card.starts for card in cards] == [card.starts for card in fresh]
        return cards, [card for card in cards if card.row.days is not None]

    cards, new = await computed()
    assert new == cards
    assert (await computed())[1] == []
    lesson = await factories.lesson(pool, ben.id, anna.service_id, anna.at("10:30", day=0), now=NOW)
    cards, new = await computed()
    assert [card.row.name for card in new] == ["Anna"]
    assert lesson.starts_at not in new[0].starts
    assert (await computed())[1] == []
    await pool.execute("update site set epoch_seed = gen_random_uuid()")
    cards, new = await computed()
    assert new == cards


async def test_the_oldest_of_too_many_known_boards_is_forgotten(pool: Pool) -> None:
    await factories.instructor(pool, "Anna", hours=("10:00", "18:00"), now=NOW)
    await factories.instructor(pool, "Bea", hours=("11:00", "18:00"), now=NOW)
    boards = BoardCache(max_boards=1)
    for _ in range(2):
        cards = await instructor_cards.free_next(pool, boards=boards, now=NOW)
        assert [card.row.name for card in cards if card.row.days is not None][:1] == ["Anna"]
        assert all(card.starts for card in cards)


async def test_a_calendar_of_many_short_ranges_is_read_once_per_list(
    client: httpx.AsyncClient, pool: Pool
) -> None:
    """One instructor has 66 services of several durations, and free ranges of 15 minutes."""
    anna = await factories.instructor(pool, "Anna", durations=(15, 30, 60, 90), days=0)
    await pool.execute(
        """insert into availability (instructor_id, during)
           select $1, tstzrange(start, start + interval '15 minutes')
           from generate_series(date_trunc('hour', now()), now() + interval '90 days',
                                interval '30 minutes') as start""",
        anna.id,
    )
    await pool.execute(
        """insert into service (instructor_id, catalog_service, hourly_rate_cents,
                                durations_minutes, location_types)
           select $1, slug, 5000, array[30 + 15 * (row_number() over ())::integer % 120, 240],
                  '{public}'
           from catalog_service where slug <> 'piano' order by slug limit 65""",
        anna.id,
    )
    await pool.execute("select sync_next_starts($1)", anna.id)
    reads: list[str] = []

    def note(record: Any) -> None:
        if "free_time(" in record.query:
            reads.append(record.query)

    async with pool.acquire() as connection:
        with connection.query_logger(note):
            matches = await search.find(
                connection, Understood(), NOTHING, limit=100, now=datetime.now(UTC)
            )
            # One read of the near days for all durations, one more for those without a time there.
            assert len(reads) == 2
            assert (
                await search.find(
                    connection, Understood(), NOTHING, limit=100, now=datetime.now(UTC)
                )
                == matches
            )
        await connection.execute("select 1")
        assert len(reads) == 2
    items = matches.items
    assert len(items) == 66
    [piano] = [item for item in items if item.catalog_service == "piano"]
    assert piano.next_available
    assert piano.next_available <= datetime.now(UTC) + timedelta(hours=3)
    assert all(item.next_available is None for item in items if item is not piano)
    stored = await pool.fetchval("select count(*) from next_start where start = 'infinity'")
    assert stored >= 8
    answer = await client.get("/api/instructors?limit=100")
    assert answer.status_code == 200
