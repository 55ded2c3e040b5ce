"""The audit trail of a booking in words: who did what, and when."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from app import formatting
from app.bookings.history import Entry

# By event; for `created`, by the state that it led to.
_BY_ACTOR = {
    "held": "{actor} started to book it{time}.",
    "confirmed": "{actor} booked it{time}.",
    "expired": "{actor} gave up the hold.",
    "rescheduled": "{actor} moved it{time}.",
    "cancelled": "{actor} cancelled it.",
    "completed": "{actor} marked it as completed.",
    "no_show": "{actor} marked it as a no-show.",
}
_AUTOMATIC = {
    "held": "It was put on hold{time}.",
    "confirmed": "It was booked{time}.",
    "expired": "The hold expired.",
    "rescheduled": "It was moved{time}.",
    "cancelled": "It was cancelled.",
    "completed": "It was completed automatically, a day after its end.",
    "no_show": "It was marked as a no-show.",
}
_OVERRIDES = {
    "availability": "outside the instructor’s hours",
    "blackout": "on a blocked day",
    "notice": "at short notice",
    "horizon": "more than 90 days ahead",
}


@dataclass(frozen=True)
class Step:
    at: datetime
    sentence: str
    reason: str


def of(entries: Sequence[Entry], *, viewer: UUID, zone: str, now: datetime) -> list[Step]:
    """One step per entry. A lesson moves from the start in the entry before."""
    steps = []
    before = None
    for entry in entries:
        start = formatting.moment(entry.starts_at, zone, now) if entry.starts_at else None
        kind = entry.to_state if entry.event == "created" else entry.event
        time = ""
        if kind == "rescheduled" and start:
            time = f" from {before} to {start}" if before else f" to {start}"
        elif entry.event == "created" and start:
            time = f" for {start}"
        sentences = _BY_ACTOR if entry.actor_id else _AUTOMATIC
        actor = "You" if entry.actor_id == viewer else formatting.first_name(entry.actor_name or "")
        if kind in sentences:
            sentence = sentences[kind].format(actor=actor, time=time)
            if entry.override:
                rules = formatting.together([_OVERRIDES[name] for name in entry.override])
                sentence = f"{sentence.removesuffix('.')}, {rules}."
            steps.append(Step(entry.at, sentence, entry.reason))
        before = start or before
    return steps
