"""One open socket, from the upgrade to its end: frames in, limits and back-pressure. The hub's view
of it is a Watcher (realtime/watcher.py). uvicorn's objects are discarded after the upgrade. A
parser exists only while a part of a message is pending, so an idle socket holds none."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from typing import Any

import structlog
from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Close, CloseCode, Frame, Opcode
from websockets.streams import StreamReader

from app import refusal
from app.accounts.session import SignedIn
from realtime import messages
from realtime.history import Window
from realtime.hub import Hub

log = structlog.get_logger("connection")

# A client with more unsent bytes than HIGH_WATER is paused, until only LOW_WATER are left.
HIGH_WATER = 64 * 1024
LOW_WATER = 16 * 1024
# By default, the kernel would buffer megabytes for a client that reads nothing.
KERNEL_BUFFER = 64 * 1024

# Messages of a client per WINDOW_SECONDS. The connection ends after MAX_FLOOD, or after more than
# MAX_MALFORMED malformed ones in a row.
MAX_MESSAGES = 120
WINDOW_SECONDS = 10.0
MAX_FLOOD = 2 * MAX_MESSAGES
MAX_MALFORMED = 50
# Pings, pongs and fragments are not messages, but cost time too.
MAX_CONTROL_FRAMES = 240
MAX_CONTROL_PAYLOAD = 125
# Bytes are parsed in slices, so that a flood is noticed before all of it was parsed.
SLICE = 4 * 1024


class FrameReader:
    """Turns bytes into whole messages and control frames. The parser of `websockets` checks
    reserved bits, opcodes, masking and lengths; this class joins fragments."""

    __slots__ = ("_fragments", "_opcode", "_parser", "_stream")

    def __init__(self) -> None:
        self._stream = StreamReader()
        self._parser: Any = None  # websockets' generator for the frame that is not complete yet
        self._opcode: Opcode | None = None  # of the message to which the fragments belong
        self._fragments = b""

    @property
    def pending(self) -> bool:
        """Whether a part of a message has been read."""
        return self._parser is not None or self._opcode is not None

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yields the frames that these bytes complete. For a message in fragments it yields each
        unfinished fragment, and then the whole message as one frame. Raises ProtocolError,
        PayloadTooBig."""
        stream = self._stream
        stream.feed_data(data)
        while self._parser is not None or stream.buffer:
            if self._parser is None:
                max_size = max(messages.MAX_FRAME - len(self._fragments), MAX_CONTROL_PAYLOAD)
                self._parser = Frame.parse(stream.read_exact, mask=True, max_size=max_size)
            try:
                next(self._parser)
            except StopIteration as complete:
                self._parser = None
                yield self._join(complete.value)
            else:
                return

    def _join(self, frame: Frame) -> Frame:
        """The frame, or with the last fragment the whole message."""
        if frame.opcode > Opcode.BINARY:  # a control frame
            return frame
        if (frame.opcode is Opcode.CONT) is (self._opcode is None):
            raise ProtocolError("a continuation without a beginning, or a beginning without an end")
        if self._opcode is None:
            if frame.fin:
                return frame
            self._opcode = frame.opcode
        self._fragments += frame.data
        if len(self._fragments) > messages.MAX_FRAME:
            raise PayloadTooBig(len(self._fragments), messages.MAX_FRAME)
        if not frame.fin:
            return frame
        message = Frame(self._opcode, self._fragments)
        self._opcode, self._fragments = None, b""
        return message


class Connection(asyncio.Protocol):
    """The protocol of an open socket's transport. It is in the server's set of `connections` until
    the transport is closed."""

    __slots__ = (
        "_connections",
        "_control_frames",
        "_frames",
        "_hub",
        "_malformed",
        "_messages",
        "_received_at",
        "_release",
        "_window_began_at",
        "watcher",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        hub: Hub,
        account: SignedIn | None,
        *,
        connections: set[Any],
        release: Callable[[], None],
    ) -> None:
        """`release` is called when the transport is closed."""
        self._received_at = self._window_began_at = _now()
        self._messages = self._malformed = self._control_frames = 0
        self._frames: FrameReader | None = None
        self._connections = connections
        self._release = release
        self._hub = hub
        _bound_buffers(transport)
        connections.add(self)
        self.watcher = hub.join(transport, account)
        transport.set_protocol(self)

    def shutdown(self) -> None:
        """Called by uvicorn when it shuts down, for a socket that is still open."""
        self.watcher.close(messages.RESTART, "restart")

    # ---- called by the transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 — asyncio passes it
        self.watcher.lost()
        self._connections.discard(self)
        self._release()

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def pause_writing(self) -> None:
        """Stop reading from a client that is not reading."""
        if not self.watcher.closed:
            self.watcher.transport.pause_reading()
            self._hub.pause(self.watcher)

    def resume_writing(self) -> None:
        if not self.watcher.closed:
            self.watcher.transport.resume_reading()
            self._hub.resume(self.watcher)

    def data_received(self, data: bytes) -> None:
        if self.watcher.closed:
            return
        self._received_at = _now()
        self.watcher.received(self._received_at)
        frames, self._frames = self._frames or FrameReader(), None
        try:
            for start in range(0, len(data), SLICE):
                for frame in frames.feed(data[start : start + SLICE]):
                    self._receive(frame)
                    if self.watcher.closed:
                        return
        except ProtocolError as error:
            self.watcher.close(CloseCode.PROTOCOL_ERROR, str(error))
        except UnicodeDecodeError:
            self.watcher.close(CloseCode.INVALID_DATA, "not UTF-8")
        except PayloadTooBig:
            self.watcher.close(CloseCode.MESSAGE_TOO_BIG, f"over {messages.MAX_FRAME} bytes")
        except Exception:  # our own bug ends only this connection
            log.exception("unhandled_error")
            self.watcher.close(messages.INTERNAL_ERROR)
        else:
            self._frames = frames if frames.pending else None

    # ---- frames

    def _receive(self, frame: Frame) -> None:
        opcode = frame.opcode
        if frame.fin and (opcode is Opcode.TEXT or opcode is Opcode.BINARY):
            self._receive_message(bytes(frame.data), binary=opcode is Opcode.BINARY)
        elif opcode is Opcode.CLOSE:
            Close.parse(bytes(frame.data))
            self.watcher.close_with(messages.control_frame(Opcode.CLOSE, frame.data))
        elif self._count_control_frame() and opcode is Opcode.PING:
            self.watcher.write(messages.control_frame(Opcode.PONG, frame.data))

    def _receive_message(self, data: bytes, *, binary: bool) -> None:
        try:
            self._count_message()
            if binary:
                raise messages.BadMessage("Messages are text.")
            self._act(messages.read(data.decode()))
            self._malformed = 0
        except refusal.Refusal as refused:
            self.watcher.write(messages.error(refused))
            if isinstance(refused, messages.BadMessage):
                self._malformed += 1
            if self._malformed > MAX_MALFORMED:
                self.watcher.close(messages.BAD_CLIENT, "nothing but malformed messages")
            elif self._messages > MAX_FLOOD:
                self.watcher.close(messages.TOO_MANY, "too many messages")

    def _act(self, message: messages.Watch | messages.Unwatch) -> None:
        instructor = messages.calendar_id(message.instructor)
        if isinstance(message, messages.Unwatch):
            self._hub.unwatch(self.watcher, instructor)
            return
        watches = self.watcher.watches
        if instructor not in watches and len(watches) >= messages.MAX_WATCHES:
            raise messages.Limit(
                f"No more than {messages.MAX_WATCHES} calendars at a time, please.",
                instructor=instructor,
            )
        resume = None
        if message.epoch is not None and message.version is not None:
            resume = message.epoch, message.version
        self._hub.watch(self.watcher, instructor, Window.of(message.first, message.days), resume)

    # ---- limits

    def _count_message(self) -> None:
        """Raises Limit for each message above MAX_MESSAGES in a window."""
        self._begin_window()
        self._messages += 1
        if self._messages > MAX_MESSAGES:
            raise messages.Limit(
                f"No more than {MAX_MESSAGES} messages in {WINDOW_SECONDS:.0f} seconds, please."
            )

    def _count_control_frame(self) -> bool:
        """Counts a frame that is not a message. Returns False if that ends the connection."""
        self._begin_window()
        self._control_frames += 1
        if self._control_frames > MAX_CONTROL_FRAMES:
            self.watcher.close(messages.TOO_MANY, "too many frames")
        return not self.watcher.closed

    def _begin_window(self) -> None:
        if self._received_at - self._window_began_at > WINDOW_SECONDS:
            self._window_began_at = self._received_at
            self._messages = self._control_frames = 0


def _bound_buffers(transport: asyncio.Transport) -> None:
    transport.set_write_buffer_limits(HIGH_WATER, LOW_WATER)
    if (raw_socket := transport.get_extra_info("socket")) is not None:
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BUFFER)


def _now() -> float:
    return asyncio.get_running_loop().time()
