"""Waiting until everything that was sent has been handled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Any

from eventing_core.configure._checks import shown
from eventing_core.declare._limits import seconds
from eventing_core.errors import ConfigError
from eventing_core.manager._manager import EventManager
from eventing_core.memory import MemoryProvider
from eventing_core.receive._queues import queue_of
from eventing_core.runtime._health import STARTED
from eventing_core.runtime._running_loops import warn_of_blocking

#: Between two looks, in seconds.
_LOOK = 0.002


def wait_idle(managers: EventManager | Iterable[EventManager], timeout: float = 10.0) -> None:
    """Wait until every send has ended, and the listeners have handled every event.

    This includes events that the listeners send, and events that wait for another attempt: each must succeed or become
    a dead letter. If several managers share a broker, pass all of those whose listeners are involved; only the queues
    of running listeners count. With the in-memory provider no event is missed. With a real broker, events that it
    hasn't delivered yet are not seen: wait for an effect of the listener instead.

    Args:
        managers: one or more.
        timeout: time limit in seconds.

    Raises:
        TimeoutError: the time limit has passed. The message names the listeners and their remaining work.
        ConfigError: ``timeout`` is not a number of seconds, or an argument is not a manager.
    """
    if _on_a_loop():
        warn_of_blocking("wait_idle", "await await_idle(...)")
    watched, deadline = _begin(managers, timeout)
    while reason := _unfinished(watched):
        if time.monotonic() > deadline:
            raise TimeoutError(_too_late(timeout, reason))
        time.sleep(_LOOK)


async def await_idle(managers: EventManager | Iterable[EventManager], timeout: float = 10.0) -> None:
    """Like `wait_idle`, for coroutines: it doesn't block the event loop."""
    watched, deadline = _begin(managers, timeout)
    while reason := _unfinished(watched):
        if time.monotonic() > deadline:
            raise TimeoutError(_too_late(timeout, reason))
        await asyncio.sleep(_LOOK)


def _begin(managers: EventManager | Iterable[EventManager], timeout: float) -> tuple[Sequence[EventManager], float]:
    limit = seconds("wait_idle: timeout", timeout, 0.0)
    given: Any = managers
    watched = (given,) if isinstance(given, EventManager) or not isinstance(given, Iterable) else tuple(given)
    for one in watched:
        if not isinstance(one, EventManager):
            msg = f"wait_idle takes one EventManager, or several of them, not {shown(one)}. Pass the manager itself."
            raise ConfigError(msg)
    return watched, time.monotonic() + limit


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _too_late(timeout: float, reason: str) -> str:
    return f"not idle after {timeout:g} s: {reason}. Raise timeout, or end what still runs."


def _unfinished(managers: Sequence[EventManager]) -> str:
    """What is left to do; empty for nothing.

    An event is in its queue before its send ends, and stays until it is settled, which is after its listener has sent
    what it sends. So where nothing is left, no send is under way, and nothing was sent meanwhile, no more will come.
    """
    stamps = [manager._sender.stamp() for manager in managers]  # noqa: SLF001 (the same package)
    reason = _left(managers) or _under_way(managers) or _left(managers)
    if reason:
        return reason
    quiet = [manager._sender.stamp() for manager in managers] == [stamp + 1 for stamp in stamps]  # noqa: SLF001 (the same package)
    return "" if quiet else "events are being sent"


def _under_way(managers: Sequence[EventManager]) -> str:
    count = sum(manager.health().sending.in_flight for manager in managers)
    return f"sends that are not confirmed: {count}" if count else ""


def _left(managers: Sequence[EventManager]) -> str:
    return "; ".join(text for manager in managers for text in _left_of(manager))


def _left_of(manager: EventManager) -> Sequence[str]:
    consumers, provider = manager._consumers, manager._provider  # noqa: SLF001 (the same package)
    health = manager.health()
    if consumers is None or health.state != STARTED:
        return ()
    stored = provider.broker.engine.unhandled() if isinstance(provider, MemoryProvider) else {}
    unfinished = consumers.unfinished()
    rows = {(row.listener, row.event): row for row in health.listeners}
    texts: list[str] = []
    for descriptor in consumers.descriptors:
        count = stored.get(queue_of(descriptor, provider.server_name), 0)
        if not count and descriptor not in unfinished:
            continue
        row = rows[descriptor.name, descriptor.event.name]
        details = [f"{count} events in its queue"] if count else []
        details += [f"{row.running} running"] if row.running else []
        details += [f"{row.held} waiting for another attempt"] if row.held else []
        details += [row.error] if row.error else []
        texts.append(f"{descriptor.label}: {', '.join(details) or 'not settled'}")
    return texts
