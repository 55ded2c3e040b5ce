"""A proxy between the product and Postgres or Redis, on a Unix socket. It can mute open
connections: from then on it drops their bytes in both directions without closing them, like a
firewall that lost its state. New connections work."""

import asyncio
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

_CHUNK = 1 << 16


class Proxy:
    """Runs in its own thread while its context is open."""

    def __init__(self, target: Path, own: Path) -> None:
        self.target = target
        self.own = own
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=f"proxy for {target.name}")
        self._links: set[_Link] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self.own.parent.mkdir(parents=True, exist_ok=True)
        serving = asyncio.start_unix_server(self._serve, self.own)
        self._server = self._loop.run_until_complete(serving)
        # Give the socket the target's owner and mode: if root starts the product, its processes
        # run as another user.
        target = self.target.stat()
        self.own.chmod(stat.S_IMODE(target.st_mode))
        os.chown(self.own, target.st_uid, target.st_gid)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._end())
        self._loop.close()
        self.own.unlink(missing_ok=True)

    async def _end(self) -> None:
        assert self._server is not None
        self._server.close()
        tasks = asyncio.all_tasks(self._loop) - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)  # lets closed transports finish

    def mute(self) -> int:
        """Mutes all open connections; returns their number."""
        return asyncio.run_coroutine_threadsafe(self._mute(), self._loop).result(5)

    async def _mute(self) -> int:
        active = [link for link in self._links if not link.muted]
        for link in active:
            link.muted = True
        return len(active)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link()
        try:
            target_reader, target_writer = await asyncio.open_unix_connection(self.target)
        except OSError:
            writer.close()
            return
        self._links.add(link)
        responses = asyncio.create_task(link.carry(target_reader, writer, from_target=True))
        try:
            await link.carry(reader, target_writer, from_target=False)
        finally:
            # The product closed the connection, so close the other side as well.
            self._links.discard(link)
            responses.cancel()
            target_writer.close()
            writer.close()


class _Link:
    """One connection through the proxy."""

    def __init__(self) -> None:
        self.muted = False

    async def carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, from_target: bool
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                if not self.muted:
                    writer.write(data)
                    await writer.drain()
        if from_target and not self.muted:
            writer.close()
