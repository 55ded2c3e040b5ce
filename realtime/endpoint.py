"""`/live` and `/live/public`: decides who may connect, and hands the transport over from uvicorn to
a Connection."""

import asyncio
from collections import Counter
from typing import Any, cast

import structlog
from starlette.responses import Response
from starlette.websockets import WebSocket
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from app import descriptors, limits, refusal, web
from app.accounts import session
from app.accounts.session import SignedIn
from app.settings import Settings
from app.web.http_protocol import NotHttp, answer, hang_up
from realtime import messages, metrics
from realtime.connection import Connection
from realtime.hub import Hub
from realtime.lifespan import Live
from realtime.messages import SUBPROTOCOL
from realtime.watcher import CLOSE_SECONDS

log = structlog.get_logger("endpoint")

# Where the handler finds the connection's UpgradeProtocol in the scope's extensions.
EXTENSION = "live"
# The most bytes that a client may send before its upgrade is answered.
MAX_EARLY = messages.MAX_FRAME
FULL_RETRY_AFTER = 5
# docs/live-protocol.md promises this pause to clients with too many sockets.
LIMIT_RETRY_AFTER = 30


class State(web.State):
    """The state that app/main.py shares with every request, and the live path's part of it."""

    live: Live
    seats: "Seats"


async def live(socket: WebSocket[State]) -> None:
    """The live protocol for our own pages and for clients other than browsers."""
    if "origin" in socket.headers and not web.origin_allowed(socket):
        await _refuse(socket, refusal.NotAllowed("This page belongs to another site."))
    else:
        await _admit(socket, web.token(socket), web.bearer(socket) is not None)


async def live_public(socket: WebSocket[State]) -> None:
    """The same for boards on other sites: any Origin, no session, so no messages about bookings."""
    await _admit(socket, None, False)


async def _admit(socket: WebSocket[State], token: str | None, has_bearer: bool) -> None:
    """Accepts or refuses the upgrade. `has_bearer`: the client sent a bearer token, so an ended
    session ends its connection. With the cookie of an ended session it is a visitor, because boards
    are public."""
    seat: Seat | None = None
    try:
        upgrade = _upgrade(socket)
        hub = _hub(socket)
        seat = socket.state["seats"].take(limits.address(socket))
        account = await _account(socket, token)
        await socket.state["limiter"].count(
            "socket", limits.address(socket), account.account_id if account else None
        )
        _hub(socket)  # it may be draining by now
        if account is not None:
            seat.assign(str(account.account_id))
        await socket.accept(SUBPROTOCOL)
        connection = upgrade.hand_over(hub, account, seat)
        seat = None
    except refusal.Refusal as refused:
        await _refuse(socket, refused)
    else:
        if account is None and has_bearer:
            connection.watcher.close(messages.SESSION_OVER, "session over")
    finally:
        if seat is not None:
            seat.release()


def _upgrade(socket: WebSocket[State]) -> "UpgradeProtocol":
    if SUBPROTOCOL not in socket.scope["subprotocols"]:
        raise refusal.ValidationError(f"Offer the subprotocol {SUBPROTOCOL}.")
    upgrade = socket.scope.get("extensions", {}).get(EXTENSION)
    if not isinstance(upgrade, UpgradeProtocol):
        raise _unavailable("This server does not speak the live protocol: it needs `serve`.")
    return upgrade


def _hub(socket: WebSocket[State]) -> Hub:
    """The hub. Raises Unavailable while it is draining."""
    hub = socket.state["live"].hub
    if hub.draining:
        raise _unavailable("This process is shutting down. Try again.")
    return hub


async def _account(socket: WebSocket[State], token: str | None) -> SignedIn | None:
    state = socket.state
    if token is None:
        return None
    return await session.authenticate(state["pool"], token, state["settings"], now=state["now"]())


async def _refuse(socket: WebSocket[State], refused: refusal.Refusal) -> None:
    status = 400 if isinstance(refused, refusal.ValidationError) else refused.status
    headers = {}
    if isinstance(refused, refusal.RateLimited | refusal.Unavailable):
        headers["Retry-After"] = str(refused.retry_after)
    metrics.REFUSED.labels(str(status)).inc()
    web.record_refusal(socket, refused)
    response: Response = web.json(refused.as_json(), status, headers)
    await socket.send_denial_response(response)


def _unavailable(detail: str) -> refusal.Unavailable:
    error = refusal.Unavailable(detail)
    error.retry_after = FULL_RETRY_AFTER
    return error


# ---- limits


class Seats:
    """Counts the open sockets of this process: all, by address and by account. A seat is taken
    before anything is awaited, so two clients never get the last one."""

    def __init__(self, settings: Settings) -> None:
        limited = settings.rate_limits == "on"
        self._max = descriptors.max_sockets(settings)
        self._max_per_address = settings.sockets_per_address if limited else self._max
        self._max_per_account = settings.sockets_per_account if limited else self._max
        self._taken = 0
        self._addresses: Counter[str] = Counter()
        self._accounts: Counter[str] = Counter()

    def take(self, address: str) -> "Seat":
        """Takes a seat. Raises Unavailable when all are taken, RateLimited when this address has
        too many. (Behind a Unix socket there is no address.)"""
        if self._taken >= self._max:
            raise _unavailable("There are too many connections right now.")
        if address and self._addresses[address] >= self._max_per_address:
            raise refusal.RateLimited(retry_after=LIMIT_RETRY_AFTER)
        self._taken += 1
        self._addresses[address] += 1
        return Seat(self, address)

    def assign(self, account_id: str) -> None:
        """Counts a seat for this account. Raises RateLimited when it has too many."""
        if self._accounts[account_id] >= self._max_per_account:
            raise refusal.RateLimited(retry_after=LIMIT_RETRY_AFTER)
        self._accounts[account_id] += 1

    def leave(self, address: str, account_id: str | None) -> None:
        self._taken -= 1
        _decrement(self._addresses, address)
        if account_id is not None:
            _decrement(self._accounts, account_id)


class Seat:
    """One socket's place."""

    __slots__ = ("_account_id", "_address", "_seats")

    def __init__(self, seats: Seats, address: str) -> None:
        self._seats = seats
        self._address = address
        self._account_id: str | None = None

    def assign(self, account_id: str) -> None:
        """Counts the socket for this account. Raises RateLimited."""
        self._seats.assign(account_id)
        self._account_id = account_id

    def release(self) -> None:
        """To be called once."""
        self._seats.leave(self._address, self._account_id)


def _decrement(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]


# ---- the handover


class UpgradeProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, for the upgrade alone. Given to uvicorn as `ws=`."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._early = b""
        self._handed_over = False

    def hand_over(self, hub: Hub, account: SignedIn | None, seat: Seat) -> Connection:
        """Turns the accepted socket into a Connection, without uvicorn's objects. Raises
        ClientDisconnected."""
        transport = self.transport
        # A paused transport does not call `pause_writing` of the next protocol.
        if self.disconnected or transport.is_closing() or not self.writable.is_set():
            raise ClientDisconnected
        self._handed_over = True
        self.connections.discard(self)
        connection = Connection(
            transport,
            hub,
            account,
            connections=cast(set[Any], self.connections),
            release=seat.release,
        )
        transport.resume_reading()
        if self._early:
            connection.data_received(self._early)
        return connection

    def data_received(self, data: bytes) -> None:
        if self.close_sent:  # it was refused
            return
        if self.handshake_initiated:
            self._early += data
            if len(self._early) > MAX_EARLY:
                self.transport.pause_reading()
            return
        super().data_received(data)
        if not self.handshake_initiated:
            self.close_sent = True
            # The HTTP protocol passes a complete head, and websockets' parser rejected this one.
            response = b"".join(self.conn.data_to_send())
            hang_up(self.transport, response or answer(NotHttp(), self.default_headers))

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.close_sent:
            self._close()
        else:
            cast("dict[str, Any]", self.scope["extensions"])[EXTENSION] = self

    async def run_asgi(self) -> None:
        """uvicorn's, except that a transport that was handed over stays open."""
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception:  # our own bug is a 500, as in HTTP
            log.exception("unhandled_error")
            self.send_500_response()
        if self._handed_over:
            # A reference cycle would keep these objects until the next garbage collection.
            cast("dict[str, Any]", self.scope["extensions"]).clear()
            del self.conn.parser, self.transport
        else:
            self._close()

    def start_keepalive(self) -> None:
        """Starts nothing: the hub pings all sockets with one timer."""

    def _close(self) -> None:
        """A closing transport waits until everything is sent, which a stuck client prevents."""
        self.transport.close()
        if self.close_timer is None and not self.disconnected:
            self.close_timer = asyncio.get_running_loop().call_later(
                CLOSE_SECONDS, self.transport.abort
            )
