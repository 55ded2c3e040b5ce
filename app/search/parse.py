"""What a search in everyday words means: a small grammar over a vocabulary, without a database or a
clock. docs/search.md explains it; tests/search/phrasings.py lists what it must understand."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime, time, timedelta
from typing import Any, cast

from typing_extensions import TypedDict

from app.schema import ClockText, DateText
from app.search import spelling
from app.search.vocabulary import Meaning, Vocabulary, plain, stem
from app.search.words import (
    AUDIENCES,
    FILLER,
    GRAMMAR,
    KNOWN,
    LEVELS,
    MONTHS,
    NUMBERS,
    SHORT_MONTHS,
    SHORT_WEEKDAYS,
    WEEKDAYS,
)

Day = date  # `Understood` has a field of that name
MAX_LENGTH = 200
MAX_TEXT_WORDS = 8
PARTS = {"morning": (6, 12), "afternoon": (12, 17), "evening": (17, 22)}
# Nothing shorter than this can be booked any more today.
SHORTEST_LESSON = timedelta(minutes=15)
# A date in another year than these before and after the present one is none.
MAX_YEARS = 5
# A number alone is a price only if a lesson may cost it.
LOWEST_PRICE, HIGHEST_PRICE = 15, 1000


class UnderstoodJson(TypedDict, total=False):
    """The criteria in a query; those that it does not have are left out."""

    service: str
    category: str
    min_price_cents: int
    max_price_cents: int
    date: DateText
    last_date: DateText
    part_of_day: str
    from_time: ClockText
    to_time: ClockText
    area: str
    level: str
    audience: str
    text: str


@dataclass(frozen=True, slots=True)
class Understood:
    """The criteria in a query. Dates and times ("HH:MM") are local to the lesson; equal `from_time`
    and `to_time` mean a start at that time. `text` is what no criterion covers.

    The last fields are not sent to clients: `services` and `areas` are what words of the text may
    mean if they name several, `words` are the others, `minutes` is a lesson's length, `by_price`
    asks for cheap lessons."""

    service: str | None = None
    category: str | None = None
    min_price_cents: int | None = None
    max_price_cents: int | None = None
    date: Day | None = None
    last_date: Day | None = None
    part_of_day: str | None = None
    from_time: str | None = None
    to_time: str | None = None
    area: str | None = None
    level: str | None = None
    audience: str | None = None
    text: str | None = None
    services: tuple[str, ...] = ()
    areas: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    minutes: int | None = None
    by_price: bool = False

    def as_json(self) -> UnderstoodJson:
        """The criteria in the API's JSON; those that the query does not have are left out."""
        values = {each.name: getattr(self, each.name) for each in fields(self)[:_SENT]}
        return cast(
            "UnderstoodJson",
            {
                name: value.isoformat() if isinstance(value, date) else value
                for name, value in values.items()
                if value is not None
            },
        )


_SENT = 13  # the fields of the contract


def parse(query: str, vocabulary: Vocabulary, *, now: datetime) -> Understood:
    """The criteria in a query. `now` is the local time in the zone of the lessons."""
    reading = _Reading(vocabulary, now)
    reading.read(query[:MAX_LENGTH])
    return reading.understood()


# Said in many ways, and meaning nothing that narrows a search.
_PHRASES_TO_SKIP = re.compile(
    r"\b(?:near(?:by)? me|close to me|around me|in my (?:area|neighborhood)|one on one|"
    r"1 ?-? ?on ?-? ?1|1:1|one to one|1 - 1|face to face|in person|as soon as possible|asap|"
    r"any ?time|(?:in )?(?:new york city|new york|nyc|ny)|how much (?:is|are|does|do)|who can|"
    r"at (?:my (?:home|place|house)|home))\b(?! (?:after|before|at|from)\b)"
)
_TOKEN = re.compile(
    r"\d{4}-\d\d-\d\d|\d+(?:[.:]\d+)?|\$|/|-|<=?|>=?|\+|[a-z0-9]+(?:[+#]+)?|\x00\d+\x00"
)

_NUMBER = r"\d{1,4}(?:\.\d{1,2})?"
_MONEY = rf"\$ {_NUMBER}"
_AMOUNT = rf"(?:\$ )?{_NUMBER}"
# Not the start of a time, an age, a length or a date.
_NO_UNIT = (
    r"(?! ?(?:am|pm|:|/ \d|(?:- )?(?:year|yr|yo|minute|min|hour|hr|week|day|month|grade|st|nd|rd|th)"
    r")\b)(?!\d|[.:]\d)"
)
_CLOCK = r"(?:\d{1,2}(?:[:.]\d\d)?(?: ?(?:am|pm))?|noon|midday|midnight)"
_TO = r"(?:-|to|until|till|and|through|thru)"


class _Reading:
    """One query: `text` is what has not been understood yet; a placeholder stands for a term."""

    def __init__(self, vocabulary: Vocabulary, now: datetime) -> None:
        self.vocabulary = vocabulary
        self.now = now
        self.today = now.date()
        self.text = ""
        self.terms: list[tuple[str, Meaning]] = []  # words and meaning
        self.values: dict[str, Any] = {}
        self.meridiem: str | None = None

    def read(self, query: str) -> None:
        tokens = _TOKEN.findall(_separated(plain(query)))
        self.text = " ".join(self._corrected(token) for token in tokens)
        self._skip(_PHRASES_TO_SKIP)
        self._protect_terms(lambda words: len(words) > 1)
        self._read_lengths_and_ages()
        self._read_parts_of_day()
        self._read_clock_ranges()
        self._read_prices()
        self._read_dates()
        self._read_times()
        self._read_levels()
        self._protect_terms(lambda _: True)
        self._read_audiences()

    # ---- words

    def _corrected(self, token: str) -> str:
        known = token in KNOWN or stem(token) in KNOWN
        if known or not token.isalpha() or stem(token) in self.vocabulary.words:
            return token
        return spelling.corrected(token, self.vocabulary, KNOWN) or token

    def _protect_terms(self, allowed: Callable[[Sequence[str]], bool]) -> None:
        """Replaces terms by placeholders, the longest first, so that no other rule reads their
        words."""
        tokens = self.text.split(" ")
        output: list[str] = []
        position = 0
        while position < len(tokens):
            for length in range(min(self.vocabulary.longest, len(tokens) - position), 0, -1):
                words = tokens[position : position + length]
                meaning = self.vocabulary.meanings.get(tuple(map(stem, words)))
                if meaning and allowed(words) and not self._is_grammar(words, tokens, position):
                    output.append(f"\x00{len(self.terms)}\x00")
                    self.terms.append((" ".join(words), meaning))
                    position += length
                    break
            else:
                output.append(tokens[position])
                position += 1
        self.text = " ".join(output)

    def _is_grammar(self, words: Sequence[str], tokens: Sequence[str], position: int) -> bool:
        """Whether these words belong to another rule here: in "piano for kids", the audience."""
        if any(stem(word) in AUDIENCES for word in words):
            others = [stem(word) for word in words if stem(word) not in AUDIENCES]
            names = [word for word in others if word not in FILLER]
            if not names:
                return len(tokens) > len(words) and any(
                    self.vocabulary.meanings.get((stem(token),)) or token.startswith("\x00")
                    for n, token in enumerate(tokens)
                    if not position <= n < position + len(words)
                )
            if meaning := self.vocabulary.meanings.get(tuple(names)):
                # The term's own services stay included: they are taught to this audience.
                own = self.vocabulary.meanings[tuple(map(stem, words))]
                self.values["with_services"] = own.services
                return bool(meaning.services)
        return False

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self.text = re.sub(r"\s+", " ", pattern.sub(" | ", self.text))

    def _take(self, pattern: str, use: Callable[[re.Match[str]], bool | None]) -> None:
        """Removes the matches that `use` reads; it returns False for one that it does not."""

        def replace(match: re.Match[str]) -> str:
            return match[0] if use(match) is False else " | "

        self.text = re.sub(r"\s+", " ", re.sub(pattern, replace, self.text))

    def _set(self, name: str, value: Any) -> None:
        self.values.setdefault(name, value)

    # ---- prices

    def _read_prices(self) -> None:
        self.text = re.sub(rf"\b({_NUMBER}) (?:dollars?|bucks?|usd)\b", r"$ \1", self.text)
        self.text = re.sub(
            rf"(?<!\$ )\b({_NUMBER})(?= ?(?:/|an|a|per) ?(?:hour|hr|h)\b| hourly\b)",
            r"$ \1",
            self.text,
        )
        self.text = re.sub(
            r"(?<=\d) ?(?:(?:/|an|a|per) ?(?:hour|hr|h|lesson|session|class)\b|hourly\b)",
            "",
            self.text,
        )
        between = rf"\b(?:between|from) ({_AMOUNT}){_NO_UNIT} ?(?:-|to|and) ?({_AMOUNT}){_NO_UNIT}"
        self._take(between, self._price_range)
        self._take(
            rf"({_MONEY}) ?(?:-|to|and) ?({_AMOUNT}){_NO_UNIT}|"
            rf"\b({_AMOUNT}) ?(?:-|to) ?({_MONEY}){_NO_UNIT}",
            self._price_range,
        )
        self._take(rf"(?<![\d/:-])\b({_NUMBER}) - ({_NUMBER}){_NO_UNIT}(?! ?/)", self._price_range)
        most = (
            r"(?:(?<![a-z])(?:for |at |is |of )?(?:no more than|not more than|not over|less than|lower than|"
            r"cheaper than|under|below|at most|up to|upto|maximum(?: of)?|max(?: of)?|within|"
            r"<=?|(?:(?:my|a|on|with) )*budget(?: of| is)?)) ?"
        )
        self._take(rf"{most}({_AMOUNT}){_NO_UNIT}(?: ?(?:max|tops|total))?", self._price_to)
        self._take(
            rf"({_AMOUNT}) (?:or less|or under|or below|or cheaper|and under|and below|max|"
            rf"maximum|tops|at most|budget){_NO_UNIT}",
            self._price_to,
        )
        least = r"(?:more than|at least|over|above|minimum(?: of)?|min(?: of)?|starting at|>=?) ?"
        self._take(rf"\b{least}({_AMOUNT}){_NO_UNIT}|>=? ?({_AMOUNT})", self._price_from)
        self._take(
            rf"({_AMOUNT}) ?(?:\+|or more|and up|and above|or above|minimum|min){_NO_UNIT}",
            self._price_from,
        )
        self._take(rf"\bfrom ({_MONEY}){_NO_UNIT}", self._price_from)
        self._take(
            rf"(?:\b(?:for|around|about|roughly|approximately|at|circa) )?({_MONEY}){_NO_UNIT}",
            self._price_to,
        )
        self._take(
            r"\b(?:cheap(?:er|est)?|affordable|inexpensive|low cost|low price|budget|"
            r"reasonabl[ey](?: priced)?|not (?:too )?expensive)\b",
            lambda _: self._set("by_price", value=True),
        )

    def _price_range(self, match: re.Match[str]) -> bool | None:
        low, high = (_cents(amount) for amount in match.groups() if amount)
        if "$" not in match[0] and (max(low, high) < 2000 or max(low, high) > 100 * HIGHEST_PRICE):
            return False
        self._set("min_price_cents", min(low, high))
        self._set("max_price_cents", max(low, high))
        return None

    def _price_to(self, match: re.Match[str]) -> bool | None:
        return self._price("max_price_cents", match)

    def _price_from(self, match: re.Match[str]) -> bool | None:
        return self._price("min_price_cents", match)

    def _price(self, name: str, match: re.Match[str]) -> bool | None:
        amount = next(group for group in match.groups() if group)
        cents = _cents(amount)
        if "$" not in match[0] and not LOWEST_PRICE * 100 <= cents <= HIGHEST_PRICE * 100:
            return False
        self._set(name, cents)
        return None

    # ---- days

    def _read_dates(self) -> None:
        today = self.today
        month = "|".join([*MONTHS, *SHORT_MONTHS])
        of_week = "|".join(WEEKDAYS)
        short = "|".join(SHORT_WEEKDAYS)
        day = r"(\d{1,2})(?: ?(?:st|nd|rd|th))?"
        self._take(
            r"\b(\d{4})-(\d\d)-(\d\d)\b", lambda m: self._date(int(m[1]), int(m[2]), int(m[3]))
        )
        self._take(
            r"\b(?:on )?(\d{1,2}) ?/ ?(\d{1,2})(?: ?/ ?(\d{2,4}))?\b",
            lambda m: self._date(_year(m[3]), int(m[1]), int(m[2])),
        )
        self._take(
            rf"\b(?:(?:{of_week}|{short}) )?(?:on )?({month}) {day}(?: (\d{{4}}))?(?![\d:])\b",
            lambda m: self._date(_year(m[3]), _month(m[1]), int(m[2])),
        )
        self._take(
            rf"\b(?:on )?(?:the )?{day} (?:of )?({month})(?: (\d{{4}}))?\b",
            lambda m: self._date(_year(m[3]), _month(m[2]), int(m[1])),
        )
        self._take(r"\b(?:the )?day after tomorrow\b", lambda _: self._days(today, 2))
        self._take(r"\b(?:for )?today\b", lambda _: self._days(today, 0))
        self._take(r"\b(?:for )?(?:tomorrow|tmrw|tmr|tomorow)\b", lambda _: self._days(today, 1))
        self._take(r"\bin (\d{1,2}) days?\b", lambda m: self._days(today, int(m[1])))
        self._take(r"\bin (?:a|1) week\b", lambda _: self._days(today, 7))
        self._take(r"\bin (\d{1,2}) weeks?\b", lambda m: self._days(today, 7 * int(m[1])))
        monday = today - timedelta(days=today.weekday())
        self._take(
            r"\b(?:(?:on|over|at) )?(?:(this|next|the|coming) )?weekends?\b",
            lambda m: self._weekend(monday, is_next=m[1] == "next"),
        )
        self._take(
            r"\b(?:on )?(?:saturdays? (?:or|and|/) sundays?|sat (?:or|and|/|-) sun)\b",
            lambda _: self._weekend(monday, is_next=False),
        )
        self._take(
            rf"\b(?:on )?(?:(this|next|coming) )?({of_week})s?(?: (?:or|and|/) ({of_week})s?)?\b",
            self._weekday,
        )
        # "sat" alone may be the test.
        self._take(
            rf"\b(?:(?:on )?(this|next|coming)|on) ({short})\b()|"
            rf"\b()({short})\b()(?= (?:at|after|before|around|between|from|\|))|"
            rf"(?<=\| )()({short})\b()|\b()(mon|tues?|weds?|thu|thurs?|fri)\b()",
            self._weekday,
        )
        self._take(
            r"\b(?:(this|next) )?weekdays?\b",
            lambda m: self._weekdays(monday, is_next=m[1] == "next"),
        )
        self._take(r"\bthis week\b", lambda _: self._days(today, 0, monday + timedelta(days=6)))
        self._take(
            r"\bnext week\b",
            lambda _: self._days(monday, 7, monday + timedelta(days=13)),
        )

    def _date(self, year: int | None, month: int, day: int) -> bool | None:
        try:
            value = date(year or self.today.year, month, day)
            if year is None and value < self.today:
                value = date(self.today.year + 1, month, day)
        except ValueError:
            return False
        if abs(value.year - self.today.year) > MAX_YEARS:
            return False
        self._set("date", value)
        return None

    def _days(self, first: date, after: int, last: date | None = None) -> None:
        if "date" not in self.values:
            self.values["date"] = first + timedelta(days=after)
            if last is not None and last != self.values["date"]:
                self.values["last_date"] = last

    def _weekend(self, monday: date, *, is_next: bool) -> None:
        saturday = monday + timedelta(days=5)
        if is_next or not self._has_starts_left(saturday + timedelta(days=1)):
            saturday += timedelta(days=7)
        self._days(saturday, 0, saturday + timedelta(days=1))

    def _has_starts_left(self, day: date) -> bool:
        """Whether a lesson can still begin on this day, in the part of the day that is asked
        for."""
        end_hour = PARTS[self.values["part_of_day"]][1] if "part_of_day" in self.values else 24
        end = datetime.combine(day, time(), self.now.tzinfo) + timedelta(hours=end_hour)
        return self.now + SHORTEST_LESSON <= end

    def _weekday(self, match: re.Match[str]) -> None:
        groups = [group for group in match.groups() if group is not None]
        which, first, second = (*groups, "", "", "")[:3] if match[1] is not None else ("", "", "")
        if match[1] is None:
            names = [group for group in groups if group]
            first, second = names[0], names[1] if len(names) > 1 else ""
        ahead = (_weekday_number(first) - self.today.weekday()) % 7
        if which == "next":
            ahead = 7 - self.today.weekday() + _weekday_number(first)
        elif ahead == 0 and not self._has_starts_left(self.today):
            ahead = 7
        start = self.today + timedelta(days=ahead)
        consecutive = second and (_weekday_number(second) - _weekday_number(first)) % 7 == 1
        self._days(start, 0, start + timedelta(days=1) if consecutive else None)

    def _weekdays(self, monday: date, *, is_next: bool) -> None:
        friday = monday + timedelta(days=4)
        if is_next or self.today > friday:
            self._days(monday, 7, friday + timedelta(days=7))
        else:
            self._days(self.today, 0, friday)

    # ---- times

    def _read_parts_of_day(self) -> None:
        self._take(
            r"\btonight\b|\btoday night\b|\bthis (evening|night|afternoon|morning)\b",
            lambda m: self._part(_part(m[1] or "evening"), days_ahead=0),
        )
        self._take(
            r"\b(tomorrow|tmrw) night\b",
            lambda _: self._part("evening", days_ahead=1),
        )
        self._take(
            r"\b(?:in |at )?(?:the )?(?:early |late )?(mornings?|afternoons?|evenings?|nights?)\b",
            lambda m: self._part(_part(m[1])),
        )
        self._take(r"\bafter work\b", lambda _: self._part("evening"))
        self._take(r"\bafter school\b", lambda _: self._set("from_time", "15:00"))
        self._take(
            r"\b(?:at |during |over )?(?:my )?(?:lunch ?time|lunch(?: (?:break|hour))?)\b",
            lambda _: self._between("12:00", "14:00"),
        )

    def _part(self, part: str, *, days_ahead: int | None = None) -> None:
        self._set("part_of_day", part)
        if days_ahead is not None:
            self._days(self.today, days_ahead)

    def _between(self, from_time: str, to_time: str) -> None:
        self._set("from_time", from_time)
        self._set("to_time", to_time)

    def _read_clock_ranges(self) -> None:
        """Before prices: "6-8pm" is no price, and "between 40 and 60" no time."""
        clock = rf"({_CLOCK})"
        marked = rf"(?={_CLOCK} ?{_TO} ?{_CLOCK}(?!\d))"
        self._take(
            rf"(?<!\$ )(?<!\d)\b(?:between |from )?{marked}{clock} ?{_TO} ?{clock}"
            rf"(?! ?(?:dollar|buck|usd|/|\$|year|yr|yo|minute|min|\d|max))\b",
            self._clock_range,
        )

    def _clock_range(self, match: re.Match[str]) -> bool | None:
        first, last = match[1], match[2]
        is_time = any(mark in first + last for mark in ("am", "pm", ":", "noon", "mid"))
        small = max(_hour(first), _hour(last)) <= 12
        prefixed = match[0].startswith(("between", "from"))
        if not is_time and not (small and (prefixed or "part_of_day" in self.values)):
            return False
        end = self._minutes(last)
        if end is None:
            return False
        borrowed = re.search("am|pm", last)
        begin = self._minutes(first, borrowed[0] if borrowed else None)
        if begin is not None and begin >= end:
            begin = self._minutes(first, "am")
        if begin is None or begin >= end:
            return False
        self._set("from_time", _wall(begin))
        self._set("to_time", _wall(end))
        return None

    def _read_times(self) -> None:
        clock = rf"({_CLOCK})(?! ?(?:dollar|buck|year|yr|yo|minute|min|/|\d))\b"
        self._take(
            rf"\b(?:any ?time )?(?:after|from|past|later than|starting at|starting|since|"
            rf"not before) {clock}(?: on)?",
            lambda m: self._time("from_time", m[1]),
        )
        self._take(
            rf"\b(?:any ?time )?(?:before|until|till|by|earlier than|no later than|not after) "
            rf"{clock}",
            lambda m: self._time("to_time", m[1]),
        )
        self._take(rf"\b(?:around|about|circa) {clock}", lambda m: self._time("around", m[1]))
        self._take(rf"\bat {clock}", lambda m: self._time("at", m[1]))
        self._take(
            r"(?<![\d$])\b(\d{1,2}(?:[:.]\d\d)? ?(?:am|pm)|\d{1,2}:\d\d|noon|midday)\b",
            lambda m: self._time("at", m[1]),
        )

    def _time(self, name: str, text: str) -> bool | None:
        minutes = self._minutes(text)
        if minutes is None:
            return False
        if name == "around":
            self._set("from_time", _wall(max(0, minutes - 60)))
            self._set("to_time", _wall(min(24 * 60, minutes + 120)))
        elif name == "at":
            self._set("from_time", _wall(minutes))
            self._set("to_time", _wall(minutes))
        else:
            self._set(name, _wall(minutes))
        return None

    def _minutes(self, text: str, meridiem: str | None = None) -> int | None:
        """Minutes since midnight. Without am or pm, the hour when lessons are usual: 1 to 7 are
        afternoon and evening."""
        if text.startswith(("noon", "midday")):
            return 12 * 60
        if text.startswith("midnight"):
            return 24 * 60
        match = re.match(r"(\d{1,2})(?:[:.](\d\d))? ?(am|pm)?", text)
        assert match is not None
        hour, minute = int(match[1]), int(match[2] or 0)
        meridiem = match[3] or meridiem
        if hour > 24 or minute > 59 or (meridiem and hour > 12 and match[3]):
            return None
        if hour > 12 or (len(match[1]) == 2 and match[1].startswith("0")):
            return hour * 60 + minute if hour * 60 + minute <= 24 * 60 else None
        part = self.values.get("part_of_day")
        if meridiem is None:
            late = part in {"afternoon", "evening"} or (part is None and hour <= 7)
            meridiem = "pm" if (late and hour != 12) or hour == 12 else "am"
        return (hour % 12 + (12 if meridiem == "pm" else 0)) * 60 + minute

    # ---- the lesson and the student

    def _read_lengths_and_ages(self) -> None:
        self._read_number_words()
        age = (
            r"\b(?:(?:for|my|our|an?|is|are|who is) )*(\d{1,2})(?: ?(?:-|to|and) ?\d{1,2})? ?"
            r"(?:- )?(?:years?|yrs?)(?: ?-? ?old)?s?\b(?! of)|"
            r"\b(?:for |my |an? )*(\d{1,2}) ?yo\b|\b(?:ages?|aged) (?:of )?(\d{1,2})"
            r"(?: ?(?:-|to|and) ?\d{1,2})?\b"
        )
        self._take(age + r"(?: (?:kid|child|boy|girl|son|daughter|old)s?)?", self._age)
        self._take(
            r"\b(\d{1,2}) ?(?:st|nd|rd|th)[ -]+grad(?:e|ers?)\b|\bgrade (\d{1,2})\b",
            lambda m: self._set("audience", "kids" if int(m[1] or m[2]) <= 6 else "teens"),
        )
        self._take(
            r"\b(?:for )?(?:an? )?(\d{2,3}|45) ?-? ?min(?:ute)?s?\b",
            lambda m: self._set("minutes", int(m[1])),
        )
        self._take(r"\bhalf(?: an)?[ -]hour\b", lambda _: self._set("minutes", 30))
        self._take(
            r"(?<!/ )\b(?:for )?(?:an|1|one)[ -]+hour(?=$| (?:long )?(?:lesson|class|session))"
            r"(?: long)?",
            lambda _: self._set("minutes", 60),
        )
        self._take(r"\b2[ -]+hours?\b", lambda _: self._set("minutes", 120))

    def _read_number_words(self) -> None:
        """Digits for numbers in words: "sixty five" is 65, "a hundred" 100."""
        output: list[str] = []
        previous: int | None = None
        for word in self.text.split(" "):
            value = NUMBERS.get(word)
            if value is None or (word == "one" and previous is None):
                output.append(word)
                previous = None
            elif previous is not None and (previous >= 20 and value < 10 and previous % 10 == 0):
                output[-1] = str(previous + value)
                previous = previous + value
            elif value == 100:
                if previous is not None and previous < 10:
                    output[-1] = str(previous * 100)
                elif output and output[-1] in {"a", "one"}:
                    output[-1] = "100"
                else:
                    output.append("100")
                previous = None
            else:
                output.append(str(value))
                previous = value
        self.text = " ".join(output)

    def _age(self, match: re.Match[str]) -> None:
        years = int(next(group for group in match.groups() if group))
        self._set(
            "audience",
            "kids" if years < 13 else "teens" if years < 18 else "adults" if years < 65
            else "seniors",
        )  # fmt: skip

    def _read_levels(self) -> None:
        words = "|".join(LEVELS)
        self._take(
            rf"\b(?:for )?(?:an? )?(?:absolute |complete |total |brand new )?({words})s?"
            r"(?: ?levels?)?\b",
            lambda m: self._set("level", LEVELS[m[1]]),
        )
        self._take(r"\bfrom scratch\b", lambda _: self._set("level", "beginner"))

    def _read_audiences(self) -> None:
        words = "|".join(sorted(AUDIENCES, key=len, reverse=True))
        self._take(
            rf"\b(?:for )?(?:my |our |an? |older |young |little |small )*({words})(?:s|ren)?"
            r"(?: ups?)?\b",
            lambda m: self._set("audience", AUDIENCES[m[1]]),
        )

    # ---- the result

    def understood(self) -> Understood:
        values = dict(self.values)
        named = values.pop("with_services", frozenset())
        words: list[str] = []
        services: frozenset[str] = frozenset()
        areas: frozenset[str] = frozenset()
        ambiguous: list[str] = []
        places: list[str] = []
        for text, meaning in self.terms:
            if meaning.areas and not (meaning.services or meaning.category):
                areas |= meaning.areas
                places.append(text)
            elif meaning.category and len(meaning.services) != 1:
                values.setdefault("category", meaning.category)
            elif meaning.services:
                services = (services & meaning.services) or (services | meaning.services)
                ambiguous.append(text)
        if len(areas) == 1:
            values["area"] = min(areas)
        elif areas:
            values["areas"] = tuple(sorted(areas))
            words += places
        if services:
            self._narrow(values, services, named)
            if "service" not in values:
                words += ambiguous
        rest = self._rest(values)[:MAX_TEXT_WORDS]
        return Understood(**values, words=tuple(rest), text=" ".join([*words, *rest]) or None)

    def _narrow(
        self, values: dict[str, Any], services: frozenset[str], named: frozenset[str]
    ) -> None:
        """Sets the service, or the services that the words may mean. A category beside them only
        narrows them."""
        category_of = self.vocabulary.category_of
        if category := values.pop("category", None):
            inside = {slug for slug in services if category_of.get(slug) == category}
            services = frozenset(inside) or services
        if len(services) == 1:
            values["service"] = min(services)
        if len(services | named) > 1:
            values["services"] = tuple(sorted(services | named))

    def _rest(self, values: dict[str, Any]) -> list[str]:
        """The words that no rule has read."""
        tokens = [token for token in self.text.split(" ") if re.search(r"[a-z0-9]", token)]
        tokens = [token for token in tokens if not token.startswith("\x00")]
        numbers = [token for token in tokens if token.isdigit()]
        has_price = {"min_price_cents", "max_price_cents"} & values.keys()
        if len(numbers) == 1 and not has_price and 20 <= int(numbers[0]) <= HIGHEST_PRICE:
            values["max_price_cents"] = int(numbers[0]) * 100
            tokens.remove(numbers[0])
        return [
            token
            for token in tokens
            if token not in FILLER and token not in GRAMMAR and not token.isdigit()
        ]


def _separated(text: str) -> str:
    """Marks that belong to numbers stand alone; other punctuation separates words."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"[–—−‐‑]", "-", text)
    text = re.sub(r"\b([ap])\.?\s?m\b\.?", r"\1m", text)
    text = re.sub(r"(?<=\d)(?=[a-z])", " ", text)
    text = re.sub(r"(?<=[a-z])(?=\d)", " ", text)
    text = re.sub(r"(\d)\s?p\b(?! ?/)", r"\1 pm", text)
    return re.sub(r"(?<=[a-z])[-/](?=[a-z])", " ", text).replace("&", " and ")


def _cents(amount: str) -> int:
    return round(float(amount.removeprefix("$ ")) * 100)


def _hour(clock: str) -> int:
    match = re.match(r"\d+", clock)
    return int(match[0]) if match else 12


def _wall(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _year(text: str | None) -> int | None:
    if not text:
        return None
    return int(text) + (2000 if len(text) == 2 else 0)


def _month(text: str) -> int:
    return SHORT_MONTHS.get(text) or MONTHS.index(text) + 1


def _weekday_number(text: str) -> int:
    return SHORT_WEEKDAYS[text] if text in SHORT_WEEKDAYS else WEEKDAYS.index(text)


def _part(word: str) -> str:
    return {"night": "evening"}.get(word.rstrip("s"), word.rstrip("s"))
