"""The state of the database, Redis and the job queue, for /metrics and /admin/system."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from prometheus_client import Gauge

from app import redis, refusal
from app.db import SQL, Db, Pool
from app.settings import Settings
from app.statements import statement

# arq's queue, and the key under which a worker reports every few seconds (jobs/queue.py).
QUEUE = "instainstru:notifications"
QUEUE_HEALTH = f"{QUEUE}:health"
# How long /metrics and /admin/system wait for each answer of Postgres or Redis.
ANSWER_SECONDS = 2

_MAIL_STATES = ("waiting", "scheduled", "failing", "given_up", "withheld", "sent")
_NOTIFICATIONS = Gauge(
    "notifications",
    "Mails by state: waiting (due), scheduled, failing (to be tried again), given_up (within a "
    "day), withheld (the address is not confirmed), sent (within an hour).",
    ["state"],
)
_OLDEST_DUE = Gauge(
    "notifications_oldest_due_seconds", "How long the oldest waiting mail has been due."
)
_JOBS = Gauge(
    "jobs",
    "Jobs by state: queued; running, complete, failed and retried as counted by the worker that "
    "reported last, since its start.",
    ["state"],
)
_WORKER_UP = Gauge("worker_up", "1 while a worker reports to Redis.")
_REDIS_UP = Gauge("redis_up", "1 while Redis answers.")
_DATABASE_UP = Gauge("database_up", "1 while Postgres answers.")
_DATABASE_BYTES = Gauge("database_bytes", "Size of the database.")
_DATABASE_SESSIONS = Gauge("database_sessions", "Sessions of all processes in this database.")


@dataclass(frozen=True, slots=True)
class Notifications:
    """Mails by state."""

    waiting: int
    scheduled: int
    failing: int
    given_up: int
    withheld: int
    sent: int
    oldest_due_seconds: float


@dataclass(frozen=True, slots=True)
class Database:
    """Size, sessions and open transactions now, and counts since Postgres reset its statistics."""

    size_bytes: int
    sessions: int
    active: int
    waiting_for_locks: int
    max_sessions: int
    longest_transaction_seconds: float
    transactions: int
    rolled_back: int
    blocks_hit: int
    blocks_read: int
    deadlocks: int


@dataclass(frozen=True, slots=True)
class Redis:
    used_memory: int
    connected_clients: int
    instantaneous_ops_per_sec: int
    total_commands_processed: int
    pubsub_channels: int
    evicted_keys: int
    uptime_in_seconds: int


@dataclass(frozen=True, slots=True)
class Jobs:
    """`queued` is the length of the queue. The others are counted by the worker that reported last,
    since its start."""

    queued: int
    running: int
    complete: int
    failed: int
    retried: int


_notifications = statement("notification_numbers", Notifications, seconds=ANSWER_SECONDS)
_database = statement("database_numbers", Database, seconds=ANSWER_SECONDS)
_migrations = statement("applied_migrations", str)

_SHIPPED_MIGRATIONS = frozenset(path.name for path in (SQL / "migrations").glob("*.sql"))


class Monitor:
    """Reads Redis, the job queue and the database."""

    def __init__(self, settings: Settings) -> None:
        url = settings.redis_url.get_secret_value()
        self._redis = redis.client(url, name="monitor") if url else None
        self._is_migrated = False

    async def lacks_migrations(self, db: Db) -> bool:
        """Whether the database lacks migrations that this version ships. Once it has them it keeps
        them, so it is not asked again."""
        if not self._is_migrated:
            self._is_migrated = {*await _migrations.all(db)} >= _SHIPPED_MIGRATIONS
        return not self._is_migrated

    async def redis(self) -> Redis | None:
        """Numbers of Redis; None while it does not answer."""
        info = await self._ask("info")
        if info is None:
            return None
        return Redis(*(int(info.get(field.name, 0)) for field in fields(Redis)))

    async def jobs(self) -> Jobs | None:
        """Jobs by state; None while no worker reports."""
        report = await self._ask("get", QUEUE_HEALTH)
        queued = await self._ask("zcard", QUEUE)
        if report is None or queued is None:
            return None
        counts = dict(re.findall(r"(\w+)=(\d+)", report.decode()))
        return Jobs(
            queued=int(queued),
            running=int(counts.get("j_ongoing", 0)),
            complete=int(counts.get("j_complete", 0)),
            failed=int(counts.get("j_failed", 0)),
            retried=int(counts.get("j_retried", 0)),
        )

    async def _ask(self, command: str, *arguments: str) -> Any:
        if self._redis is None:
            return None
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await getattr(self._redis, command)(*arguments)
        except redis.UNREACHABLE_ERRORS:
            return None

    async def close(self) -> None:
        if self._redis is not None:
            await redis.close(self._redis)


@asynccontextmanager
async def open_monitor(settings: Settings) -> AsyncIterator[Monitor]:
    monitor = Monitor(settings)
    try:
        yield monitor
    finally:
        await monitor.close()


@dataclass(frozen=True, slots=True)
class System:
    """The state of every part; null for one that does not answer."""

    notifications: Notifications | None
    database: Database | None
    redis: Redis | None
    jobs: Jobs | None


async def read(pool: Pool, monitor: Monitor, *, now: datetime) -> System:
    """The state of everything, within a few seconds even if parts are down."""
    redis_numbers, jobs = await monitor.redis(), await monitor.jobs()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            mails = await _notifications.one(pool, now=now)
            database = await _database.one(pool)
    except (refusal.Unavailable, TimeoutError):
        return System(None, None, redis_numbers, jobs)
    return System(mails, database, redis_numbers, jobs)


async def refresh_metrics(pool: Pool, monitor: Monitor, *, now: datetime) -> None:
    """Sets the metrics of this module. A part that does not answer keeps its last numbers, and its
    `…_up` is 0."""
    current = await read(pool, monitor, now=now)
    _REDIS_UP.set(current.redis is not None)
    _DATABASE_UP.set(current.database is not None)
    _WORKER_UP.set(current.jobs is not None)
    if current.jobs is not None:
        for state, count in asdict(current.jobs).items():
            _JOBS.labels(state).set(count)
    if current.database is not None:
        _DATABASE_BYTES.set(current.database.size_bytes)
        _DATABASE_SESSIONS.set(current.database.sessions)
    if (mails := current.notifications) is not None:
        for state in _MAIL_STATES:
            _NOTIFICATIONS.labels(state).set(getattr(mails, state))
        _OLDEST_DUE.set(mails.oldest_due_seconds)
