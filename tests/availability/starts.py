"""The free starts of a board."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app.availability.start_times import Limits, of_day, spans


def free_of_day(
    day: Mapping[str, Any], minutes: int, *, zone: str, limits: Limits
) -> list[datetime]:
    """The bookable starts of a day of a board."""
    states = of_day(spans(day["free"]), spans(day["held"]), minutes, zone=zone, limits=limits)
    return [start for start, state in states.items() if state == "free"]
