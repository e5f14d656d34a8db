"""Events that fail, whose dead letters the broker refuses at first, or can never store as they are."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from eventing_core import EventManager, Retry, errors
from tests.faults.stage import EVENT, Stage
from tests.faults.terms import Figures, Terms
from tests.support.plain import PlainClient
from tests.support.waiting import until
from tests.support.workers import event_named, listener_of

TITLE = "Dead letters that the broker refuses"

EVENTS = 10_000

#: One in so many events fails: were it most of them, the listener would pause.
BAD = 20

#: One in so many has headers that nearly fill a record of the broker's journal; its dead letter may not fit.
LARGE = 40

#: Characters of such a header, at the least and at the most: from some on, the broker refuses the event itself.
SIZES = {"amqp": (500_800, 501_500), "stomp": (249_900, 250_600)}

#: How often the dead letters' address is full, and has room again. Over AMQP alone: over STOMP each refusal ends the
#: connection, all that has failed comes again at once, and the listener pauses, by default for longer each time.
FULL = 5

#: Sent at once while the last dead letters are waited for: were there nothing but failures, the listener would pause.
GOOD = 200

_QUEUE = "Failing"


class Odd(Exception):  # noqa: N818 (as a user's may be named)
    """Its text can't be had."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


class Misnamed(ValueError):  # noqa: N818
    """Neither its name nor its text can be encoded."""

    def __str__(self) -> str:
        return "no \udfff \0"


Misnamed.__qualname__ = "Bad\ud800"


def run(terms: Terms) -> Figures:
    """Send events of which some always fail, refuse their dead letters now and then, and read all of these back."""
    count = terms.count(EVENTS, 1_000)
    step = count // FULL
    with Stage(terms) as stage, PlainClient(stage.broker) as plain:
        confirmed: set[int] = set()
        refused = 0
        letters: list[tuple[int, dict[str, Any]]] = []
        with _manager(stage, terms) as (manager, make):
            for number in range(count):
                if number % step in {0, step // 2}:
                    _set_full(plain, full=number % step != 0 and terms.over == "amqp")
                    letters += _take_all(plain)
                try:
                    manager.send_event(make(number), headers=_headers(terms, number), timeout=60)
                except errors.SendRejectedError:
                    # Too large as it is: nothing of it may arrive.
                    refused += 1
                else:
                    confirmed.add(number)
            _set_full(plain, full=False)
            bad = {number for number in confirmed if number % BAD == 0}

            def is_over() -> bool:
                manager.send_events([make(1) for _ in range(GOOD)])
                letters.extend(_take_all(plain))
                return {number for number, _ in letters} >= bad

            until(is_over, lambda: f"{len(bad)} confirmed that fail, {len(letters)} dead letters", 300)
            until(lambda: plain.count(_QUEUE) == 0, "nothing is left in the listener's queue", 60)
        letters += _take_all(plain)
    numbers = [number for number, _ in letters]
    truncated = {number for number, headers in letters if headers.get("eventing_truncated")}
    figures: Figures = {
        "events confirmed": len(confirmed),
        "sends that were refused": refused,
        "dead letters": len(numbers),
        "of these truncated": len(truncated),
        "lost": len(bad - set(numbers)),
        "dead-lettered more than once": len(numbers) - len(set(numbers)),
    }
    assert not figures["lost"], figures
    assert set(numbers) == bad, figures
    assert truncated, figures
    for number, headers in letters:
        assert headers["eventing-reason"] == "failed"
        assert headers["small"] == f"{number}"
        if number in truncated:
            assert headers["eventing_truncated"] == "large"
        elif number % LARGE == 0:
            assert "large" in headers
    return figures


@contextmanager
def _manager(stage: Stage, terms: Terms) -> Iterator[tuple[EventManager, Any]]:
    kind = event_named(EVENT)

    def on(number: int) -> None:
        if number % BAD == 0:
            if number % 3 == 0:
                raise Odd
            raise Misnamed(number)

    broker = stage.broker
    place = {"host": broker.host, "port": broker.port, "user": broker.user, "password": broker.password}
    options: dict[str, Any] = {"provider": terms.over, terms.over: place}
    # In full with the default retries, which take a minute or two.
    settings: dict[str, Any] = {} if terms.scale >= 1 else {"retry": Retry(max_attempts=3)}
    listener = listener_of(kind, _QUEUE, on, **settings)
    with EventManager.from_config(listeners=[listener], pipelines=[], **options) as manager:
        yield manager, lambda number: kind(number=number)


def _headers(terms: Terms, number: int) -> dict[str, str]:
    headers = {"small": f"{number}"}
    if number % LARGE == 0:
        headers["large"] = "x" * terms.random.randint(*SIZES[terms.over])
    return headers


def _set_full(plain: PlainClient, *, full: bool) -> None:
    size = 4_000 if full else 1 << 30
    settings = {"maxSizeBytes": size, "pageSizeBytes": size // 4, "addressFullMessagePolicy": "FAIL"}
    plain.manage("broker", "addAddressSettings", f"{_QUEUE}.dead", json.dumps(settings))


def _take_all(plain: PlainClient) -> Iterator[tuple[int, dict[str, Any]]]:
    for _ in range(plain.count(f"{_QUEUE}.dead")):
        letter = plain.take_dead(_QUEUE)
        yield json.loads(bytes(letter.body))["number"], dict(letter.properties)
