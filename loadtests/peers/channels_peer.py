"""Fan-out by Django Channels with channels-redis under uvicorn, set up as in its documentation.
`serve REDIS_URL` prints its port. `publish REDIS_URL`, in another process, sends each line of its
input to all clients. They join one group."""

import asyncio
import socket
import sys
from typing import Any

import django
import uvicorn
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import get_channel_layer
from django.conf import settings

GROUP = "all"


class Board(AsyncWebsocketConsumer):  # type: ignore[misc]  # Channels has no types
    async def connect(self) -> None:
        await self.channel_layer.group_add(GROUP, self.channel_name)
        await self.accept()
        await self.send(text_data="joined")

    async def change(self, event: dict[str, Any]) -> None:
        await self.send(text_data=event["text"])


def serve() -> None:
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        Board.as_asgi(),
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_level="warning",
    )
    uvicorn.Server(config).run(sockets=[listening])


async def publish() -> None:
    layer = get_channel_layer()
    while line := await asyncio.to_thread(sys.stdin.readline):
        await layer.group_send(GROUP, {"type": "change", "text": line.rstrip("\n")})


if __name__ == "__main__":
    layer = {"BACKEND": "channels_redis.core.RedisChannelLayer", "CONFIG": {"hosts": [sys.argv[2]]}}
    settings.configure(CHANNEL_LAYERS={"default": layer})
    django.setup()
    if sys.argv[1] == "serve":
        serve()
    else:
        asyncio.run(publish())
