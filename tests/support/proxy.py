"""The kit's proxy, and what the repository's own tests need beside it: it knows the frames of AMQP and STOMP."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

from eventing_core.testing import Proxy as PlainProxy
from eventing_core.testing._proxy import Direction, chunks

_DISPOSITION = 0x15
_TIMEOUT = 30.0


class Proxy(PlainProxy):
    """Forwards whole frames of the server's, and can keep back its confirmations of sends."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        super().__init__(port, host)
        self._holding = False
        self._held: list[tuple[asyncio.StreamWriter, bytes]] = []

    def hold_confirmations(self) -> None:
        """Keep back the server's confirmations of sends: AMQP's dispositions, STOMP's receipts; all else passes."""
        self._call(self._set(lambda: setattr(self, "_holding", True)))

    def release_confirmations(self) -> int:
        """Let the held confirmations go, in their order, and hold no more. Returns how many there were."""
        return self._call(self._release())

    def wait_until_held(self, number: int, timeout: float = _TIMEOUT) -> None:
        """Wait until so many confirmations are held.

        Raises:
            TimeoutError: they are not, within ``timeout`` seconds.
        """
        self._call(self._wait(lambda: len(self._held) >= number), timeout)

    async def _reset(self) -> int:
        self._held.clear()
        return await super()._reset()

    async def _release(self) -> int:
        held, self._held, self._holding = self._held, [], False
        for writer, frame in held:
            writer.write(frame)
        return len(held)

    def _split_server(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        return frames(reader)

    async def _forward(self, number: int, direction: Direction, piece: bytes, writer: asyncio.StreamWriter) -> None:
        if direction == "to_client" and self._holding and _is_confirmation(piece):
            self._held.append((writer, piece))
            await self._notify()
            return
        await super()._forward(number, direction, piece, writer)


async def frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Split what an AMQP or STOMP peer says into frames; of another protocol, chunks as they come."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        head = await reader.read(4)
        while head:
            if len(head) < 4:  # a size, or "AMQP"
                head += await reader.readexactly(4 - len(head))
            size = int.from_bytes(head)
            if head == b"AMQP":
                size = 8
            elif head in {b"CONN", b"ERRO", b"STOM"}:
                async for frame in _stomp_frames(reader, head):
                    yield frame
                return
            elif not 8 <= size < 1 << 28:  # no AMQP frame
                yield head
                async for chunk in chunks(reader):
                    yield chunk
                return
            yield head + await reader.readexactly(size - 4)
            head = await reader.read(4)


async def _stomp_frames(reader: asyncio.StreamReader, head: bytes) -> AsyncIterator[bytes]:
    """Each frame with the line feeds behind it, as they came."""
    buffer = head
    while True:
        end = buffer.find(b"\n\n")
        length = re.search(rb"\ncontent-length:(\d+)\n", buffer[: end + 1]) if end >= 0 else None
        stop = end + 2 + int(length[1]) if length else buffer.find(b"\0")
        if buffer[:1] == b"\n":
            yield buffer[:1]
            buffer = buffer[1:]
        elif end >= 0 and 0 <= stop < len(buffer):
            yield buffer[: stop + 1]
            buffer = buffer[stop + 1 :]
        else:
            chunk = await reader.read(65536)
            if not chunk:
                return
            buffer += chunk


def _is_confirmation(frame: bytes) -> bool:
    return frame.startswith(b"RECEIPT\n") or _is_disposition(frame)


def _is_disposition(frame: bytes) -> bool:
    """Whether it is an AMQP frame (type 0) with a disposition (AMQP 1.0, sections 2.3.1 and 2.7.6)."""
    if len(frame) < 11 or frame[:4] == b"AMQP" or frame[5] != 0:  # header and descriptor
        return False
    body = frame[frame[4] * 4 :]
    return body[:3] == bytes((0x00, 0x53, _DISPOSITION)) or body[:10] == bytes((0x00, 0x80, *[0] * 7, _DISPOSITION))
