"""The steps of a manager's end, in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from eventing_core.manager._closing import Step
from eventing_core.manager._connection import ManagerConnection
from eventing_core.manager._health_server import HealthServer
from eventing_core.receive._consumers import Consumers
from eventing_core.send._sender import Sender


def closing_steps(
    sender: Sender,
    consumers: Consumers | None,
    connection: ManagerConnection,
    health_server: HealthServer,
    deadline: Callable[[], float],
) -> Sequence[Step]:
    """What ends a manager: listeners finish first, and may send until then; the health server answers to the last.

    Args:
        sender: refuses further sends, and waits for those in flight.
        consumers: None where the manager was never started.
        connection: closed once nothing uses it.
        health_server: stopped last.
        deadline: until when the steps have time, of `time.monotonic`. It may change between them.
    """

    def left(at_least: float) -> float:
        return max(at_least, deadline() - time.monotonic())

    steps: list[Step] = [
        sender.refuse,
        lambda: sender.flush(left(0.0)),
        lambda: connection.close(left(1.0)),
        lambda: sender.close(1.0),
        lambda: health_server.stop(1.0),
    ]
    if consumers is not None:
        steps.insert(0, lambda: consumers.drain(sender, deadline()))
        steps.insert(3, lambda: consumers.close(max(deadline(), time.monotonic() + 1.0)))
    return steps
