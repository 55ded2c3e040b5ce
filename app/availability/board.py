"""The board: the public view of a calendar, as one snapshot of the database
(sql/functions/board.sql)."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from app.db import Db
from app.statements import PUBLIC_SECONDS, statement


@dataclass(frozen=True, slots=True)
class Board:
    """`days`: {date: {"free": [[start, end], …], "held": [[start, end], …]}} in the wire format,
    with every requested day present."""

    epoch: str
    version: int
    time_zone: str
    min_advance_minutes: int
    days: dict[str, Any]


_board = statement("board", Board, seconds=PUBLIC_SECONDS)


async def snapshot(db: Db, instructor_id: UUID, first: date, days: int) -> Board | None:
    """The board of `days` local days from `first`, or None if there is no such calendar. One round
    trip."""
    return await _board.first(db, instructor_id=instructor_id, first=first, days=days)
