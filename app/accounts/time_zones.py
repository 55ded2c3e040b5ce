"""The time zones that an account can have, and those that a form offers."""

from datetime import date, datetime, time, timedelta
from functools import cache, lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, available_timezones

_REGIONS = frozenset(
    {"Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe"}
    | {"Indian", "Pacific"}
)
_USUAL = {
    "America/New_York": "New York, Eastern",
    "America/Chicago": "Chicago, Central",
    "America/Denver": "Denver, Mountain",
    "America/Phoenix": "Phoenix, Arizona",
    "America/Los_Angeles": "Los Angeles, Pacific",
    "America/Anchorage": "Anchorage, Alaska",
    "Pacific/Honolulu": "Honolulu, Hawaii",
}

# Postgres reads these names as abbreviations, which have no daylight saving.
_PLACES_OF_ABBREVIATIONS = {
    "CET": "Europe/Brussels",
    "EET": "Europe/Athens",
    "MET": "Europe/Brussels",
    "WET": "Europe/Lisbon",
}


def unambiguous(name: str) -> str:
    """The name that means the same zone to Python and to Postgres."""
    return _PLACES_OF_ABBREVIATIONS.get(name, name)


@cache
def names() -> frozenset[str]:
    """All names, also former ones such as Asia/Calcutta, which some browsers send."""
    return frozenset(available_timezones() - {"Factory"})  # a placeholder that browsers reject


def choices(current: str, now: datetime) -> dict[str, list[tuple[str, str]]]:
    """The zones to choose from, with their labels, by region: the usual ones first, then each
    place once under its present name. `current` is always among them."""
    groups = {"United States": [(name, _label(name, now.date())) for name in _USUAL]}
    others = {*_places(), current} - {*_USUAL, "UTC"}
    for name in [*sorted(others, key=lambda name: _label(name, now.date())), "UTC"]:
        groups.setdefault(_region(name), []).append((name, _label(name, now.date())))
    return {region: groups[region] for region in sorted(groups, key=_rank)}


@cache
def _places() -> frozenset[str]:
    """The zones of zone.tab, which lists the places of each country without former names."""
    table = (resources.files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in table.splitlines() if not line.startswith("#")]
    return frozenset(row[2] for row in rows) & names()


def _region(name: str) -> str:
    region = name.split("/", maxsplit=1)[0]
    return region if region in _REGIONS else "Others"


def _rank(region: str) -> tuple[int, str]:
    return {"United States": 0, "Others": 2}.get(region, 1), region


@lru_cache(maxsize=2_000)  # about three days
def _label(name: str, day: date) -> str:
    """Buenos Aires, Argentina (UTC−3): with the offset at noon of that day."""
    if name == "UTC":
        return name
    place = name if _region(name) == "Others" else ", ".join(reversed(name.split("/")[1:]))
    offset = datetime.combine(day, time(12), ZoneInfo(name)).utcoffset() or timedelta()
    return f"{_USUAL.get(name, place).replace('_', ' ')} ({_offset(offset)})"


def _offset(offset: timedelta) -> str:
    """UTC−5, UTC+5:30"""
    minutes = abs(offset) // timedelta(minutes=1)
    if not minutes:
        return "UTC"
    hours = f"{minutes // 60}:{minutes % 60:02}" if minutes % 60 else f"{minutes // 60}"
    return f"UTC{'−' if offset < timedelta() else '+'}{hours}"
