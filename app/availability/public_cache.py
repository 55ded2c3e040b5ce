"""The cached answers about public availability. They need no expiry to be right: the live path
tells the cache each calendar's new versions (realtime/hub.py, realtime/reconciler.py), and requests
tell it which calendars they have changed."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.core import CounterMetricFamily
from prometheus_client.registry import Collector

MAX_CALENDARS = 2_000
MAX_ANSWERS = 32  # per calendar
MAX_BYTES = 64 * 1024 * 1024
OVERHEAD = 1_000  # bytes of an answer besides its body
# Cached answers are not used if Postgres has not confirmed the versions for this long, which is how
# long live screens may be wrong.
CONFIRMED_SECONDS = 15.0
# An answer that was requested this recently is computed again after a change.
RECENT_SECONDS = 60.0
MAX_WARM_ANSWERS = 4  # per calendar
MAX_WARMING = 200  # calendars

REQUESTS = {"hit": 0, "miss": 0}
EVICTIONS = Counter("public_cache_evictions", "Calendars dropped to make room for others.")
CHANGES = Counter("public_cache_changes", "Calendars dropped because they changed.")
WARMED = Counter("public_cache_warmed", "Answers computed again after a change.")
CALENDARS = Gauge("public_cache_calendars", "Calendars with cached answers.")
BYTES = Gauge("public_cache_bytes", "Approximate bytes of the cached answers.")


class _RequestCollector(Collector):
    """The counter of requests. A `Counter` would take a lock in every request."""

    def collect(self) -> Iterator[CounterMetricFamily]:
        help_text = "Requests for public availability, by hit or miss."
        family = CounterMetricFamily("public_cache_requests", help_text, labels=["result"])
        for result, count in REQUESTS.items():
            family.add_metric([result], count)
        yield family


REGISTRY.register(_RequestCollector())


@dataclass(slots=True)
class Answer:
    """A JSON body, its ETag, and the calendar's epoch and version. It is right from `since` to
    `until` (Unix times) unless the calendar changes. `headers` are those of its responses; the
    first response sets them."""

    epoch: str
    version: int
    etag: str
    body: bytes
    since: float
    until: float
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


@dataclass(slots=True)
class _Entry:
    """An answer in the cache. Its times are those of `time.monotonic`."""

    answer: Answer
    expires_at: float
    requested_at: float


@dataclass(slots=True, eq=False)
class Calendar:
    """The answers of one version of a calendar. Its version is None during the first read."""

    id: str
    version: int | None = None
    read_at: float = 0  # when the read of this version began
    # The newest version in any message. A read may have seen an older one.
    newest: int = 0
    answers: dict[Hashable, _Entry] = field(default_factory=dict)
    # Other keys of the answers, such as raw query strings.
    aliases: dict[Hashable, Hashable] = field(default_factory=dict)
    # Reads that have begun since the last change.
    reads: dict[Hashable, asyncio.Task[Answer]] = field(default_factory=dict)
    size: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """A read from Postgres that has begun."""

    calendar: Calendar
    began_at: float


class PublicCache:
    """Keys of answers are chosen by app/availability/public.py. Calendars are kept in the order of
    their last use."""

    def __init__(self, seconds: float) -> None:
        """`seconds`: for how long an answer is used at most (PUBLIC_AVAILABILITY_CACHE_TTL)."""
        self._seconds = seconds
        self._epoch = ""
        self._confirmed_at = float("-inf")
        self._calendars: OrderedDict[str, Calendar] = OrderedDict()
        self._size = 0
        # Calendars whose answers are to be computed again, with the keys of these answers.
        self._warming: dict[str, list[Hashable]] = {}
        self._warming_requested = asyncio.Event()
        CALENDARS.set_function(lambda: len(self._calendars))
        BYTES.set_function(lambda: self._size)

    # ---- answers

    def find(self, instructor: str, key: Hashable, now: float) -> Answer | None:
        """The cached answer, if it is right at `now` (a Unix time)."""
        calendar = self._calendars.get(instructor)
        if calendar is None:
            return None
        entry = calendar.answers.get(calendar.aliases.get(key, key))
        if entry is None:
            return None
        answer, clock = entry.answer, time.monotonic()
        if (
            clock - self._confirmed_at > CONFIRMED_SECONDS
            or clock >= entry.expires_at
            or not answer.since <= now < answer.until
        ):
            return None
        entry.requested_at = clock
        self._calendars.move_to_end(instructor)
        REQUESTS["hit"] += 1
        return answer

    async def share(
        self, instructor: str, key: Hashable, read: Callable[[], Coroutine[Any, Any, Answer]]
    ) -> Answer:
        """The answer of `read`. Requests for the same key wait for a read that is running;
        otherwise, all polling clients would read at the beginning of each quarter of an hour. After
        a change of the calendar, requests start another read."""
        reads = self.begin(instructor).calendar.reads
        task = reads.get(key)
        if task is None:
            task = reads[key] = asyncio.create_task(read())

            def finished(done: asyncio.Task[Answer]) -> None:
                if reads.get(key) is done:
                    del reads[key]
                if not done.cancelled():
                    done.exception()  # all requests may have given up

            task.add_done_callback(finished)
        # A request that gives up does not stop the others.
        return await asyncio.shield(task)

    def begin(self, instructor: str) -> Reading:
        """To be called before Postgres is read, so that a change meanwhile is noticed."""
        calendar = self._calendars.get(instructor)
        if calendar is None:
            calendar = self._calendars[instructor] = Calendar(instructor)
        return Reading(calendar, time.monotonic())

    def store(self, reading: Reading, key: Hashable, answer: Answer) -> None:
        """Keeps an answer, unless the calendar has changed since it was read."""
        calendar = reading.calendar
        if (
            self._calendars.get(calendar.id) is not calendar
            or not self._seconds
            or answer.epoch != self._epoch
            or answer.version < max(calendar.newest, calendar.version or 0)
            # A reconcile may have begun after the read and without this calendar.
            or (calendar.version is None and reading.began_at < self._confirmed_at)
        ):
            return
        if answer.version != calendar.version:
            self._clear(calendar)
            calendar.version, calendar.read_at = answer.version, reading.began_at
        if len(calendar.answers) >= MAX_ANSWERS and key not in calendar.answers:
            self._clear(calendar)
        size = len(answer.body) + OVERHEAD
        before = calendar.answers.get(key)
        size -= len(before.answer.body) + OVERHEAD if before else 0
        clock = time.monotonic()
        calendar.answers[key] = _Entry(answer, clock + self._seconds, clock)
        calendar.size += size
        self._size += size
        self._calendars.move_to_end(calendar.id)
        self._evict()

    def end(self, reading: Reading) -> None:
        """After the read, even if it failed: calendars without answers are not kept."""
        calendar = reading.calendar
        if not calendar.answers and self._calendars.get(calendar.id) is calendar:
            del self._calendars[calendar.id]

    def alias(self, instructor: str, alias: Hashable, key: Hashable) -> None:
        """Lets `find` return the answer under another key, too."""
        calendar = self._calendars.get(instructor)
        if calendar is not None and key in calendar.answers:
            if len(calendar.aliases) >= MAX_ANSWERS:
                calendar.aliases.clear()
            calendar.aliases[alias] = key

    # ---- changes

    def changed(self, instructor: str, version: int | None = None) -> None:
        """The calendar has this version; None: a newer one than the cache has."""
        calendar = self._calendars.get(instructor)
        if calendar is None:
            return
        if version is not None:
            if version > calendar.newest:
                calendar.reads.clear()
            calendar.newest = max(calendar.newest, version)
            if calendar.version is None or version <= calendar.version:
                return
        self._drop(calendar)
        CHANGES.inc()
        recently = time.monotonic() - RECENT_SECONDS
        keys = [key for key, entry in calendar.answers.items() if entry.requested_at > recently]
        if keys and len(self._warming) < MAX_WARMING:
            keys.sort(key=lambda key: calendar.answers[key].requested_at, reverse=True)
            self._warming[instructor] = keys[:MAX_WARM_ANSWERS]
            self._warming_requested.set()

    async def next_to_warm(self) -> tuple[str, list[Hashable]]:
        """Waits for a calendar to compute again. Takes the one that has waited longest, with the
        keys of its answers."""
        while not self._warming:
            self._warming_requested.clear()
            await self._warming_requested.wait()
        instructor = next(iter(self._warming))
        return instructor, self._warming.pop(instructor)

    # ---- the reconciler

    def versions(self) -> dict[str, int]:
        """The versions to compare with Postgres."""
        return {
            calendar.id: calendar.version
            for calendar in self._calendars.values()
            if calendar.version is not None
        }

    def compare(self, before: Mapping[str, int], present: Mapping[str, int], at: float) -> None:
        """Drops calendars that have changed. `before`: what `versions` returned at the time `at`;
        `present`: the versions in Postgres, read after that."""
        for instructor in before:
            self.changed(instructor, present.get(instructor))
        for calendar in tuple(self._calendars.values()):
            # Read before this reconcile began, and stored meanwhile.
            if calendar.version is not None and calendar.id not in before and calendar.read_at < at:
                self._drop(calendar)
        self._confirmed_at = at

    def begin_epoch(self, epoch: str) -> None:
        """The database's history may have changed."""
        self._epoch = epoch
        self._calendars.clear()
        self._warming.clear()
        self._size = 0

    # ---- eviction

    def _evict(self) -> None:
        while len(self._calendars) > MAX_CALENDARS or self._size > MAX_BYTES:
            self._drop(next(iter(self._calendars.values())))
            EVICTIONS.inc()

    def _clear(self, calendar: Calendar) -> None:
        self._size -= calendar.size
        calendar.size = 0
        calendar.answers.clear()
        calendar.aliases.clear()

    def _drop(self, calendar: Calendar) -> None:
        del self._calendars[calendar.id]
        self._size -= calendar.size
