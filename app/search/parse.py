"""The meaning of a search in everyday words: a small grammar over a vocabulary, without a database
or a clock. docs/search.md explains it; tests/search/phrasings.py lists what it must understand."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from datetime import date, datetime
from typing import Any, cast

from typing_extensions import TypedDict

from app.schema import ClockText, DateText
from app.search import dates, prices, spelling, times
from app.search.prices import HIGHEST_PRICE
from app.search.reading import Reading
from app.search.vocabulary import Meaning, Vocabulary, plain, stem, stems_of
from app.search.words import (
    AUDIENCES,
    FAR_CITIES,
    FILLER,
    GRAMMAR,
    LEVELS,
    NUMBERS,
    OUTSIDE,
    RARE_GRAMMAR,
    SHORT_WEEKDAYS,
    WEEKDAYS,
    ZIP_CODES,
)

Day = date  # `Understood` has a field of that name
MAX_LENGTH = 200
MAX_TEXT_WORDS = 8


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

    The last fields are not sent to clients. `services` and `areas`: what a word of the text names,
    if it names several; `words`: the other words of the text. `days`: the only days that count, if
    the range from `date` to `last_date` has others. `minutes`: the length of the lesson.
    `by_price`: the query asks for cheap lessons. `outside`: a place outside the city. `is_online`:
    the query asks for lessons that are not in person. `ignored`: phrases that search cannot
    follow."""

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
    days: tuple[Day, ...] = ()
    minutes: int | None = None
    by_price: bool = False
    outside: str | None = None
    is_online: bool = False
    ignored: tuple[str, ...] = ()

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


_SENT = 13  # the first fields, as in UnderstoodJson


def parse(query: str, vocabulary: Vocabulary, *, now: datetime) -> Understood:
    """The criteria in a query. `now` is the local time in the zone of the lessons."""
    reading = _Query(vocabulary, now)
    reading.read(query[:MAX_LENGTH])
    return reading.understood()


# Phrases that narrow no search.
_PHRASES_TO_SKIP = re.compile(
    r"\b(?:near(?:by)? me|close to me|around me|in my (?:area|neighborhood)|one on one|"
    r"1 ?-? ?on ?-? ?1|1:1|one to one|1 - 1|face to face|in person|as soon as possible|asap|"
    r"any ?time|(?:in )?(?:new york city|new york|nyc|ny)|how much (?:is|are|does|do)|who can|"
    r"(?:class?es?|clases?|cours?(?:e|o)?s?|profesora?|professeur|maestr[ao]) de(?: la)?|"
    r"(?:(?:who|that) )?(?:can )?(?:comes?|travels?) to (?:me|us|(?:my|our) "
    r"(?:home|place|house|apartment|apt))|"
    r"at (?:my (?:home|place|house)|home))\b(?! (?:after|before|at|from|but|except)\b)"
)
_TOKEN = re.compile(r"\d{4}-\d\d-\d\d|\d+(?:[.:]\d+)?|\$|/|-|<=?|>=?|\+|[a-z0-9]+(?:[+#]+)?")


_ONLINE = (
    r"\b(?:(?:via|over|on|by|through) )?(?:online|on line|remote(?:ly)?|virtual(?:ly)?|zoom|skype|"
    r"facetime|google meet|video (?:call|chat|lesson)s?|web ?cam)\b(?: only\b)?"
)
_OUTSIDE = (
    rf"\b(?:(?:in|near|around|at|from) )?({'|'.join(sorted(OUTSIDE, key=len, reverse=True))})\b|"
    rf"\b(?:in|near|around) ({'|'.join(FAR_CITIES)})\b"
)


class _Query(Reading):
    """A query, read rule by rule. `terms` are words of the vocabulary with their meanings; in
    `text`, a placeholder with the index in this list replaces each one."""

    def __init__(self, vocabulary: Vocabulary, now: datetime) -> None:
        super().__init__(now)
        self.vocabulary = vocabulary
        self.terms: list[tuple[str, Meaning]] = []
        self.has_comma = False

    def read(self, query: str) -> None:
        self.has_comma = "," in query
        tokens = _TOKEN.findall(_separated(plain(query)))
        self.text = " ".join(spelling.respelled(token, self.vocabulary) for token in tokens)
        self.skip(_PHRASES_TO_SKIP)
        self._protect_terms(lambda words: len(words) > 1)
        self._read_other_places()
        times.read_exclusions(self)
        self._read_lengths_and_ages()
        times.read_parts_of_day(self)
        times.read_clock_ranges(self)
        prices.read(self)
        dates.mark(self)
        times.read_times(self)
        times.join_parts(self)
        times.leave_out_parts(self)
        dates.read(self)
        self._read_levels()
        self._protect_terms(lambda _: True)
        self.take(r"\b(?:but )?(?:not|except|no) \x00(\d+)\x00", self._exclude_term)
        self.take(
            r"\b(?:but )?(?:not|without) (?!too |so |very |sure )[a-z]{3,}\b(?! \d)",
            lambda m: self.ignored.append(m[0]),
        )
        self._read_audiences()

    # ---- words

    def _protect_terms(self, is_allowed: Callable[[Sequence[str]], bool]) -> None:
        """Replaces terms by placeholders, the longest first, so that no other rule reads their
        words."""
        tokens = self.text.split(" ")
        output: list[str] = []
        position = 0
        while position < len(tokens):
            for length in range(min(self.vocabulary.max_words, len(tokens) - position), 0, -1):
                words = tokens[position : position + length]
                meaning = self._meaning(tuple(map(stem, words)))
                if meaning and is_allowed(words) and not self._is_grammar(words, tokens, position):
                    output.append(f"\x00{len(self.terms)}\x00")
                    self.terms.append((" ".join(words), meaning))
                    position += length
                    break
            else:
                output.append(tokens[position])
                position += 1
        self.text = " ".join(output)

    def _meaning(self, stems: tuple[str, ...]) -> Meaning | None:
        """The meaning of a term, also with its two words reversed, as in "cooking thai"."""
        meanings = self.vocabulary.meanings
        if stems not in meanings and len(stems) == 2:
            category = meanings.get(stems[:1])
            if category and category.category and not category.services:
                return meanings.get(stems[::-1])
        return meanings.get(stems)

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
                # The catalog's "Piano for Kids" is found, too.
                own = self._meaning(tuple(map(stem, words)))
                self.values["audience_services"] = own.services if own else frozenset()
                return bool(meaning.services)
        return False

    def _exclude_term(self, match: re.Match[str]) -> None:
        number = int(match[1])
        self.ignored.append(f"not {self.terms[number][0]}")
        self.terms[number] = "", Meaning()

    # ---- places where there are no lessons

    def _read_other_places(self) -> None:
        self.take(_ONLINE, lambda _: self.set("is_online", value=True))
        self.take(_OUTSIDE, lambda m: self.set("outside", OUTSIDE.get(m[1]) or FAR_CITIES[m[2]]))
        self.text = re.sub(r"\b1(?:0[0-4]|1[0-6])\d\d\b", _borough, self.text)

    # ---- the lesson and the student

    def _read_lengths_and_ages(self) -> None:
        self._read_number_words()
        age = (
            r"\b(?:(?:for|my|our|an?|is|are|who is) )*(\d{1,2})(?: ?(?:-|to|and) ?\d{1,2})? ?"
            r"(?:- )?(?:years?|yrs?)(?: ?-? ?old)?s?\b(?! of)|"
            r"\b(?:for |my |an? )*(\d{1,2}) ?yo\b|\b(?:i am|im|(?:s?he|who) is|s?hes) (\d{1,2})"
            r"(?! ?(?:am|pm|:))\b|\b(?:ages?|aged) (?:of )?(\d{1,2})"
            r"(?: ?(?:-|to|and) ?\d{1,2})?\b"
        )
        self.take(age + r"(?: (?:kid|child|boy|girl|son|daughter|old)s?)?", self._age)
        self.take(
            r"\b(\d{1,2}) ?(?:st|nd|rd|th)[ -]+grad(?:e|ers?)\b|\bgrade (\d{1,2})\b",
            lambda m: self.set("audience", "kids" if int(m[1] or m[2]) <= 6 else "teens"),
        )
        self.take(
            r"(?<!\$ )\b(?:for )?(?:an? )?(?:\d{2,3} ?(?:-|to|or) ?)?(\d{2,3}) ?-? ?"
            r"min(?:ute)?s?\b",
            lambda m: self.set("minutes", int(m[1])),
        )
        self.take(r"\bhalf(?: an)?[ -]hour\b", lambda _: self.set("minutes", 30))
        # "$60 an hour" is a price.
        self.take(
            r"(?:(?<!/ )\b(?:for )?(?:1|one)|\bfor an|"
            r"(?<!\d )(?<!dollar )(?<!dollars )(?<!buck )(?<!bucks )(?<!usd )\ban)[ -]+hour"
            r"(?=$| (?:long )?(?:lesson|class|session))(?: long)?",
            lambda _: self.set("minutes", 60),
        )
        self.take(r"\b2[ -]+hours?\b", lambda _: self.set("minutes", 120))

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
        self.text = re.sub(r"\bhalf past (\d{1,2})\b", r"\1:30", " ".join(output))

    def _age(self, match: re.Match[str]) -> None:
        years = int(next(group for group in match.groups() if group))
        self.set(
            "audience",
            "kids" if years < 13 else "teens" if years < 18 else "adults" if years < 65
            else "seniors",
        )  # fmt: skip

    def _read_levels(self) -> None:
        words = "|".join(LEVELS)
        self.take(
            rf"\b(?:for )?(?:an? )?(?:absolute |complete |total |brand new )?({words})s?"
            r"(?: ?levels?)?\b",
            lambda m: self.set("level", LEVELS[m[1]]),
        )
        self.take(
            r"\bfrom scratch\b|\b(?:no|without) (?:prior |previous |any )?experience\b",
            lambda _: self.set("level", "beginner"),
        )

    def _read_audiences(self) -> None:
        words = "|".join(sorted(AUDIENCES, key=len, reverse=True))
        self.take(
            rf"\b(?:for )?(?:my |our |an? |older |young |little |small )*({words})(?:s|ren)?"
            r"(?: ups?)?\b",
            lambda m: self.set("audience", AUDIENCES[m[1]]),
        )

    # ---- the result

    def understood(self) -> Understood:
        values = dict(self.values)
        audience_services = values.pop("audience_services", frozenset())
        words: list[str] = []
        services: frozenset[str] = frozenset()
        areas: frozenset[str] = frozenset()
        ambiguous: list[str] = []
        places: list[str] = []
        descriptions = self._descriptions()
        for number, (text, meaning) in enumerate(self.terms):
            if number in descriptions:
                continue
            if meaning.areas and not (meaning.services or meaning.category):
                areas |= self._in_named_borough(meaning.areas)
                places.append(text)
            elif meaning.category and len(meaning.services) != 1:
                values.setdefault("category", meaning.category)
            elif meaning.services:
                services = (services & meaning.services) or (services | meaning.services)
                ambiguous.append(text)
        if areas and "outside" in values:
            self.ignored.append(values.pop("outside"))
        areas -= {self.vocabulary.borough_of.get(area) for area in areas} - {None}
        if len(areas) == 1:
            values["area"] = min(areas)
        elif areas:
            values["areas"] = tuple(sorted(areas))
            words += places
        if services:
            audience_services |= self._services_for(values.get("audience"))
            self._narrow(values, services, audience_services)
            if "service" not in values:
                words += ambiguous
        rest = [
            *(word for number in descriptions for word in self.terms[number][0].split()),
            *self._rest(values),
        ][:MAX_TEXT_WORDS]
        outside = [values["outside"].lower()] if "outside" in values else []
        return Understood(
            **values,
            words=tuple(rest),
            text=" ".join([*words, *rest, *outside]) or None,
            ignored=tuple(self.ignored),
        )

    def _services_for(self, audience: str | None) -> frozenset[str]:
        """The services that a term names together with the audience: with kids, those of "kids
        piano" for "piano"."""
        if audience is None:
            return frozenset()
        meanings = self.vocabulary.meanings
        keys = [(stem(audience), *stems_of(text)) for text, _ in self.terms]
        return frozenset().union(*(meanings[key].services for key in keys if key in meanings))

    def _descriptions(self) -> list[int]:
        """The terms that only describe the category beside them: "salsa" in "salsa cooking"."""
        if self.has_comma:
            return []
        pairs = re.findall(r"(?=\x00(\d+)\x00 \x00(\d+)\x00)", self.text)
        ordered = [(int(one), int(other)) for one, other in pairs]
        return [
            number
            for number, category in [*ordered, *(pair[::-1] for pair in ordered)]
            if self._describes(self.terms[number][1], *self.terms[category])
        ]

    def _describes(self, meaning: Meaning, text: str, other: Meaning) -> bool:
        """Whether a service is of another category than the one that `text` names."""
        category = other.category
        if not category or other.services or not meaning.services or meaning.category:
            return False
        category_of = self.vocabulary.category_of
        is_name = stems_of(text) == stems_of(self.vocabulary.names["category", category])
        return is_name and all(category_of.get(slug) != category for slug in meaning.services)

    def _in_named_borough(self, areas: frozenset[str]) -> frozenset[str]:
        """The areas that lie in a borough that the query names, or all of them if none does."""
        named = {area for _, meaning in self.terms for area in meaning.areas}
        borough_of = self.vocabulary.borough_of
        return frozenset(area for area in areas if borough_of.get(area) in named) or areas

    def _narrow(
        self, values: dict[str, Any], services: frozenset[str], audience_services: frozenset[str]
    ) -> None:
        """Sets the service, or the services that the words may mean, within the query's category.
        `audience_services` are the same subject for the query's audience."""
        category_of = self.vocabulary.category_of
        if category := values.pop("category", None):
            inside = {slug for slug in services if category_of.get(slug) == category}
            services = frozenset(inside) or services
        if len(services) == 1:
            values["service"] = min(services)
        if len(services | audience_services) > 1:
            values["services"] = tuple(sorted(services | audience_services))

    def _rest(self, values: dict[str, Any]) -> list[str]:
        """The words that no rule has read."""
        tokens = [token for token in self.text.split(" ") if re.search(r"[a-z0-9]", token)]
        tokens = [token for token in tokens if not token.startswith("\x00")]
        # No text search for single letters: in "japanese n5", N5 is the level of an exam.
        tokens = [token for token in tokens if len(token) > 1 or token.isdigit()]
        numbers = [token for token in tokens if token.isdigit()]
        has_price = {"min_price_cents", "max_price_cents"} & values.keys()
        if len(numbers) == 1 and not has_price and 20 <= int(numbers[0]) <= HIGHEST_PRICE:
            values["max_price_cents"] = int(numbers[0]) * 100
            tokens.remove(numbers[0])
        return [
            token
            for token in tokens
            if not (token in FILLER or token in GRAMMAR or token in RARE_GRAMMAR or token.isdigit())
        ]


def _separated(text: str) -> str:
    """The text with spaces between numbers and letters, without punctuation inside words, and with
    the spellings of ranges, dashes, am and pm unified."""
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"[–—−‐‑]", "-", text)
    day = "|".join(f"{name}s?" for name in [*WEEKDAYS, *SHORT_WEEKDAYS])
    text = re.sub(rf"\b({day}) ?- ?(?=(?:{day})\b)", r"\1 to ", text)
    text = re.sub(r"\b([ap])\.?\s?m\b\.?", r"\1m", text)
    text = re.sub(r"(?<=\d)(?=[a-z])", " ", text)
    text = re.sub(r"(?<=[a-z])(?=\d)", " ", text)
    text = re.sub(r"(\d)\s?p\b(?! ?/)", r"\1 pm", text)
    return re.sub(r"(?<=[a-z])[-/](?=[a-z])", " ", text).replace("&", " and ")


def _borough(zip_code: re.Match[str]) -> str:
    """The borough of a ZIP code, or the ZIP code."""
    return ZIP_CODES.get(zip_code[0][:3], zip_code[0])
