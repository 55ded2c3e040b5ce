"""The wire format of values (docs/api.md): instants, dates, and pages of lists."""

import contextlib
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from typing import Annotated, Any, Generic, TypeVar

import orjson
from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, Field
from typing_extensions import TypedDict

from app.refusal import ValidationError

Row = TypeVar("Row")
Item = TypeVar("Item")


def instant(moment: datetime) -> str:
    """`2026-11-23T14:00:00Z`."""
    return f"{moment.astimezone(UTC).isoformat(timespec='seconds')[:19]}Z"


def _check_range(moment: datetime) -> datetime:
    if not 1970 <= moment.year <= 9000:
        raise ValueError("That date is too far from today.")
    return moment.astimezone(UTC)


def _instant_text(value: object) -> object:
    if isinstance(value, str) and not value.lstrip("+-").replace(".", "").isdigit():
        return value
    # pydantic would accept seconds since 1970.
    raise ValueError("A time looks like 2026-11-23T14:00:00Z.")


# An instant as input, with any UTC offset. The offset is required.
Instant = Annotated[AwareDatetime, BeforeValidator(_instant_text), AfterValidator(_check_range)]


def local_date(value: object) -> date:
    """A date of the form `2026-11-23`. Raises ValueError."""
    text = value if isinstance(value, str) else ""
    if re.fullmatch("[0-9]{4}-[0-9]{2}-[0-9]{2}", text) and "1970" <= text < "9000":
        with contextlib.suppress(ValueError):  # no such day
            return date.fromisoformat(text)
    raise ValueError("A date looks like 2026-11-23.")


# A local date as input.
LocalDate = Annotated[date, BeforeValidator(local_date)]


def moment(text: str) -> datetime:
    """An instant from a cursor. Raises ValueError."""
    return _check_range(datetime.fromisoformat(text))


def row_id(value: object) -> int:
    """A bigint from a cursor or a path. Raises ValueError."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError("not an id")
    return value


def _flag(value: object) -> object:
    if isinstance(value, bool):
        return value
    if value in ("true", "false"):  # of a form
        return value == "true"
    raise ValueError("must be true or false")  # pydantic would accept 0, 1, "on" and "yes"


# A boolean as input.
Flag = Annotated[bool, BeforeValidator(_flag)]


def _number(value: object) -> object:
    if isinstance(value, bool):  # pydantic would take false for 0
        raise ValueError("must be a number")  # noqa: TRY004 — pydantic reports this one
    return value


# A whole number as input; in a form or a query, its digits.
Number = Annotated[int, BeforeValidator(_number)]


class Paging(BaseModel):
    """`?limit=` (1–100) and `?cursor=` of every list."""

    limit: int = Field(20, ge=1, le=100)
    cursor: str | None = Field(None, max_length=500)

    def position(self, *types: Callable[[Any], Any]) -> list[Any] | None:
        """The sort key of the last row before this page, each part converted by its type. None for
        the first page. Raises ValidationError for a cursor that we did not issue."""
        if self.cursor is None:
            return None
        try:
            parts = orjson.loads(urlsafe_b64decode(self.cursor))
            return [read(part) for read, part in zip(types, parts, strict=True)]
        except (ValueError, TypeError, AttributeError):
            raise ValidationError(
                "This cursor isn’t valid. Start again without one.", field="cursor"
            ) from None


class Listing(TypedDict, Generic[Item]):
    """A page of a list. `next_cursor` is null on the last one."""

    items: list[Item]
    next_cursor: str | None


def listing(
    rows: Sequence[Row],
    paging: Paging,
    show: Callable[[Row], Item],
    key: Callable[[Row], Sequence[Any]],
) -> Listing[Item]:
    """`{"items", "next_cursor"}`. `rows` were queried with `limit + 1`, to see whether there are
    more."""
    more = len(rows) > paging.limit
    page = rows[: paging.limit]
    next_cursor = cursor(key(page[-1])) if more else None
    return {"items": [show(row) for row in page], "next_cursor": next_cursor}


def cursor(key: Sequence[Any]) -> str:
    """The cursor after a row with this sort key."""
    return urlsafe_b64encode(orjson.dumps(list(key), default=str)).decode()
