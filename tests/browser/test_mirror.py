"""Where the scripts repeat what the server does, both say the same: start times, clock times, days, money."""

from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from app import formatting, wire
from app.availability import start_times
from app.db import Pool
from app.pages import selection
from tests import factories
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

IN_THE_BROWSER = """async (cases) => {
  const { ofDay, fits, nearest, spans } = await import("/static/start_times.js");
  const clock = await import("/static/formatting.js");
  return cases.map(({ free, held, busy, minutes, zone, earliest, latest, chosen, own }) => {
    const limits = { earliest: Date.parse(earliest), latest: Date.parse(latest), busy: spans(busy) };
    const start = Date.parse(chosen);
    const found = ofDay(spans(free), spans(held), minutes, zone, limits, start);
    const day = clock.dayOf(start, zone);
    return {
      starts: [...found].map(([at, state]) => [clock.wire(at), state]),
      fits: fits(start, spans(free), minutes, limits),
      near: nearest(start, [...found.keys()]).map(clock.wire),
      words: [clock.clock(start, zone), day, clock.longDay(day), clock.shortDay(day), clock.moment(start, zone), clock.week(day),
              clock.soon(day, clock.dayOf(limits.earliest, zone)), clock.zoneName(zone),
              ...[0, 1, 2, 6, 7].map((ahead) => clock.soon(clock.addDays(day, ahead), day)),
              clock.nearDay(clock.addDays(day, 1), day), clock.partOfDay(start, zone), clock.smallPrint(zone),
              clock.money(minutes * 37), clock.money(clock.price(4321, minutes))],
    };
  });
}"""


def cases(random: Random) -> list[dict[str, Any]]:
    """Days as boards could have them: ranges cut from one another, some held, some in the viewer's way."""
    made = []
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
            made.append(
                {
                    "free": ranges[:4], "held": ranges[4:5], "busy": ranges[5:], "minutes": random.choice((30, 45, 60)), "zone": zone,
                    "earliest": wire.instant(edges[1]), "latest": wire.instant(edges[-1]),
                    "chosen": wire.instant(begin + timedelta(minutes=15 * random.randrange(96))),
                }
            )  # fmt: skip
    return made


def on_the_server(case: dict[str, Any]) -> dict[str, Any]:
    zone, minutes, start = case["zone"], case["minutes"], formatting.instant_of(case["chosen"])
    earliest = formatting.instant_of(case["earliest"])
    limits = start_times.Limits(
        earliest, formatting.instant_of(case["latest"]), start_times.spans(case["busy"])
    )
    free, held = start_times.spans(case["free"]), start_times.spans(case["held"])
    found = start_times.of_day(free, held, minutes, zone=zone, limits=limits, chosen=start)
    day = formatting.local_day(start, zone)
    return {
        "starts": [[wire.instant(at), state] for at, state in found.items()],
        "fits": start_times.fits(start, free, minutes, limits),
        "near": [wire.instant(at) for at in start_times.nearest(start, found)],
        "words": [
            formatting.clock(start, zone), str(day), formatting.long_day(day), formatting.short_day(day), formatting.moment(start, zone),
            formatting.days(day, day + timedelta(days=selection.WEEK_DAYS - 1)), formatting.soon(day, formatting.local_day(earliest, zone)),
            formatting.zone_name(zone),
            *(formatting.soon(day + timedelta(days=ahead), day) for ahead in (0, 1, 2, 6, 7)),
            formatting.near_day(day + timedelta(days=1), day), formatting.part_of_day(start, zone), formatting.small_print(zone),
            formatting.money(minutes * 37), formatting.money(formatting.price(4321, minutes)),
        ],
    }  # fmt: skip


async def test_the_scripts_and_the_server_offer_and_say_the_same(
    open_page: Open, pool: Pool
) -> None:
    await factories.instructor(pool, "Anna")
    page = await open_page("/login")
    given = cases(Random(20261124))
    answers = await page.evaluate(IN_THE_BROWSER, given)
    for case, answer in zip(given, answers, strict=True):
        assert answer == on_the_server(case), case
