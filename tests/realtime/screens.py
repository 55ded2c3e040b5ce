"""Screens: WebSocket clients that follow the contract's rules for watchers, keep all messages, and
can be compared with the database."""

import asyncio
import json
import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.db import Pool
from tests import conformance
from tests.cluster import PATIENCE
from tests.factories import Instructor

Message = dict[str, Any]
LESSON = [Subprotocol("lesson.v1")]


class Screen:
    """One socket. Its boards follow the contract: version = mine + 1 is applied, older is ignored.
    Here a gap is a fault of the server, because the connection loses nothing."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.messages: list[Message] = []
        self.boards: dict[str, Message] = {}
        self.faults: list[str] = []
        self.undescribed: list[str] = []
        self.closed_with: int | None = None
        self._received = asyncio.Condition()
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        try:
            async for text in self.connection:
                message = json.loads(text)
                if problem := conformance.problem_of_message(message):
                    self.undescribed.append(problem)
                self._apply(message)
                self.messages.append(message | {"received_at": time.time()})
                async with self._received:
                    self._received.notify_all()
        except ConnectionClosed:
            pass
        self.closed_with = self.connection.close_code
        async with self._received:
            self._received.notify_all()

    def _apply(self, message: Message) -> None:
        instructor = message.get("instructor", "")
        if message["type"] == "board":
            self.boards[instructor] = {"days": {}} | message
        elif message["type"] == "change":
            board = self.boards[instructor]
            if message["epoch"] != board["epoch"]:
                self.faults.append(f"a change of another epoch: {message}")
            elif message["version"] != board["version"] + 1:
                self.faults.append(f"version {message['version']} after {board['version']}")
            elif not message["days"].keys() <= board["days"].keys():
                self.faults.append(f"days that are not watched: {message['days'].keys()}")
            board["version"] = message["version"]
            board["days"] |= message["days"]

    async def send(self, **message: Any) -> None:
        await self.connection.send(json.dumps(message))

    async def watch(
        self, instructor: Instructor, *, days: int = 7, day: int = 0, **resume: Any
    ) -> None:
        """Asks for a board; does not wait for it."""
        await self.send(
            type="watch",
            instructor=str(instructor.id),
            first=str(instructor.day(day)),
            days=days,
            **resume,
        )

    async def shows(self, instructor: Instructor, *, days: int = 7, day: int = 0) -> Message:
        """Asks for a board and waits for it."""
        before = len(self.messages)
        await self.watch(instructor, days=days, day=day)
        return await self.receives("board", after=before, instructor=str(instructor.id))

    def resume_from(self, board: Message) -> None:
        """Knows this board already, as a page does that came back."""
        self.boards[board["instructor"]] = board | {"days": dict(board["days"])}

    async def receives(
        self, kind: str, *, after: int = 0, seconds: float = PATIENCE, **expected: Any
    ) -> Message:
        """The first message of this type with these values, among those from the `after`th on."""
        deadline = time.monotonic() + seconds
        while True:
            for message in self.messages[after:]:
                if message["type"] == kind and all(
                    message.get(name) == value for name, value in expected.items()
                ):
                    return message
            await self._next(deadline, f"{kind} {expected}")

    async def reaches(
        self, instructor: Instructor, version: int, *, seconds: float = PATIENCE
    ) -> Message:
        """The board, once it shows this version or a later one."""
        deadline = time.monotonic() + seconds
        while self.boards.get(str(instructor.id), {"version": -1})["version"] < version:
            await self._next(deadline, f"version {version}")
        return self.boards[str(instructor.id)]

    async def ends(self, *, seconds: float = PATIENCE) -> int | None:
        """The close code."""
        await asyncio.wait_for(asyncio.shield(self._listening), seconds)
        return self.closed_with

    async def _next(self, deadline: float, what: str) -> None:
        seconds = deadline - time.monotonic()
        assert seconds > 0, (
            f"waited for {what}; received {[_brief(message) for message in self.messages[-20:]]}"
        )
        assert not self._listening.done(), (
            f"closed with {self.closed_with} while waiting for {what}; {self.messages[-5:]}"
        )
        async with self._received:
            try:
                await asyncio.wait_for(self._received.wait(), seconds)
            except TimeoutError:
                return

    def of(self, *kinds: str) -> list[Message]:
        return [message for message in self.messages if message["type"] in kinds]

    async def quiet(self, seconds: float) -> list[Message]:
        """The messages within these seconds, without beacons."""
        before = len(self.messages)
        await asyncio.sleep(seconds)
        return [message for message in self.messages[before:] if message["type"] != "beacon"]

    async def close(self) -> None:
        if not self._listening.done():
            await self.connection.close()
        await asyncio.wait_for(self._listening, PATIENCE)
        assert self.undescribed == []


def _brief(message: Message) -> str:
    return (
        f"{message['type']} {message.get('version', message.get('event', message.get('code', '')))}"
    )


class Screens:
    """Opens screens at a server, and closes what a test left."""

    def __init__(self, url: str, path: str = "/live") -> None:
        self.url = url.replace("http", "ws", 1) + path
        self._stack = AsyncExitStack()

    async def open(
        self, *, token: str | None = None, url: str | None = None, **options: Any
    ) -> Screen:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= options.pop("additional_headers", {})
        connection = await connect(
            url.replace("http", "ws", 1) + "/live" if url else self.url,
            subprotocols=LESSON,
            additional_headers=headers,
            ping_interval=None,
            max_size=None,
            open_timeout=PATIENCE,
            **options,
        )
        screen = Screen(connection)
        self._stack.push_async_callback(screen.close)
        return screen

    async def close(self) -> None:
        await self._stack.aclose()


async def database_board(
    pool: Pool, instructor: Instructor | UUID, first: str, days: int
) -> dict[str, Any]:
    """The board as the database says."""
    instructor_id = instructor if isinstance(instructor, UUID) else instructor.id
    row = await pool.fetchrow(
        "select epoch, version, days from board($1, $2::text::date, $3)", instructor_id, first, days
    )
    assert row is not None
    return dict(row)


async def equals_the_database(pool: Pool, screen: Screen, instructor: Instructor) -> None:
    """The screen shows exactly what the database says, and came there without a fault."""
    board = screen.boards[str(instructor.id)]
    days = sorted(board["days"])
    fresh = await database_board(pool, instructor, days[0], len(days))
    on_screen = board["epoch"], board["version"]
    in_database = fresh["epoch"], fresh["version"]
    assert on_screen == in_database
    assert board["days"] == fresh["days"]
    assert screen.faults == []


async def catches_up(
    pool: Pool, screen: Screen, instructor: Instructor, *, seconds: float = PATIENCE
) -> float:
    """Waits until the screen equals the database; returns the seconds it took. The version is not
    enough: the last change may still be on its way, and a database that was killed may be older
    than the screen."""
    began = time.monotonic()
    while True:
        try:
            await equals_the_database(pool, screen, instructor)
            return time.monotonic() - began
        except AssertionError:
            if screen.faults or time.monotonic() - began > seconds:
                raise
        await asyncio.sleep(0.02)
