"""A proxy that cuts connections at a chosen frame, and keeps a record of settlements."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from random import Random
from typing import Literal

from eventing_core.testing._proxy import Direction
from tests.faults.wire import Point, Record, point_of
from tests.support.proxy import Proxy, frames

#: What becomes of the path: connections are reset; nothing comes through, either way or one way; all comes slowly.
Kind = Literal["reset", "silence", "silence to the server", "silence to the client", "drip"]
KINDS: tuple[Kind, ...] = ("reset", "silence", "silence to the server", "silence to the client", "drip")

_SILENT: dict[Kind, tuple[Direction, ...]] = {
    "silence": ("to_server", "to_client"),
    "silence to the server": ("to_server",),
    "silence to the client": ("to_client",),
}

#: A drip is so many bytes, and then so many seconds of nothing.
_DROP, _BETWEEN = 16, 0.02


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A fault of the path.

    Attributes:
        kind: what happens.
        point: at a frame of which moment.
        skip: so many such frames pass before.
        share: of that frame's bytes that still pass; the rest follows when the path is back, if it ever does.
        seconds: until the path is back. A reset is over at once.
    """

    kind: Kind
    point: Point
    skip: int
    share: float
    seconds: float


def random_cut(random: Random, point: Point, heartbeat: float) -> Cut:
    """A fault at this moment."""
    return Cut(
        kind=random.choice(KINDS),
        point=point,
        skip=random.randrange({"connect": 8, "close": 2}.get(point, 40)),
        share=random.choice((0.0, random.random(), 1.0)),
        # Some are over before they can be noticed.
        seconds=heartbeat * random.uniform(0.2, 4.0),
    )


class CuttingProxy(Proxy):
    """Does one cut at a time.

    Attributes:
        record: of settlements.
        struck: when it last did, by `time.monotonic`.
    """

    def __init__(self, port: int, record: Record) -> None:
        """For the server on this port."""
        super().__init__(port)
        self.record = record
        self._cut: Cut | None = None
        self._skip = 0
        self.struck = 0.0
        self._struck = threading.Event()
        self._dripping = False

    def arm(self, cut: Cut) -> None:
        """Strike at the next frame that fits."""
        self._struck.clear()
        self._call(self._set(lambda: self._arm(cut, cut.skip)))

    def disarm(self) -> bool:
        """Whether it had struck; now it won't any more."""
        self._call(self._set(lambda: self._arm(None, 0)))
        return self._struck.is_set()

    def strike(self, timeout: float) -> bool:
        """Wait until it has struck; False when it has not."""
        return self._struck.wait(timeout)

    def mend(self) -> float:
        """The path is back, and what was kept comes through. Returns the time, of `time.monotonic`."""
        self._dripping = False
        self.speak()
        return time.monotonic()

    def _arm(self, cut: Cut | None, skip: int) -> None:
        self._cut, self._skip = cut, skip

    def _split_client(self, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
        return frames(reader)

    async def _forward(self, number: int, direction: Direction, piece: bytes, writer: asyncio.StreamWriter) -> None:
        self.record.see(number, direction, piece)
        cut = self._cut
        if cut and point_of(direction, piece) == cut.point:
            if self._skip:
                self._skip -= 1
            else:
                self._cut = None
                passed = round(len(piece) * cut.share)
                await super()._forward(number, direction, piece[:passed], writer)
                piece = piece[passed:]
                await self._begin(cut)
                await self._wait(lambda: direction not in self._silent or writer.is_closing())
        while self._dripping and piece and not writer.is_closing():
            await super()._forward(number, direction, piece[:_DROP], writer)
            piece = piece[_DROP:]
            await asyncio.sleep(_BETWEEN)
        if piece:
            await super()._forward(number, direction, piece, writer)

    async def _begin(self, cut: Cut) -> None:
        self.struck = time.monotonic()
        if cut.kind == "reset":
            await self._reset()
        elif cut.kind == "drip":
            self._dripping = True
        else:
            self._silent.update(_SILENT[cut.kind])
        self._struck.set()
