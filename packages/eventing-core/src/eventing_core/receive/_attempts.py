"""One attempt: from a delivery to the listener's ``on``."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from eventing_core.declare._envelope import Envelope
from eventing_core.errors import HandlerTimeoutError
from eventing_core.provider import Delivery
from eventing_core.receive._incoming import Incoming


def attempt_of(incoming: Incoming) -> Callable[[Delivery], None]:
    on, decode, chain, descriptor = incoming.listener.on, incoming.codec.decode, incoming.chain, incoming.descriptor

    def plain(delivery: Delivery) -> None:
        result = on(decode(delivery.body()))
        if result is not None:
            _refuse_what_never_ran(result)

    def piped(delivery: Delivery) -> None:
        message = delivery.message()
        with chain.around(Envelope(message.body, message.headers), descriptor):
            result = on(decode(message.body))
            if result is not None:
                _refuse_what_never_ran(result)

    return piped if chain else plain


def _refuse_what_never_ran(result: object) -> None:
    """A coroutine or a generator that nobody drives has done nothing: accepting the event would lose it."""
    if inspect.isawaitable(result) or inspect.isgenerator(result) or inspect.isasyncgen(result):
        if inspect.iscoroutine(result):
            result.close()
        msg = f"'on' returned a {type(result).__name__} that nobody runs; write 'async def on', or a plain method"
        raise TypeError(msg)


def async_attempt_of(incoming: Incoming) -> Callable[[Delivery], Awaitable[None]]:
    decode, chain, descriptor = incoming.codec.decode, incoming.chain, incoming.descriptor
    on = cast("Callable[[Any], Awaitable[object] | None]", incoming.listener.on)

    async def plain(delivery: Delivery) -> None:
        running = on(decode(delivery.body()))
        if running is not None:  # else a decorator has run it already
            await running

    async def piped(delivery: Delivery) -> None:
        message = delivery.message()
        with chain.around(Envelope(message.body, message.headers), descriptor):
            running = on(decode(message.body))
            if running is not None:
                await running

    attempt = piped if chain else plain
    limit = descriptor.timeout
    if limit is None:
        return attempt

    async def limited(delivery: Delivery) -> None:
        running = asyncio.timeout(limit)
        try:
            async with running:
                await attempt(delivery)
        except TimeoutError:
            if not running.expired():  # one of the listener's own
                raise
            msg = f"'on' took longer than its timeout, {limit:g} s"
            raise HandlerTimeoutError(msg) from None

    return limited
