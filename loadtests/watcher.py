"""One socket that follows boards until it is told to stop: connecting, reading, coming back. It blocks; under Locust gevent makes
that cheap, elsewhere it wants a thread of its own. What messages mean is live.py's."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from random import Random

import orjson
import websocket

from loadtests.client import SILENCE_SECONDS, Client, Message, Screen

SUBPROTOCOL = "lesson.v1"
CONNECT_SECONDS = 20
# How long a read waits before it looks whether it is time to stop.
_TURN_SECONDS = 1.0

# Screens with one window get the same bytes: a crowd in one process reads them once. Nobody alters what it returns.
_read: Callable[[bytes], Message] = lru_cache(maxsize=512)(orjson.loads)


class Watcher:
    """Runs one socket. After `run` has returned, `ear` holds what was last seen."""

    def __init__(self, url: str, screens: Sequence[Screen], *, token: str | None = None, random: Random | None = None) -> None:
        self.url = url.replace("http", "ws", 1).rstrip("/") + "/live"
        self.client = Client(screens)
        self.connects = 0
        self.closes: list[int] = []
        self.refused: list[str] = []
        self.connected = False
        self._token = token
        self._random = random or Random()
        self._stopped = False

    def stop(self) -> None:
        self._stopped = True

    def run(self) -> None:
        """Follows until stopped, or until the server closes for good."""
        while not self._stopped:
            code = self._once()
            self.connected = False
            if self._stopped:
                return
            self.closes.append(code)
            self.client.lost()
            wait = self.client.delay_after_close(code, self._random)
            if wait is None:
                return
            self._pause(wait)

    def shows(self) -> bool:
        """Whether every board has arrived."""
        return self.connected and all(screen.boards > 0 for screen in self.client.screens.values())

    def _once(self) -> int:
        """One connection from its opening to its end; the close code (1006: none was said)."""
        try:
            socket = websocket.create_connection(
                self.url,
                timeout=CONNECT_SECONDS,
                subprotocols=[SUBPROTOCOL],
                header=[f"Authorization: Bearer {self._token}"] if self._token else [],
                suppress_origin=True,
                enable_multithread=False,
                skip_utf8_validation=True,
                http_no_proxy=["*"],
            )
        except (OSError, websocket.WebSocketException) as error:
            self.refused.append(str(error)[:200])
            return 1006
        try:
            self.connects += 1
            self.connected = True
            self._send(socket, self.client.opened())
            return self._follow(socket)
        except (OSError, websocket.WebSocketException):
            return 1006
        finally:
            # Not `close`: it waits for the other side and swallows what ends a greenlet meanwhile.
            with suppress(OSError, websocket.WebSocketException):
                socket.send_close()
            socket.shutdown()  # type: ignore[no-untyped-call]  # websocket-client left it without annotations

    def _follow(self, socket: websocket.WebSocket) -> int:
        heard = time.monotonic()
        socket.settimeout(_TURN_SECONDS)
        while not self._stopped:
            try:
                opcode, data = socket.recv_data()
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - heard > SILENCE_SECONDS:
                    return 1006
                continue
            at = time.time()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2]) if len(data) >= 2 else 1005
            heard = time.monotonic()
            self._send(socket, self.client.receive(_read(data), at))
        return 1000

    @staticmethod
    def _send(socket: websocket.WebSocket, messages: Sequence[Message]) -> None:
        for message in messages:
            socket.send(orjson.dumps(message))

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and time.monotonic() < until:
            time.sleep(min(0.2, seconds))
