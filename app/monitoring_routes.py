"""The monitoring call of the API (docs/api.md)."""

from starlette.responses import Response
from typing_extensions import TypedDict

from app import monitoring, web
from app.accounts.session import SignedIn
from app.web import Call, Request


class NotificationsJson(TypedDict):
    """Mails by state."""

    waiting: int
    scheduled: int
    failing: int
    given_up: int
    withheld: int
    sent: int
    oldest_due_seconds: float


class DatabaseJson(TypedDict):
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


class RedisJson(TypedDict):
    used_memory: int
    connected_clients: int
    instantaneous_ops_per_sec: int
    total_commands_processed: int
    pubsub_channels: int
    evicted_keys: int
    uptime_in_seconds: int


class JobsJson(TypedDict):
    """Of the worker that reported last, since its start."""

    queued: int
    running: int
    complete: int
    failed: int
    retried: int


class SystemJson(TypedDict):
    """A part that does not answer is null."""

    notifications: NotificationsJson | None
    database: DatabaseJson | None
    redis: RedisJson | None
    jobs: JobsJson | None


@web.may("view_monitoring")
async def system(request: Request, _: SignedIn) -> Response:
    state = request.state
    current = await monitoring.numbers(state["pool"], state["monitor"], now=state["now"]())
    return web.json(monitoring.as_json(current))


routes = [
    Call(
        "GET",
        "/api/admin/system",
        system,
        "Show the state of Postgres, Redis and the job queue",
        returns=SystemJson,
    ),
]
