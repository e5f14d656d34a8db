"""What a shell is given."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from eventing_core._chain import Chain
from eventing_core._codec import Codec
from eventing_core._copies import Copies
from eventing_core._listener import EventListener, EventListenerDescriptor
from eventing_core._retry import Retry
from eventing_core._workers import Timer
from eventing_core.provider import Capabilities


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
