"""The floor for fan-out: a process that only writes bytes from Redis to its sockets. It uses the
same event loop as the product's web process. `python -m loadtests.bench.bare REDIS_URL` prints its
port."""

import asyncio
import sys
from typing import cast

import redis.asyncio
import uvloop

CHANNEL = "bench:bare"


class Client(asyncio.Protocol):
    """A socket; its first line names its group."""

    groups: dict[bytes, list[asyncio.Transport]] = {}  # noqa: RUF012 — shared by all clients

    def __init__(self) -> None:
        self._line = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._line += data
        if self._line.endswith(b"\n"):
            self.groups.setdefault(self._line.strip(), []).append(self._transport)
            self._transport.write(b"\x81\x02ok")  # a frame that confirms the group
            self._line = b""


async def main(redis_url: str) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Client, "127.0.0.1", 0, backlog=2048)
    client = redis.asyncio.Redis.from_url(redis_url)
    async with client.pubsub() as pubsub:
        await pubsub.subscribe(CHANNEL)
        print(server.sockets[0].getsockname()[1], flush=True)
        while True:
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=5)
            if message is not None:
                group, _, payload = message["data"].partition(b"\n")
                for transport in Client.groups.get(group, ()):
                    transport.write(payload)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
