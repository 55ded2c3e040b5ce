"""uvicorn's WebSocket protocol, with what the live path needs of it: prebuilt frames written straight to the transport, news of
back-pressure, bounded queues, and an end to every connection in bounded time. Given to uvicorn as `ws=`."""

import asyncio
import socket
from typing import Any, Protocol, cast

from uvicorn.config import Config
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.exceptions import InvalidState
from websockets.frames import Frame
from websockets.http11 import Request

from realtime import messages

# Where a connection is found in the scope's extensions.
EXTENSION = "live"

# What may wait for a client before it counts as paused, and how little must be left for it to go on.
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
KERNEL_BUFFER = 64 * 1024
# Messages that may wait for the application; it takes them at once, so more are a flood.
MAX_WAITING = 160
# Pings and fragments are nobody's messages, but cost time too: so many within FLOOD_SECONDS.
MAX_CONTROL = 240
FLOOD_SECONDS = 10.0
# What comes at once is parsed in slices, so that a flood is noticed before all of it was parsed.
SLICE = 16 * 1024
# How long the client may take to see our close frame and hang up.
CLOSE_SECONDS = 3.0


class Listener(Protocol):
    """Who is told how the transport does."""

    def paused(self) -> None: ...
    def resumed(self) -> None: ...
    def ended(self) -> None: ...


class LiveProtocol(WebSocketsSansIOProtocol):
    listener: Listener | None = None

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.heard = self.loop.time()
        self._ending = False
        self._control = 0
        self._control_since = self.heard

    # ---- for the watcher (realtime/watcher.py: Wire)

    def write(self, frame: bytes) -> None:
        """A prebuilt, unmasked frame."""
        if not self._ending:
            self.transport.write(frame)

    def close(self, code: int, reason: str = "") -> None:
        """Says why and hangs up. What the client still sends is not read as messages any more; one that does not hang up within
        CLOSE_SECONDS is aborted."""
        if self._ending or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        try:
            self.conn.send_close(code, reason)
            self.transport.write(b"".join(self.conn.data_to_send()))
        except InvalidState:
            pass  # the client said goodbye first
        self._hang_up()

    def abort(self) -> None:
        """Ends it now, whatever waits to be sent."""
        self._ended()
        self.transport.abort()

    def _hang_up(self) -> None:
        """The close frame is written: says that nothing follows, and reads on for a while, because a reset would overtake it."""
        self.close_sent = True
        self._ended()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)

    def _ended(self) -> None:
        self._ending = True
        if self.listener is not None:
            self.listener.ended()

    # ---- from the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
        if (own := self.transport.get_extra_info("socket")) is not None:
            # Left alone, the kernel would keep megabytes for a client that reads nothing.
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.listener is not None:
            self.listener.paused()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.listener is not None and not self._ending:
            self.listener.resumed()

    def data_received(self, data: bytes) -> None:
        self.heard = self.loop.time()
        for start in range(0, len(data), SLICE):
            if self._ending:
                return
            super().data_received(data[start : start + SLICE])

    def shutdown(self) -> None:
        """uvicorn ends; sockets that were not said goodbye to before (drain.py) are told now."""
        if self.handshake_complete:
            self.close(messages.RESTART)
        else:
            super().shutdown()

    # ---- from the parser

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if not self.close_sent:
            extensions = cast("dict[str, Any]", self.scope["extensions"])
            extensions[EXTENSION] = self

    def handle_ping(self) -> None:
        pong = self.conn.data_to_send()
        if self._bearable() and self.writable.is_set():
            self.transport.write(b"".join(pong))

    def handle_cont(self, event: Frame) -> None:
        if self._bearable():
            super().handle_cont(event)

    def handle_pong(self, event: Frame) -> None:  # noqa: ARG002 — uvicorn's signature
        """That it came is all there is to know."""
        self._bearable()

    def handle_close(self, event: Frame) -> None:
        self._ended()
        super().handle_close(event)
        self._bound_the_end()

    def handle_parser_exception(self) -> None:
        """A frame that cannot be read (1002), is not UTF-8 (1007) or is too long (1009)."""
        closed = self.conn.close_sent
        if closed is not None:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self._hang_up()

    def send_receive_event_to_app(self) -> None:
        if self.queue.qsize() < MAX_WAITING:
            super().send_receive_event_to_app()
        else:
            self.frames = []
            if self.handshake_complete:
                self.write(messages.error(messages.Limit()))
            self.close(messages.TOO_MANY, "too many messages")

    def _bearable(self) -> bool:
        """Counts a frame that is no message; too many of them end the connection."""
        if self.heard - self._control_since > FLOOD_SECONDS:
            self._control_since = self.heard
            self._control = 0
        self._control += 1
        if self._control > MAX_CONTROL:
            self.close(messages.TOO_MANY, "too many frames")
            return False
        return True

    # ---- from the application

    def start_keepalive(self) -> None:
        """The hub pings (realtime/rounds.py): one timer for all instead of one for each."""

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._bound_the_end()

    def _bound_the_end(self) -> None:
        """A connection that closes waits for what is still to be sent, and a stuck client never takes it."""
        if not self.disconnected and self.close_timer is None:
            self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
