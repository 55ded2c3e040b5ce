"""The grammar of prices in a search: "under $60", "between 40 and 60", "cheap"."""

import re

from app.search import dates
from app.search.reading import Reading

# A number alone is a price only if a lesson may cost it.
LOWEST_PRICE, HIGHEST_PRICE = 15, 1000

_NUMBER = r"\d{1,4}(?:\.\d{1,2})?"
_MONEY = rf"\$ {_NUMBER}"
_AMOUNT = rf"(?:\$ )?{_NUMBER}"
# Not followed by the unit of a time, an age, a length or a date.
_NO_UNIT = (
    r"(?! ?(?:am|pm|:|/ \d|(?:- )?(?:year|yr|yo|minute|min|hour|hr|week|day|month|grade|"
    r"st|nd|rd|th))\b)(?!\d|[.:]\d)"
)


def read(reading: Reading) -> None:
    """Reads the lowest and the highest price per hour."""
    reading.text = re.sub(rf"\b({_NUMBER}) (?:dollars?|bucks?|usd)\b", r"$ \1", reading.text)
    reading.text = re.sub(
        rf"(?<!\$ )\b({_NUMBER})(?= ?(?:/|an|a|per) ?(?:hour|hr|h)\b| hourly\b)",
        r"$ \1",
        reading.text,
    )
    reading.text = re.sub(
        r"(?<=\d) ?(?:(?:/|an|a|per) ?(?:hour|hr|h|lesson|session|class)\b|hourly\b)",
        "",
        reading.text,
    )
    between = rf"\b(?:between|from) ({_AMOUNT}){_NO_UNIT} ?(?:-|to|and) ?({_AMOUNT}){_NO_UNIT}"
    reading.take(between, lambda m: _price_range(reading, m))
    reading.take(
        rf"({_MONEY}) ?(?:-|to|and) ?({_AMOUNT}){_NO_UNIT}|"
        rf"\b({_AMOUNT}) ?(?:-|to) ?({_MONEY}){_NO_UNIT}",
        lambda m: _price_range(reading, m),
    )
    reading.take(
        rf"(?<![\d/:-])\b({_NUMBER}) - ({_NUMBER}){_NO_UNIT}(?! ?/)",
        lambda m: _price_range(reading, m),
    )
    reading.take(
        rf"\b(?:not|no|never) (?:under|below|(?:less|lower|cheaper) than) ({_AMOUNT}){_NO_UNIT}",
        lambda m: _price_from(reading, m),
    )
    up_to = (
        r"(?:(?<![a-z])(?:for |at |is |of )?(?:(?:no|not|never) (?:more|higher|greater) than|"
        r"(?:not|never) (?:over|above|exceeding)|less than|"
        r"lower than|cheaper than|under|below|at most|up to|upto|maximum(?: of)?|max(?: of)?|"
        r"within|<=?|(?:(?:my|a|on|with) )*budget(?: of| is)?)) ?"
    )
    reading.take(
        rf"{up_to}({_AMOUNT}){_NO_UNIT}(?: ?(?:max|tops|total))?", lambda m: _price_to(reading, m)
    )
    reading.take(
        rf"({_AMOUNT}) (?:or less|or under|or below|or cheaper|and under|and below|max|"
        rf"maximum|tops|at most|budget){_NO_UNIT}",
        lambda m: _price_to(reading, m),
    )
    at_least = r"(?:more than|at least|over|above|minimum(?: of)?|min(?: of)?|starting at|>=?) ?"
    reading.take(
        rf"\b{at_least}({_AMOUNT}){_NO_UNIT}|>=? ?({_AMOUNT})", lambda m: _price_from(reading, m)
    )
    reading.take(
        rf"({_AMOUNT}) ?(?:\+|or more|and up|and above|or above|minimum|min){_NO_UNIT}",
        lambda m: _price_from(reading, m),
    )
    reading.take(rf"\bfrom ({_MONEY}){_NO_UNIT}", lambda m: _price_from(reading, m))
    reading.take(
        rf"(?:\b(?:for|around|about|roughly|approximately|at|circa) )?({_MONEY}){_NO_UNIT}",
        lambda m: _price_to(reading, m),
    )
    reading.take(
        r"\b(?:cheap(?:er|est)?|affordable|inexpensive|low cost|low price|budget|"
        r"reasonabl[ey](?: priced)?|not (?:too )?expensive)\b",
        lambda _: reading.set("by_price", value=True),
    )


def _price_range(reading: Reading, match: re.Match[str]) -> bool | None:
    low, high = (_cents(amount) for amount in match.groups() if amount)
    if "$" not in match[0] and (
        max(low, high) < 2000 or max(low, high) > 100 * HIGHEST_PRICE or dates.follows_month(match)
    ):
        return False
    reading.set("min_price_cents", min(low, high))
    reading.set("max_price_cents", max(low, high))
    return None


def _price_to(reading: Reading, match: re.Match[str]) -> bool | None:
    return _price(reading, "max_price_cents", match)


def _price_from(reading: Reading, match: re.Match[str]) -> bool | None:
    return _price(reading, "min_price_cents", match)


def _price(reading: Reading, name: str, match: re.Match[str]) -> bool | None:
    amount = next(group for group in match.groups() if group)
    cents = _cents(amount)
    if "$" not in match[0] and not LOWEST_PRICE * 100 <= cents <= HIGHEST_PRICE * 100:
        return False
    reading.set(name, cents)
    return None


def _cents(amount: str) -> int:
    return round(float(amount.removeprefix("$ ")) * 100)
