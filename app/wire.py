"""Wire formats of the API (docs/api.md): instants, and lists in pages."""

import contextlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, TypeVar

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field

from app.refusal import ValidationError

Row = TypeVar("Row")


def instant(moment: datetime) -> str:
    """`2026-11-23T14:00:00Z`."""
    return f"{moment.astimezone(UTC).isoformat(timespec='seconds')[:19]}Z"


def _sane(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 9000:
        raise ValueError("That date is too far from today.")
    return moment.astimezone(UTC)


def _text(value: object) -> object:
    if isinstance(value, str) and not value.lstrip("+-").replace(".", "").isdigit():
        return value
    raise ValueError("A time looks like 2026-11-23T14:00:00Z.")  # and not like seconds since 1970


# An instant as input: any offset, but one there must be.
Instant = Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_sane)]


def local_date(value: object) -> date:
    """A date of the form `2026-11-23`. Raises ValueError."""
    if isinstance(value, str) and re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", value) and "1970" <= value < "9000":
        with contextlib.suppress(ValueError):  # there is no such day
            return date.fromisoformat(value)
    raise ValueError("A date looks like 2026-11-23.")


# A date of the wall clock as input.
LocalDate = Annotated[date, BeforeValidator(local_date)]


def moment(text: str) -> datetime:
    """An instant out of a cursor. Raises ValueError."""
    return _sane(datetime.fromisoformat(text))


class Paging(BaseModel):
    """`?limit=` (1–100) and `?cursor=` of every list."""

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=500)

    def position(self, *types: Callable[[Any], Any]) -> list[Any] | None:
        """Where the page begins: the sort key of the last row before it, each part read by its type. None: at the start.
        Raises ValidationError for a cursor that is not one of ours."""
        if self.cursor is None:
            return None
        try:
            parts = orjson.loads(urlsafe_b64decode(self.cursor))
            return [read(part) for read, part in zip(types, parts, strict=True)]
        except (ValueError, TypeError, AttributeError):
            raise ValidationError("This cursor isn’t valid. Start again without one.", field="cursor") from None


def listing(
    rows: Sequence[Row], paging: Paging, show: Callable[[Row], Any], key: Callable[[Row], Sequence[Any]]
) -> dict[str, Any]:
    """`{"items", "next_cursor"}` of rows that were asked for with `limit + 1`."""
    more = len(rows) > paging.limit
    kept = rows[: paging.limit]
    cursor = urlsafe_b64encode(orjson.dumps(list(key(kept[-1])), default=str)).decode() if more else None
    return {"items": [show(row) for row in kept], "next_cursor": cursor}
