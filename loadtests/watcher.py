"""One socket that follows boards until stopped: it connects, reads and reconnects. It blocks, which
gevent makes cheap under Locust; elsewhere run it in a thread. client.py interprets the messages."""

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
# A read blocks this long before it checks whether to stop.
_READ_SECONDS = 1.0

# Screens with the same window get the same bytes, so parse them once. Callers must not modify the
# result.
_parse: Callable[[bytes], Message] = lru_cache(maxsize=512)(orjson.loads)


class Watcher:
    """Runs one socket. After `run`, `client` holds the last content."""

    def __init__(
        self,
        url: str,
        screens: Sequence[Screen],
        *,
        token: str | None = None,
        random: Random | None = None,
    ) -> None:
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
        """Follows until stopped, or until the server forbids reconnecting."""
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

    def is_ready(self) -> bool:
        """Whether it is connected and every board has arrived."""
        return self.connected and all(screen.boards > 0 for screen in self.client.screens.values())

    def _once(self) -> int:
        """Runs one connection; returns its close code (1006: none)."""
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
            # Not `close`: it waits for the peer and swallows the exception that ends a greenlet.
            with suppress(OSError, websocket.WebSocketException):
                socket.send_close()
            socket.shutdown()  # type: ignore[no-untyped-call]  # it has no annotations

    def _follow(self, socket: websocket.WebSocket) -> int:
        last_message = time.monotonic()
        socket.settimeout(_READ_SECONDS)
        while not self._stopped:
            try:
                opcode, data = socket.recv_data()
            except websocket.WebSocketTimeoutException:
                if time.monotonic() - last_message > SILENCE_SECONDS:
                    return 1006
                continue
            at = time.time()
            if opcode == websocket.ABNF.OPCODE_CLOSE:
                return int.from_bytes(data[:2]) if len(data) >= 2 else 1005
            last_message = time.monotonic()
            self._send(socket, self.client.receive(_parse(data), at))
        return 1000

    @staticmethod
    def _send(socket: websocket.WebSocket, messages: Sequence[Message]) -> None:
        for message in messages:
            socket.send(orjson.dumps(message))

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while not self._stopped and time.monotonic() < until:
            time.sleep(min(0.2, seconds))
