"""Fan-out by python-socketio with its Redis manager, set up as in its documentation. `serve
REDIS_URL` prints its port. `publish REDIS_URL`, in another process, sends each line of its input to
all clients. They join one room."""

import asyncio
import socket
import sys

import socketio
import uvicorn

ROOM = "all"


def serve(redis_url: str) -> None:
    # No pings during a measurement.
    server = socketio.AsyncServer(
        async_mode="asgi", client_manager=socketio.AsyncRedisManager(redis_url), ping_interval=600
    )

    @server.event  # type: ignore[untyped-decorator]  # python-socketio has no types
    async def connect(sid: str, _environ: object) -> None:
        await server.enter_room(sid, ROOM)

    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        socketio.ASGIApp(server),
        loop="uvloop",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",
        log_level="warning",
    )
    uvicorn.Server(config).run(sockets=[listening])


async def publish(redis_url: str) -> None:
    manager = socketio.AsyncRedisManager(redis_url, write_only=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        await manager.emit("change", line.rstrip("\n"), room=ROOM)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2])
    else:
        asyncio.run(publish(sys.argv[2]))
