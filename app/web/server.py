"""The server of a web process: uvicorn's, with its own accept loop, so that it never runs out of
descriptors. Above the connection limit it responds 503; above MAX_REFUSALS of those, it leaves
further connections in the backlog."""

import asyncio
import errno
import gc
import socket
from collections.abc import Callable
from typing import cast

import structlog
import uvicorn

from app import descriptors, refusal
from app.web.http_protocol import answer, hang_up

log = structlog.get_logger("server")

BACKLOG = 2048
# Connections accepted per turn of the event loop, so that a rush does not stall open connections.
BATCH = 32
# Connections above the limit that may wait for their 503 at the same time.
MAX_REFUSALS = 50
PAUSE_SECONDS = 0.1
NO_DESCRIPTOR_SECONDS = 0.5
RETRY_AFTER = 5


class Server(uvicorn.Server):
    """For an application whose lifespan state contains `settings`."""

    acceptors: tuple["Acceptor", ...] = ()
    _owns_process = False

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        self._owns_process = True
        super().run(sockets)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        assert sockets is not None, "listening sockets are required"
        await super().startup(sockets=[])
        if self._owns_process:
            # Loaded modules never become garbage: exclude them from later collections.
            gc.collect()
            gc.freeze()
            # Each request allocates thousands of objects, few of them in cycles.
            gc.set_threshold(10_000, 20, 20)
        limit = descriptors.max_connections(self.lifespan.state["settings"])
        self.acceptors = tuple(
            Acceptor(
                listener,
                self._protocol,
                self._refusing_protocol,
                self._connection_count,
                limit,
            )
            for listener in sockets
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for acceptor in self.acceptors:
            acceptor.stop()
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )

    def _refusing_protocol(self) -> asyncio.Protocol:
        state = self.server_state
        return RefusingProtocol(cast(set[object], state.connections), state.default_headers)

    def _connection_count(self) -> int:
        return len(self.server_state.connections)


class Acceptor:
    """Accepts the connections of one listening socket."""

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        refusing_protocol: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
        limit: int,
    ) -> None:
        self._listener = listener
        self._protocol = protocol
        self._refusing_protocol = refusing_protocol
        self._count = count
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._starting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._full = False
        listener.setblocking(False)
        listener.listen(BACKLOG)
        self._resume()

    def stop(self) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._listener, self._accept)

    def _pause_accepting(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause = self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        for _ in range(BATCH):
            connections = self._count() + len(self._starting)
            self._update_full(connections >= self._limit)
            if connections >= self._limit + MAX_REFUSALS:
                self._pause_accepting(PAUSE_SECONDS)
                return
            try:
                client, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors. Waiting clients stay in the backlog.
                log.warning(
                    "accept_failed", error=errno.errorcode.get(error.errno or 0, str(error))
                )
                self._pause_accepting(NO_DESCRIPTOR_SECONDS)
                return
            factory = self._refusing_protocol if self._full else self._protocol
            task = self._loop.create_task(self._start(client, factory))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    async def _start(self, client: socket.socket, factory: Callable[[], asyncio.Protocol]) -> None:
        client.setblocking(False)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await self._loop.connect_accepted_socket(factory, client)
        except OSError:  # the client has disconnected
            client.close()

    def _update_full(self, full: bool) -> None:
        if full and not self._full:
            log.warning("connections_exhausted", limit=self._limit)
        self._full = full


class RefusingProtocol(asyncio.Protocol):
    """Responds 503 to any request."""

    def __init__(self, connections: set[object], headers: list[tuple[bytes, bytes]]) -> None:
        self._connections = connections
        self._headers = headers
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._transport = cast(asyncio.Transport, transport)
        error = refusal.Unavailable("There are too many connections right now.")
        error.retry_after = RETRY_AFTER
        hang_up(self._transport, answer(error, self._headers))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio's signature
        self._connections.discard(self)

    def shutdown(self) -> None:
        """Called by uvicorn when it shuts down."""
        if self._transport is not None:
            self._transport.abort()
