"""The next free times of 10,000 instructors: the ranking, the cards of the home page, and a page of
the list, each after a booking of the first free time. The floor is one board per card."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app import refusal
from app.availability import board, next_start
from app.availability.board_cache import BoardCache
from app.bookings import booking
from app.db import Pool
from app.pages import instructor_cards
from app.search import search
from app.search.parse import Understood
from app.search.vocabulary import Vocabulary
from loadtests.bench import accounts
from loadtests.bench.report import Result, say
from loadtests.bench.stack import Stack
from loadtests.table import milliseconds, percentile

INSTRUCTORS = 10_000
# Rows per statement, because statements have a timeout.
BATCH = 500
AIM_SECONDS = 0.020
WARM = 10  # plans become generic at the sixth execution


async def measure(stack: Stack, *, quick: bool) -> list[Result]:
    pool = stack.pool
    (student,) = await accounts.students(pool, "free-next", 1)
    say(f"{INSTRUCTORS:,} instructors who open at different hours")
    for n in range(INSTRUCTORS // BATCH):
        await accounts.instructors(
            pool,
            f"free-{n}",
            BATCH,
            first=accounts.today(),
            days=instructor_cards.DAYS + 1,
            opens=7 + n % 6,
        )
    for table in ("account", "calendar", "availability", "service", "next_start"):
        await pool.execute(f"analyze {table}")
    refresh_started = time.perf_counter()
    while await next_start.refresh(pool, limit=200, now=datetime.now(UTC)):
        pass
    refreshed = time.perf_counter() - refresh_started
    seconds: dict[str, list[float]] = {}
    for turn in range(WARM + (100 if quick else 500)):
        await _turn(pool, student, seconds if turn >= WARM else {})
    floor = seconds.pop("floor")
    names = {
        "ranking": "free next: the nine soonest",
        "cards": "free next: the home page's cards with their boards",
        "offers": "a hundred offers with their next starts",
    }
    results = [
        Result(
            f"{names[name]}, {INSTRUCTORS:,} instructors: p50, p99",
            f"{milliseconds(percentile(turns, 50))}, {milliseconds(percentile(turns, 99))}",
            f"{milliseconds(percentile(floor, 50))}, {milliseconds(percentile(floor, 99))} "
            "(9 boards)",
            f"{percentile(turns, 50) / percentile(floor, 50):.1f}×",
            "p99 ≤ 20 ms" if name in {"ranking", "cards"} else "",
            percentile(turns, 99) <= AIM_SECONDS if name in {"ranking", "cards"} else None,
        )
        for name, turns in seconds.items()
    ]
    rows = 2 * INSTRUCTORS
    return [
        *results,
        Result(
            f"the worker computes {rows:,} next starts",
            f"{refreshed:.1f} s",
            "",
            f"{rows / refreshed:,.0f}/s",
            "",
            None,
        ),
    ]


async def _turn(pool: Pool, student: UUID, seconds: dict[str, list[float]]) -> None:
    """Books the first free time, then measures each read."""
    now = datetime.now(UTC)
    soonest = await next_start.soonest(pool, limit=instructor_cards.LIMIT, now=now)
    for card in soonest:
        assert card.start is not None
        try:
            await booking.reserve(
                pool,
                student,
                service_id=card.service_id,
                start=card.start,
                minutes=card.minutes,
                location_type=None,
                location="at home",
                note="",
                now=now,
            )
        except refusal.Refusal:
            continue  # the student is busy
        break

    def timed(name: str, began: float) -> None:
        seconds.setdefault(name, []).append(time.perf_counter() - began)

    began = time.perf_counter()
    await next_start.soonest(pool, limit=instructor_cards.LIMIT, now=now)
    timed("ranking", began)
    began = time.perf_counter()
    # The boards of all cards are computed, as after a restart.
    cards = await instructor_cards.free_next(pool, boards=BoardCache(), now=now)
    timed("cards", began)
    began = time.perf_counter()
    for card_with_board in cards:
        await board.snapshot(
            pool,
            card_with_board.row.instructor_id,
            card_with_board.row.first,
            instructor_cards.DAYS,
        )
    timed("floor", began)
    began = time.perf_counter()
    await search.find(
        pool, Understood(), Vocabulary.of(()), limit=100, now=now + timedelta(seconds=1)
    )
    timed("offers", began)
