"""The grammar of times in a search: "in the evening", "from 5 to 7", "after 6pm"."""

import re

from app.search import dates
from app.search.reading import Reading
from app.search.words import PARTS, SHORT_WEEKDAYS, WEEKDAYS

_DAY = rf"(?:{'|'.join([*WEEKDAYS, *SHORT_WEEKDAYS])}|today|tomorrow)s?"
_PART = r"(?:morning|afternoon|evening|night)s?"
_EXCLUDED = rf"(?:{_DAY}(?: {_PART})?|{_PART}|(?:weekend|weekday)(?:s| {_PART})?|tonight)"
_LINKS = r"(?: (?:for|on|in|the|at|any|early|late|free|available|lessons?|classes))*"

_CLOCK = r"(?:\d{1,2}(?:[:.]\d\d)?(?: ?(?:am|pm))?|noon|midday|midnight)"
_TO = r"(?:-|to|until|till|and|through|thru)"
# In "after 2 weeks" and "from the 1st week", the number is not an hour.
_OTHER_UNITS = r"(?:days?|weeks?|months?|st|nd|rd|th)\b"


def read_exclusions(reading: Reading) -> None:
    """Reads phrases such as "not in the morning", which leave the other parts of the day. Search
    cannot exclude days, so phrases that name some are ignored."""
    reading.take(
        r"\b(?:(?:any|every|all) ?(?:day|time)s? (?:but|except)|(?:can ?not|cant) do|"
        r"(?:but )?(?:not|except|excluding|no|avoid|never))"
        rf"{_LINKS} {_EXCLUDED}(?: (?:or|and){_LINKS} {_EXCLUDED})*\b",
        lambda m: _exclude(reading, m[0].strip()),
    )


def _exclude(reading: Reading, phrase: str) -> None:
    parts = [_part(word) for word in re.findall(rf"\b{_PART}\b", phrase)]
    if re.search(rf"\b(?:{_DAY}|(?:weekend|weekday)s?|tonight|early|late)\b", phrase):
        reading.ignored.append(phrase)
    else:
        reading.excluded_parts.append((phrase, parts))


def read_parts_of_day(reading: Reading) -> None:
    reading.take(
        r"\btonight\b|\btoday night\b|\bthis (evening|night|afternoon|morning)\b",
        lambda m: _set_day_and_part(reading, m, 0, _part(m[1] or "evening")),
    )
    reading.take(
        r"\b(tomorrow|tmrw) night\b",
        lambda m: _set_day_and_part(reading, m, 1, "evening"),
    )
    reading.take(
        r"\b(?:in |at )?(?:the )?(?:early |late )?(mornings?|afternoons?|evenings?|nights?)\b",
        lambda m: _set_part(reading, _part(m[1])),
    )
    reading.take(r"\bafter work\b", lambda _: _set_part(reading, "evening"))
    reading.take(r"\bafter school\b", lambda _: reading.set("from_time", "15:00"))
    reading.take(
        r"\b(?:at |during |over )?(?:my )?(?:lunch ?time|lunch(?: (?:break|hour))?)\b",
        lambda _: _between(reading, "12:00", "14:00"),
    )


def _set_day_and_part(reading: Reading, match: re.Match[str], ahead: int, part: str) -> None:
    dates.set_days(reading, match, reading.today, ahead)
    _set_part(reading, part)


def _set_part(reading: Reading, part: str) -> None:
    reading.set("part_of_day", part)
    reading.parts.append(part)


def _between(reading: Reading, from_time: str, to_time: str) -> None:
    reading.set("from_time", from_time)
    reading.set("to_time", to_time)


def read_clock_ranges(reading: Reading) -> None:
    """Before prices: "6-8pm" is not a price, and "between 40 and 60" not a time."""
    clock = rf"({_CLOCK})"
    whole_range = rf"(?={_CLOCK} ?{_TO} ?{_CLOCK}(?!\d))"
    reading.take(
        rf"(?<!\$ )(?<!\d)(?<!\d-)\b(?:between |from )?{whole_range}{clock} ?{_TO} ?{clock}"
        rf"(?! ?(?:dollar|buck|usd|/|\$|year|yr|yo|minute|min|\d|max))\b",
        lambda m: _clock_range(reading, m),
    )


def _clock_range(reading: Reading, match: re.Match[str]) -> bool | None:
    if dates.follows_month(match):
        return False
    first, last = match[1], match[2]
    is_time = any(mark in first + last for mark in ("am", "pm", ":", "noon", "mid"))
    are_hours = max(_hour(first), _hour(last)) <= 12
    has_prefix = match[0].startswith(("between", "from"))
    if not is_time and dates.precedes_month(match):
        return False
    if not is_time and not (are_hours and (has_prefix or "part_of_day" in reading.values)):
        return False
    end = _minutes(reading, last)
    if end is None:
        return False
    # "6-8pm" begins at 6 pm, but "11-1pm" at 11 am.
    meridiem = re.search("am|pm", last)
    begin = _minutes(reading, first, meridiem[0] if meridiem else None)
    if begin is not None and begin >= end:
        begin = _minutes(reading, first, "am")
    if begin is None or begin >= end:
        return False
    reading.set("from_time", _wall(begin))
    reading.set("to_time", _wall(end))
    return None


def read_times(reading: Reading) -> None:
    clock = rf"({_CLOCK})(?! ?(?:dollar|buck|year|yr|yo|minute|min|/|\d|{_OTHER_UNITS}))\b"
    reading.take(
        rf"(?<!\bnot )(?<!\bno )\b(?:any ?time )?(?:after|from|past|later than|starting at|"
        rf"starting|since|(?:not|nothing) before|(?:no|not) earlier than) {clock}(?: on)?",
        lambda m: _time(reading, "from_time", m[1]),
    )
    reading.take(
        rf"\b(?:any ?time )?(?:before|until|till|by|earlier than|(?:no|not) later than|"
        rf"(?:not|nothing) after) {clock}",
        lambda m: _time(reading, "to_time", m[1]),
    )
    reading.take(rf"\b(?:around|about|circa) {clock}", lambda m: _time(reading, "around", m[1]))
    reading.take(rf"\bat {clock}", lambda m: _time(reading, "at", m[1]))
    reading.take(
        r"(?<![\d$])\b(\d{1,2}(?:[:.]\d\d)? ?(?:am|pm)|\d{1,2}:\d\d|\d{1,2} oclock|noon|midday)\b",
        lambda m: _time(reading, "at", m[1]),
    )


def join_parts(reading: Reading) -> None:
    """Several parts of the day become hours if they follow each other, as in "morning or
    afternoon". Otherwise the first one counts, and the others are ignored."""
    parts = [part for part in PARTS if part in reading.parts]
    if len(parts) < 2 or {"from_time", "to_time"} & reading.values.keys():
        return
    (begin, first_end), (last_begin, end) = PARTS[parts[0]], PARTS[parts[-1]]
    if len(parts) == 2 and first_end != last_begin:
        reading.ignored += [part for part in parts if part != reading.values["part_of_day"]]
    else:
        del reading.values["part_of_day"]
        _between(reading, _wall(60 * begin), _wall(60 * end))


def leave_out_parts(reading: Reading) -> None:
    """Narrows the hours to the parts of the day that are not excluded, if these follow each other.
    Hours and parts that the query names have priority."""
    values = reading.values
    excluded = {part for _, parts in reading.excluded_parts for part in parts}
    rest = [part for part in PARTS if part not in excluded]
    if not excluded or values.get("part_of_day") in rest or {"from_time", "to_time"} <= {*values}:
        return
    hours: dict[str, str] = {}
    if rest and excluded != {"afternoon"} and "part_of_day" not in values:
        if "morning" in excluded:
            hours["from_time"] = _wall(60 * PARTS[rest[0]][0])
        if "evening" in excluded:
            hours["to_time"] = _wall(60 * PARTS[rest[-1]][1])
    hours |= {name: values[name] for name in ("from_time", "to_time") if name in values}
    if hours and hours.get("from_time", "") < hours.get("to_time", "24:00"):
        values |= hours
    else:
        reading.ignored += [phrase for phrase, _ in reading.excluded_parts]


def _time(reading: Reading, name: str, text: str) -> bool | None:
    minutes = _minutes(reading, text)
    if minutes is None:
        return False
    if name == "around":
        reading.set("from_time", _wall(max(0, minutes - 60)))
        reading.set("to_time", _wall(min(24 * 60, minutes + 120)))
    elif name == "at":
        reading.set("from_time", _wall(minutes))
        reading.set("to_time", _wall(minutes))
    else:
        reading.set(name, _wall(minutes))
    return None


def _minutes(reading: Reading, text: str, meridiem: str | None = None) -> int | None:
    """Minutes since midnight; None if there is no such time. Without am or pm, it is the hour at
    which lessons are usual: 1 to 7 are in the afternoon or evening."""
    if text.startswith(("noon", "midday")):
        return 12 * 60
    if text.startswith("midnight"):
        return 24 * 60
    match = re.match(r"(\d{1,2})(?:[:.](\d\d))? ?(am|pm)?", text)
    assert match is not None
    hour, minute = int(match[1]), int(match[2] or 0)
    meridiem = match[3] or meridiem
    if hour > 24 or minute > 59 or (match[3] and hour > 12):
        return None
    if hour > 12 or (len(match[1]) == 2 and match[1].startswith("0")):
        return hour * 60 + minute if hour * 60 + minute <= 24 * 60 else None
    part = reading.values.get("part_of_day")
    if meridiem is None:
        is_late = part in {"afternoon", "evening"} or (part is None and hour <= 7)
        meridiem = "pm" if is_late or hour == 12 else "am"
    return (hour % 12 + (12 if meridiem == "pm" else 0)) * 60 + minute


def _hour(clock: str) -> int:
    match = re.match(r"\d+", clock)
    return int(match[0]) if match else 12


def _wall(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _part(word: str) -> str:
    return {"night": "evening"}.get(word.rstrip("s"), word.rstrip("s"))
