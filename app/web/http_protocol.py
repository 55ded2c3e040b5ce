"""uvicorn's HTTP protocol, with bounds on the size and duration of what one connection sends.
Whatever a client does, it gets a response or a closed connection, and we log no traceback."""

import asyncio
from typing import Any, Literal, NoReturn, cast

import httptools
import orjson
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from app import refusal
from app.refusal import Refusal

# HEAD_SECONDS run from the first byte (or from the connection, if none arrives) to the end of the
# head, BODY_SECONDS from there to the end of the body (app/web/middleware.py is a little stricter).
HEAD_SECONDS = 10.0
BODY_SECONDS = 20.0
# Bounds on a head, and on the framing of a body; checked once per slice.
MAX_HEAD = 32 * 1024
MAX_FIELDS = 100
# Pipelined requests behind the current one, and buffered bytes of a body that no handler reads.
MAX_PIPELINE = 8
MAX_UNREAD_BODY = 512 * 1024
# Parse in slices: we cannot see how much the parser buffers of an endless field.
SLICE = 16 * 1024
# How long a client may read nothing of a response, and how long it may take to close the connection
# after a refusal.
UNREAD_RESPONSE_SECONDS = 30.0
LINGER_SECONDS = 2.0

Phase = Literal["idle", "head", "body"]


class HeadTooLarge(Refusal):
    """The head of this request is too large."""

    status = 431
    code = "PAYLOAD_TOO_LARGE"


class NotHttp(Refusal):
    """This is not a request that can be read."""

    status = 400
    code = "VALIDATION_ERROR"


class HttpProtocol(HttpToolsProtocol):
    """Given to uvicorn as `http=`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._phase: Phase = "idle"  # the part that is being received
        self._timed: Phase | None = None  # the part that the deadline is for
        self._deadline: asyncio.TimerHandle | None = None
        self._unread_timer: asyncio.TimerHandle | None = None
        self._unparsed = 0  # bytes since the last parser callback
        self._fields = 0
        self._refusal: Refusal = NotHttp()
        self._finished = False  # later input is discarded

    # ---- from the transport

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._set_deadline("head")

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(None)
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread_timer = self.loop.call_later(UNREAD_RESPONSE_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def data_received(self, data: bytes) -> None:
        if self._finished or self.transport.is_closing():
            return
        self._unset_keepalive_if_required()
        for start in range(0, len(data), SLICE):
            part = data[start : start + SLICE]
            self._unparsed += len(part)
            try:
                self.parser.feed_data(part)
            except httptools.HttpParserUpgrade as upgrade:
                self._upgrade(data[start + upgrade.args[0] :])
                return
            except httptools.HttpParserError:
                self._refuse(self._refusal)
                return
            if self._unparsed > MAX_HEAD:
                self._refuse(HeadTooLarge())
                return
        # Empty lines between requests start no request, but the deadline applies to them.
        phase = "head" if self._phase == "idle" and not self._answering else self._phase
        if phase != self._timed:
            self._set_deadline(None if phase == "idle" else phase)

    # ---- from the parser, which turns exceptions into HttpParserError

    def on_message_begin(self) -> None:
        self._phase, self._timed = "head", None
        self._unparsed = self._fields = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields += 1
        if self._fields > MAX_FIELDS:
            self._stop(HeadTooLarge())
        if self._phase == "head":  # ignore trailers: the handler has already read the headers
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.url.isascii() or len(self.pipeline) >= MAX_PIPELINE:
            self._stop(NotHttp())
        self._phase = "body"
        previous = self.cycle
        super().on_headers_complete()
        if self.cycle is not previous and self.scope["method"] != "HEAD":
            self.cycle.transport = cast(asyncio.Transport, SingleWriteTransport(self.transport))

    def on_body(self, body: bytes) -> None:
        self._unparsed = 0
        super().on_body(body)
        if self._answering and len(self.cycle.body) > MAX_UNREAD_BODY:
            self._stop(refusal.PayloadTooLarge())

    def on_message_complete(self) -> None:
        self._phase = "idle"
        super().on_message_complete()

    def _stop(self, error: Refusal) -> NoReturn:
        self._refusal = error
        raise httptools.HttpParserError

    # ---- from the request

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            # The transport waits until its buffer is sent, which a stuck client prevents.
            self.loop.call_later(UNREAD_RESPONSE_SECONDS, self.transport.abort)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            super().timeout_keep_alive_handler()

    # ---- the end

    @property
    def _answering(self) -> bool:
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is not None and not cycle.response_complete

    def _upgrade(self, rest: bytes) -> None:
        """The request asks for another protocol; `rest` are the bytes after it."""
        if not self._should_upgrade():
            self._finished = True
            self._set_deadline(None)
            self.cycle.keep_alive = False
        elif self._answering or self.flow.write_paused:
            # A paused transport does not call `pause_writing` of the next protocol.
            self._refuse(NotHttp())
        else:
            self._set_deadline(None)
            self.handle_websocket_upgrade()
            self.parser = cast(Any, None)  # break the reference cycle
            if rest:
                cast(asyncio.Protocol, self.transport.get_protocol()).data_received(rest)

    def _set_deadline(self, phase: Phase | None) -> None:
        """Starts the deadline of this phase, or clears it for None."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        self._timed = phase
        if phase is not None:
            seconds = HEAD_SECONDS if phase == "head" else BODY_SECONDS
            self._deadline = self.loop.call_later(seconds, self._refuse, refusal.TooSlow())

    def _refuse(self, error: Refusal) -> None:
        """Responds if that is still possible, and closes the connection."""
        self._finished = True
        self._set_deadline(None)
        self._unset_keepalive_if_required()
        is_idle = self._unparsed == 0 and self._phase == "idle"
        if is_idle or self.pipeline or (self._answering and self.cycle.response_started):
            self.transport.close()
        else:
            hang_up(self.transport, answer(error, self.server_state.default_headers))
        if self._answering:
            self.cycle.disconnected = True
            self.cycle.message_event.set()


class SingleWriteTransport:
    """The transport of one response that has a body. uvicorn writes head and body separately; this
    sends the head with the first part of the body, in one system call."""

    __slots__ = ("_head", "_sent", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._sent = False

    def write(self, data: bytes) -> None:
        if self._sent or (not self._head and data.startswith(b"HTTP/1.1 100 ")):
            self._transport.write(data)
        elif self._head:
            self._sent = True
            self._transport.write(self._head + data)
        else:
            self._head = data

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        if not self._sent:
            self._transport.write(self._head)
        self._transport.close()


def answer(error: Refusal, headers: list[tuple[bytes, bytes]]) -> bytes:
    """A whole response, for requests that reach no handler."""
    body = orjson.dumps(error.as_json())
    lines = [STATUS_LINE[error.status], *(b"%b: %b\r\n" % header for header in headers)]
    if isinstance(error, refusal.Unavailable):
        lines.append(b"retry-after: %d\r\n" % error.retry_after)
    lines.append(b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body))
    lines.append(b"cache-control: no-store\r\nx-content-type-options: nosniff\r\n")
    return b"".join([*lines, b"connection: close\r\n\r\n", body])


def hang_up(transport: asyncio.Transport, last: bytes) -> None:
    """Sends `last` and an EOF. The client then has a moment to close the connection: if we closed
    while it still sends, a TCP reset could overtake the response."""
    transport.write(last)
    if transport.can_write_eof():
        transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_SECONDS, transport.abort)
    else:
        transport.close()
