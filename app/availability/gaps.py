"""The free time between the lessons of a day."""

from datetime import date
from typing import Any
from uuid import UUID

from app.db import Db
from app.statements import statement

_gaps = statement("gaps", list)


async def of_day(db: Db, instructor_id: UUID, day: date) -> list[Any]:
    """[{"start": "10:00", "end": "11:30", "minutes": 90}, …] between the first and the last lesson
    of a local date; empty on a day with fewer than two lessons."""
    return await _gaps.one(db, instructor_id=instructor_id, day=day)
