"""`/live`: who may connect, what a client says, and how much of it."""

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket

from app import refusal, web
from app.accounts import session
from app.accounts.session import SignedIn
from realtime import messages, metrics
from realtime.calendar import Window
from realtime.hub import Hub
from realtime.live import Live
from realtime.messages import SUBPROTOCOL
from realtime.protocol import EXTENSION, LiveProtocol
from realtime.watcher import Watcher

log = structlog.get_logger("socket")

# A client may say so much in so many seconds. Twice as much ends the connection, and so does nothing but nonsense.
MAX_MESSAGES = 120
SECONDS = 10.0
MAX_IN_ALL = 2 * MAX_MESSAGES
MAX_NONSENSE = 50
RETRY_AFTER = 5


class State(web.State):
    """What main hands to every connection, with what this one needs."""

    live: Live


async def live_socket(socket: WebSocket[State]) -> None:
    """One connection, from the upgrade to its end."""
    hub = socket.state["live"].hub
    refused = _refused(socket, hub)
    if refused is None:
        try:
            who = await _who(socket)
        except refusal.Unavailable:
            refused = _unavailable("We cannot see who you are right now.")
    if refused is not None:
        metrics.REFUSED.labels(str(refused.status_code)).inc()
        await socket.send_denial_response(refused)
        return
    await socket.accept(SUBPROTOCOL)
    wire: LiveProtocol = socket.scope["extensions"][EXTENSION]
    if who is None and "authorization" in socket.headers:
        wire.close(messages.SESSION_OVER, "session over")
        return
    await Conversation(hub, wire, hub.join(wire, who)).run(socket)


def _refused(socket: WebSocket[State], hub: Hub) -> Response | None:
    """What an upgrade is refused with before anything is looked up."""
    if "origin" in socket.headers and not web.origin_allowed(socket):
        return _refusal(refusal.NotAllowed("This page belongs to another site."), 403)
    if SUBPROTOCOL not in socket.scope["subprotocols"]:
        return _refusal(refusal.ValidationError(f"Offer the subprotocol {SUBPROTOCOL}."), 400)
    if EXTENSION not in socket.scope.get("extensions", {}):
        return _unavailable("This server does not speak the live protocol (it needs realtime.protocol.LiveProtocol).")
    if hub.draining:
        return _unavailable("This process is ending; another will answer.")
    if hub.full:
        return _unavailable("There are too many connections just now.")
    return None


def _refusal(refused: refusal.Refusal, status: int) -> Response:
    return web.json(refused.as_json(), status)


def _unavailable(why: str) -> Response:
    return web.json(refusal.Unavailable(why).as_json(), 503, {"Retry-After": str(RETRY_AFTER)})


async def _who(socket: WebSocket[State]) -> SignedIn | None:
    """The account behind the socket. Boards are public, so a cookie whose session is over makes a visitor; only who insists on being
    somebody, by a bearer token, is told otherwise. Raises Unavailable."""
    state = socket.state
    return await session.who(state["pool"], web.token(socket), state["settings"], now=state["now"]())


class Conversation:
    """What one client says, within its limits, and what its transport tells."""

    __slots__ = ("_count", "_hub", "_nonsense", "_since", "_watcher", "_wire")

    def __init__(self, hub: Hub, wire: LiveProtocol, watcher: Watcher) -> None:
        self._hub = hub
        self._wire = wire
        self._watcher = watcher
        self._since = wire.heard
        self._count = 0
        self._nonsense = 0
        wire.listener = self

    async def run(self, socket: WebSocket[State]) -> None:
        """Until the connection ends."""
        try:
            while (message := await socket.receive())["type"] == "websocket.receive":
                # Who takes no answers is not listened to either.
                await self._wire.writable.wait()
                if not self._watcher.closed:
                    self._hear(message.get("text"))
        except Exception:  # a fault of ours ends this connection only, and says so
            log.exception("bug")
            self._wire.close(messages.BUG)
        finally:
            self._wire.listener = None
            self._hub.leave(self._watcher)

    # ---- from the transport

    def paused(self) -> None:
        self._hub.pause(self._watcher)

    def resumed(self) -> None:
        self._hub.resume(self._watcher)

    def ended(self) -> None:
        self._watcher.closed = True
        self._watcher.ready = False

    # ---- from the client

    def _hear(self, text: str | None) -> None:
        try:
            self._count_message()
            if text is None:
                raise messages.BadMessage("Messages are text.")
            self._act(messages.read(text))
            self._nonsense = 0
        except refusal.Refusal as refused:
            self._wire.write(messages.error(refused))
            if isinstance(refused, messages.BadMessage):
                self._nonsense += 1
            if self._nonsense > MAX_NONSENSE:
                self._wire.close(messages.BAD_CLIENT, "nothing but nonsense")
            elif self._count > MAX_IN_ALL:
                self._wire.close(messages.TOO_MANY, "too many messages")

    def _count_message(self) -> None:
        """Raises Limit for each message above MAX_MESSAGES in SECONDS that begin with a message."""
        now = self._wire.heard
        if now - self._since > SECONDS:
            self._since = now
            self._count = 0
        self._count += 1
        if self._count > MAX_MESSAGES:
            raise messages.Limit(f"No more than {MAX_MESSAGES} messages in {SECONDS:.0f} seconds, please.")

    def _act(self, said: messages.Watch | messages.Unwatch) -> None:
        instructor = messages.calendar_id(said.instructor)
        if isinstance(said, messages.Unwatch):
            self._hub.unwatch(self._watcher, instructor)
            return
        if instructor not in self._watcher.watches and len(self._watcher.watches) >= messages.MAX_WATCHES:
            raise messages.Limit(f"No more than {messages.MAX_WATCHES} calendars at a time, please.", instructor=instructor)
        resume = (said.epoch, said.version) if said.epoch is not None and said.version is not None else None
        self._hub.watch(self._watcher, instructor, Window.of(said.first, said.days), resume)
