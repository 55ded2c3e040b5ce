"""The arq queue: its name, its client and its jobs. Losing it does no harm: Postgres has the
notifications, and the dispatcher enqueues lost ones again."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import orjson
from arq.connections import ArqRedis
from redis.asyncio.client import Pipeline

from app.monitoring import QUEUE

NAME = QUEUE
_PREFIX = "notifications:"
# A job that is not started within this time expires. Its notifications are still due, so they are
# enqueued again.
EXPIRES_SECONDS = 120
_TIMEOUT = 5.0


def pack(value: Any) -> bytes:
    """Encodes a job as JSON. With arq's default, pickle, a writer to Redis could run code."""
    return orjson.dumps(value, default=repr)


def unpack(packed: bytes) -> Any:
    return orjson.loads(packed)


class _Pipeline(Pipeline):
    """A pipeline that closes its connection if it is cancelled while it gives it back. redis-py
    would keep it, and report the pipeline as unclosed."""

    async def reset(self) -> None:
        try:
            await super().reset()  # type: ignore[no-untyped-call]
        except asyncio.CancelledError:
            connection, self.connection = self.connection, None
            if connection is not None:
                await connection.disconnect(nowait=True)
            raise


class _Client(ArqRedis):
    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


def connect(url: str) -> ArqRedis:
    """A client that connects on first use and reconnects after a failure."""
    client = _Client.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
    assert isinstance(client, _Client)
    client.default_queue_name = NAME
    client.job_serializer = pack
    client.job_deserializer = unpack
    return client


async def notification_ids(redis: ArqRedis) -> set[int]:
    """The notifications of all waiting and running jobs. arq runs a job from the time of its score
    on. One that is far ahead was queued before the clock went back: as if it were lost, its
    notifications are queued again."""
    soon = int((time.time() + EXPIRES_SECONDS) * 1_000)
    jobs = await redis.zrangebyscore(NAME, "-inf", soon)
    lists = [
        name.decode().removeprefix(_PREFIX) for name in jobs if name.startswith(_PREFIX.encode())
    ]
    return {int(number) for numbers in lists for number in numbers.split(",")}


async def enqueue(redis: ArqRedis, batch: Sequence[int]) -> None:
    """Enqueues one job for these notifications. The job's id lists them, so arq ignores a duplicate
    while the job waits or runs."""
    job_id = f"{_PREFIX}{','.join(map(str, batch))}"
    await redis.enqueue_job("deliver", batch, _job_id=job_id, _expires=EXPIRES_SECONDS)
