"""`Proxy`: a TCP proxy that does what networks do: resets connections, falls silent, refuses. It knows no protocol."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

T = TypeVar("T")

Direction = Literal["to_server", "to_client"]

_BOTH: tuple[Direction, ...] = ("to_server", "to_client")
_TIMEOUT = 30.0


class Proxy:
    """Stands between a client and a server; a context manager. All methods may be called on any thread.

    Each method waits at most 30 seconds for the proxy's own thread, and raises `TimeoutError` after that.

    Attributes:
        host: to connect to.
        port: to connect to; stays the same, also while connections are refused.
        accepted: connections taken so far.
        forwarded: bytes passed on so far, by direction.
    """

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        """Prepare a proxy for the server on ``host`` and ``port``; used as a context manager."""
        self.host = "127.0.0.1"
        self.port = 0
        self.accepted = 0
        self.forwarded: dict[Direction, int] = dict.fromkeys(_BOTH, 0)
        self._target = (host, port)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._silent: set[Direction] = set()
        self._changed = asyncio.Condition()

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def reset(self) -> int:
        """Reset all connections (RST, both ways); new ones are taken. Returns how many there were."""
        return self._call(self._reset())

    def refuse(self) -> None:
        """Reset all connections and refuse new ones, until `accept`."""
        self._call(self._refuse())

    def accept(self) -> None:
        """Take connections again."""
        self._call(self._listen())

    def silence(self, *directions: Direction) -> None:
        """Forward nothing more in these directions (both, by default), on old and new connections.

        Connections stay open, as when a cable is pulled. What comes meanwhile is kept for `speak`.
        """
        self._call(self._set(lambda: self._silent.update(directions or _BOTH)))

    def speak(self) -> None:
        """Forward again, first of all what came while it was silent."""
        self._call(self._set(self._silent.clear))

    def wait_until_accepted(self, number: int, timeout: float = _TIMEOUT) -> None:
        """Wait for a total number of accepted connections.

        Raises:
            TimeoutError: they were not, within ``timeout`` seconds.
        """
        self._call(self._wait(lambda: self.accepted >= number), timeout)

    def _call(self, work: Coroutine[Any, Any, T], timeout: float = _TIMEOUT) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout)
        except TimeoutError:
            future.cancel()
            raise

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, self.host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        server, self._server = self._server, None
        if server:
            server.close()
        await self._reset()

    async def _close(self) -> None:
        await self._refuse()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _reset(self) -> int:
        writers = list(self._writers)
        for writer in writers:
            with contextlib.suppress(OSError):
                # Lingering for no time makes closing a reset.
                raw: socket.socket = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        await self._notify()
        return len(writers) // 2

    async def _set(self, change: Callable[[], object]) -> None:
        change()
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a connection is handled by a task"
        self._tasks.add(task)
        self._writers.add(writer)
        far_writer: asyncio.StreamWriter | None = None
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
            self._writers.add(far_writer)
            self.accepted = number = self.accepted + 1
            await self._notify()
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(number, "to_server", self._split_client(reader), far_writer))
                pumps.create_task(self._pump(number, "to_client", self._split_server(far_reader), writer))
        except* OSError:
            pass  # the server is not there, or an end was reset: the other end sees it below
        finally:
            for end in (writer, far_writer):
                if end:
                    self._writers.discard(end)
                    end.transport.abort()
            self._tasks.discard(task)

    def _split_client(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """What a client says, in pieces."""
        return chunks(reader)

    def _split_server(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        """What a server says, in pieces."""
        return chunks(reader)

    async def _forward(self, _number: int, direction: Direction, piece: bytes, writer: asyncio.StreamWriter) -> None:
        """Pass a piece on, of the connection with this number."""
        writer.write(piece)
        self.forwarded[direction] += len(piece)
        await writer.drain()

    async def _pump(
        self, number: int, direction: Direction, pieces: AsyncIterator[bytes], writer: asyncio.StreamWriter
    ) -> None:
        try:
            async for piece in pieces:
                await self._wait(lambda: direction not in self._silent or writer.is_closing())
                await self._forward(number, direction, piece, writer)
        finally:
            # The end of one way is the end of both: half-open connections are no use to the protocols here.
            writer.close()
            await self._notify()


async def chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What comes, as it comes, until the connection ends."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(65536):
            yield chunk
