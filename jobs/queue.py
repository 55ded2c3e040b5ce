"""The arq queue: its name, the client, and which jobs are in it. It holds nothing that may not be lost: rows in Postgres are the
truth, and what disappears here is put in again."""

from collections.abc import Sequence
from typing import Any

import orjson
from arq.connections import ArqRedis

NAME = "instainstru:notifications"
# What was not begun after so long is forgotten here and found again as a due row.
EXPIRES_SECONDS = 120
_TIMEOUT = 5.0


def pack(value: Any) -> bytes:
    """Jobs as JSON. (arq's default is pickle, by which whoever can write to Redis could run code here.)"""
    return orjson.dumps(value, default=repr)


def unpack(packed: bytes) -> Any:
    return orjson.loads(packed)


def connect(url: str) -> ArqRedis:
    """A client that connects when first used, and again after a failure."""
    client = ArqRedis.from_url(url, socket_timeout=_TIMEOUT, socket_connect_timeout=_TIMEOUT)
    assert isinstance(client, ArqRedis)
    client.default_queue_name = NAME
    client.job_serializer = pack
    client.job_deserializer = unpack
    return client


async def waiting(redis: ArqRedis) -> set[int]:
    """The notifications that have a job which waits or runs."""
    jobs = await redis.zrange(NAME, 0, -1)
    return {int(number) for job in jobs for number in job.decode().partition(":")[2].split(",")}


async def put(redis: ArqRedis, notification_ids: Sequence[int]) -> None:
    """One job for all of them. Its id names them, so that nobody makes another while it waits or runs."""
    job_id = f"notifications:{','.join(map(str, notification_ids))}"
    await redis.enqueue_job("deliver", notification_ids, _job_id=job_id, _expires=EXPIRES_SECONDS)
