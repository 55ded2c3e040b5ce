"""Modules that exist in Python and JavaScript give the same results: start times and formatting."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from playwright.async_api import Page, expect

from app import formatting, wire
from app.availability import start_times
from app.availability.board_cache import FreeStart
from app.db import Pool
from app.pages import instructor_cards, selection
from app.pages.instructor_cards import Window
from tests import factories
from tests.browser.board import book, hold
from tests.browser.conftest import Open

ZONES = (
    "America/New_York",
    "Europe/London",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/St_Johns",
)
# Ordinary days, and those on which clocks change in New York, London and on Lord Howe Island.
DAYS = (
    date(2026, 11, 24),
    date(2026, 3, 8),
    date(2026, 11, 1),
    date(2026, 3, 29),
    date(2026, 10, 25),
    date(2026, 4, 5),
)

USE_CLOCK = "(hours) => { document.documentElement.dataset.clock = hours; }"
SCRIPT = """async (cases) => {
  const { ofDay, fits, nearest, withoutOwnHolds, spans } = await import("/static/start_times.js");
  const format = await import("/static/formatting.js");
  return cases.map(({ free, held, busy, minutes, zone, earliest, latest, start: startText }) => {
    const limits = {
      earliest: Date.parse(earliest), latest: Date.parse(latest), busy: spans(busy),
    };
    const start = Date.parse(startText);
    const states = ofDay(spans(free), spans(held), minutes, zone, limits, start);
    const day = format.dayOf(start, zone);
    return {
      starts: [...states].map(([at, state]) => [format.wire(at), state]),
      without_own_holds: withoutOwnHolds(
        spans(free), spans(held), [[start, start + minutes * 60_000]],
      ).map((ranges) => ranges.map((range) => range.map(format.wire))),
      fits: fits(start, spans(free), minutes, limits),
      nearest: nearest(start, [...states.keys()]).map(format.wire),
      texts: [
        format.clock(start, zone), day, format.longDay(day), format.shortDay(day),
        format.moment(start, zone), format.week(day),
        format.soon(day, format.dayOf(limits.earliest, zone)), format.zoneName(zone),
        ...[0, 1, 2, 6, 7].map((ahead) => format.soon(format.addDays(day, ahead), day)),
        format.nearDay(format.addDays(day, 1), day), format.partOfDay(start, zone),
        format.smallPrint(zone), format.money(minutes * 37),
        format.money(format.price(4321, minutes)),
        ...["Asia/Kathmandu", "America/New_York"].map((own) => format.hint(start, zone, own)),
        ...[-1, 0, 1].map((after) => format.freeToCancel(
          start + format.GRACE + after * 1_000, zone, start)),
      ],
    };
  });
}"""


def cases(random: Random) -> list[dict[str, Any]]:
    """Days of boards with random free and held ranges, and lessons of the viewer."""
    days = []
    for day in DAYS:
        for zone in ZONES:
            begin = datetime.combine(day, datetime.min.time(), ZoneInfo(zone)).astimezone(UTC)
            quarters = sorted(random.sample(range(96), 12))
            edges = [
                begin + timedelta(minutes=15 * quarter + random.choice((0, 0, 5)))
                for quarter in quarters
            ]
            ranges = [
                [wire.instant(start), wire.instant(end)]
                for start, end in zip(edges[::2], edges[1::2], strict=True)
            ]
            days.append(
                {
                    "free": ranges[:4], "held": ranges[4:5], "busy": ranges[5:],
                    "minutes": random.choice((30, 45, 60)), "zone": zone,
                    "earliest": wire.instant(edges[1]), "latest": wire.instant(edges[-1]),
                    # Every second one overlaps the held range.
                    "start": random.choice((
                        wire.instant(begin + timedelta(minutes=15 * random.randrange(96))),
                        wire.instant(begin + timedelta(minutes=15 * quarters[8])),
                    )),
                }
            )  # fmt: skip
    return days


def on_the_server(case: dict[str, Any]) -> dict[str, Any]:
    zone, minutes, start = case["zone"], case["minutes"], formatting.instant_of(case["start"])
    earliest = formatting.instant_of(case["earliest"])
    limits = start_times.Limits(
        earliest, formatting.instant_of(case["latest"]), start_times.spans(case["busy"])
    )
    free, held = start_times.spans(case["free"]), start_times.spans(case["held"])
    states = start_times.of_day(free, held, minutes, zone=zone, limits=limits, selected=start)
    day = formatting.local_day(start, zone)
    return {
        "starts": [[wire.instant(at), state] for at, state in states.items()],
        "without_own_holds": [
            [[wire.instant(edge) for edge in span] for span in ranges]
            for ranges in start_times.without_own_holds(
                free, held, [(start, start + timedelta(minutes=minutes))]
            )
        ],
        "fits": start_times.fits(start, free, minutes, limits),
        "nearest": [wire.instant(at) for at in start_times.nearest(start, states)],
        "texts": [
            formatting.clock(start, zone), str(day), formatting.long_day(day),
            formatting.short_day(day), formatting.moment(start, zone),
            formatting.days(day, day + timedelta(days=selection.WEEK_DAYS - 1)),
            formatting.soon(day, formatting.local_day(earliest, zone)),
            formatting.zone_name(zone),
            *(formatting.soon(day + timedelta(days=ahead), day) for ahead in (0, 1, 2, 6, 7)),
            formatting.near_day(day + timedelta(days=1), day),
            formatting.part_of_day(start, zone), formatting.small_print(zone),
            formatting.money(minutes * 37), formatting.money(formatting.price(4321, minutes)),
            *(
                formatting.hint(start, zone, own)
                for own in ("Asia/Kathmandu", "America/New_York")
            ),
            *(
                formatting.free_to_cancel(
                    start + timedelta(minutes=5, seconds=after), zone, start
                )
                for after in (-1, 0, 1)
            ),
        ],
    }  # fmt: skip


async def test_scripts_and_the_server_compute_and_write_the_same(
    open_page: Open, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna")
    page = await open_page("/login")
    days = cases(Random(20261124))
    for hours in ("24", "12"):
        await page.evaluate(USE_CLOCK, hours)
        answers = await page.evaluate(SCRIPT, days)
        formatting.use_clock(hours)
        for case, answer in zip(days, answers, strict=True):
            assert answer == on_the_server(case), case


async def test_wall_clock_times_are_written_alike(open_page: Open) -> None:
    times = [f"{hour:02}:{minute}" for hour in range(24) for minute in ("00", "15")] + ["24:00"]
    spans = [[start, end] for start in times[::5] for end in times if end > start]
    page = await open_page("/login")
    for hours in ("24", "12"):
        await page.evaluate(USE_CLOCK, hours)
        written = await page.evaluate(
            """async (spans) => {
              const { wallClock, wallSpan } = await import("/static/formatting.js");
              return spans.map(([start, end]) => [wallClock(end), wallSpan(start, end)]);
            }""",
            spans,
        )
        formatting.use_clock(hours)
        assert written == [
            [formatting.wall_clock(end), formatting.wall_span(start, end)] for start, end in spans
        ]
        # Each quarter of an hour of the nights on which the clocks change.
        nights = [(datetime(day.year, day.month, day.day, tzinfo=UTC), zone)
                  for day in DAYS for zone in ZONES]  # fmt: skip
        instants = [(night + quarter * timedelta(minutes=15), zone)
                    for night, zone in nights for quarter in range(-48, 48)]  # fmt: skip
        written = await page.evaluate(
            """async (instants) => {
              const { clock } = await import("/static/formatting.js");
              return instants.map(([instant, zone]) => clock(Date.parse(instant), zone));
            }""",
            [[wire.instant(instant), zone] for instant, zone in instants],
        )
        clocks = [formatting.clock(instant, zone) for instant, zone in instants]
        assert written == clocks
        assert {text[-3:] for text in clocks} >= {"EDT", "EST", "T+1", "GMT", "+11", ":30"}


async def test_the_card_of_the_server_and_of_the_script_say_the_same(
    open_page: Open, pool: Pool
) -> None:
    """For a free start, a taken one, one at the student's own lesson, and one that is too soon."""
    anna = await factories.instructor(pool, "Anna", notice_minutes=24 * 60)
    cora = await factories.instructor(pool, "Cora")
    ben, cleo = await factories.student(pool, "Ben"), await factories.student(pool, "Cleo")
    await book(pool, anna, anna.at("11:00", day=3), cleo.id)
    await book(pool, cora, cora.at("15:00", day=3), ben.id)
    await hold(pool, cora, cora.at("16:00", day=3), ben.id)
    far = f"{formatting.short_day(anna.day(400))}, {anna.day(400).year}"
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    without_scripts = await open_page("about:blank", ben, java_script_enabled=False)
    page = await open_page("about:blank", ben)
    for start, button in (
        (anna.at("09:30", day=3), "Review and book"),
        (anna.at("11:00", day=3), "Anna isn’t free then"),
        (anna.at("15:00", day=3), "You already have a lesson at that time"),
        (anna.at("16:00", day=3), "You’re holding another lesson at that time"),
        (now + timedelta(minutes=90), "This time is too soon to book"),
        (anna.at("09:00", day=-1), "This time has passed"),
        (anna.at("09:00", day=400), f"This time is too far ahead ({far})"),
    ):
        path = f"/instructors/{anna.id}?minutes=30&start={wire.instant(start)}"
        await without_scripts.goto(path)
        from_server = await card_text(without_scripts)
        await page.goto(path)
        await expect(page.locator("#live")).to_have_attribute("data-state", "live")
        await expect(page.locator("#hold-button")).to_have_text(button)
        assert await card_text(page) == from_server, path


async def card_text(page: Page) -> list[str]:
    parts = ("#lesson dl", "#policy", "#unavailable")
    return [" ".join((await page.locator(part).inner_text()).split()) for part in parts]


async def test_the_cards_show_the_same_times(open_page: Open) -> None:
    random = Random(7)
    window = Window([date(2026, 11, 24), date(2026, 11, 25)], 9 * 60, 20 * 60)
    cases = []
    for zone in ZONES:
        for _ in range(20):
            begin = datetime(2026, 11, 24, 12, tzinfo=UTC)
            quarters = sorted(random.sample(range(200), random.choice((0, 1, 4, 30))))
            free = [begin + timedelta(minutes=15 * quarter) for quarter in quarters]
            cases.append((free, zone, random.randrange(2**24)))
    page = await open_page("/login")
    in_browser = await page.evaluate(
        """async ([cases, window]) => {
             const { isWithin, spread } = await import("/static/card_times.js");
             return cases.map(([free, zone, seed]) => [
               spread(free, zone, seed, 3), free.filter((at) => isWithin(window, at, 60, zone)),
             ]);
           }""",
        [
            [
                [[int(start.timestamp() * 1000) for start in free], zone, seed]
                for free, zone, seed in cases
            ],
            window.as_json(),
        ],
    )
    for (free, zone, seed), (spread, within) in zip(cases, in_browser, strict=True):
        starts = [FreeStart.of(start, zone) for start in free]
        expected = instructor_cards.spread(starts, seed)
        assert [datetime.fromtimestamp(ms / 1000, UTC) for ms in spread] == expected
        allowed = [each.start for each in starts if window.allows(each, 60)]
        assert [datetime.fromtimestamp(ms / 1000, UTC) for ms in within] == allowed
