"""What a shell is given."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import Any, Protocol

from eventing_core.codec._codec import Codec
from eventing_core.declare._listener import EventListener, EventListenerDescriptor
from eventing_core.declare._retry import Retry
from eventing_core.pipeline._chain import Chain
from eventing_core.provider import Capabilities
from eventing_core.provider._timer import Timer
from eventing_core.receive._copies import Copies
from eventing_core.receive.machine._limit import Limit
from eventing_core.runtime._health import StuckRun


class Sharer(Protocol):
    """Serves one of the queues."""

    def stuck(self, since: float) -> tuple[StuckRun, ...]:
        """The runs that began before that, of `time.monotonic`."""
        ...


class Sharing:
    """What the shells of a listener with several queues share: its one ``concurrency``.

    Attributes:
        limit: the slots.
        lock: the one lock of all these shells; it also guards the limit.
        shells: all of them.
    """

    def __init__(self, concurrency: int) -> None:
        self.limit = Limit(concurrency)
        # The lock of all these shells, which guards the limit as well.
        self.lock = threading.Lock()
        self.shells: list[Sharer] = []


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """All that a shell needs to know of its listener."""

    descriptor: EventListenerDescriptor
    listener: EventListener[Any]
    codec: Codec
    chain: Chain
    retry: Retry
    copies: Copies
    capabilities: Capabilities
    timer: Timer
    stuck_after: float = math.inf
    #: Of a listener with several queues, for all its shells.
    sharing: Sharing | None = None
