"""The last queue of an event goes, again and again, while one connection sends it with ``unrouted="error"``."""

from __future__ import annotations

import json
import statistics
import threading
import time

from tests.faults.stage import EVENT, Stage
from tests.faults.terms import Figures, Terms
from tests.support.plain import PlainClient
from tests.support.processes import Worker
from tests.support.waiting import until

TITLE = "The last queue of an event goes while it is sent"

DELETIONS, RESTARTS = 15, 5

#: A change is noticed within so many seconds.
NOTICED = 5.0

#: How long is looked at what comes after that, and how many sends have to end in that time, at least.
LOOK, SENDS = 1.0, 50

#: Seconds between two sends.
PACE = 0.005

_PATIENCE = 60.0


class Sends:
    """What the sender wrote down, while queues come and go. Not thread-safe."""

    def __init__(self, stage: Stage, sender: Worker) -> None:
        self._stage = stage
        self._sender = sender
        #: How long sends still ended as before, in seconds.
        self.delays: dict[str, list[float]] = {"confirmed": [], "failed": []}
        self.looked_at = 0

    def wait_for_change(self, to: str) -> None:
        """Something has just changed: from the promised time on, each send has to end in that list, and no other.

        Raises:
            AssertionError: one ended in the other one.
        """
        began = time.monotonic()
        lists = {"confirmed": self._stage.confirmed, "failed": self._stage.failed}
        wanted = lists.pop(to)
        (other,) = lists.values()
        before = len(wanted)
        until(lambda: len(wanted) > before, lambda: f"sends end as {to}; the log:\n{self._sender.log}", _PATIENCE)
        self.delays[to].append(time.monotonic() - began)
        threading.Event().wait(max(0.0, NOTICED - (time.monotonic() - began)))
        # Numbers count up, and are written down before they are handed over.
        first = len(self._stage.submitted)
        threading.Event().wait(LOOK)
        until(lambda: len(self._stage.submitted) >= first + SENDS, "it goes on", _PATIENCE)
        last = len(self._stage.submitted)
        until(
            lambda: len(self._stage.confirmed) + len(self._stage.failed) >= last,
            "all of them have ended",
            _PATIENCE,
        )
        wrong = [number for number in other.read() if first <= number < last]
        assert not wrong, f"{len(wrong)} of {last - first} sends did not end as {to}: {wrong[:5]}"
        self.looked_at += last - first


def run(terms: Terms) -> Figures:
    """Delete the only queue, by management, or by a restart of the broker of a queue that isn't durable."""
    deletions, restarts = terms.count(DELETIONS, 2), terms.count(RESTARTS, 1)
    ways = ["deletion"] * deletions + ["restart"] * restarts
    terms.random.shuffle(ways)
    with Stage(terms) as stage:
        sender = stage.send(0, pace=PACE, unrouted="error")
        sends = Sends(stage, sender)
        for way in ways:
            with PlainClient(stage.broker) as plain:
                queue = {"name": "Listener", "address": EVENT, "routing-type": "MULTICAST", "durable": way != "restart"}
                plain.manage("broker", "createQueue", json.dumps({**queue, "auto-create-address": True}), True)
                sends.wait_for_change("confirmed")
                if way == "deletion":
                    plain.manage("broker", "destroyQueue", "Listener")
            if way == "restart":
                stage.broker.restart()
            sends.wait_for_change("failed")
        sender.end()
        lost = sender.log.count("connection lost")
    assert lost == restarts, f"only restarts end the connection: {lost} losses; the log:\n{sender.log}"
    return {
        "deletions of the last queue": deletions,
        "restarts of the broker, of a queue that isn't durable": restarts,
        "losses of the connection": lost,
        "until sends fail, in s: median": round(statistics.median(sends.delays["failed"]), 3),
        "until sends fail, in s: longest": round(max(sends.delays["failed"]), 3),
        "until sends succeed again, in s: longest": round(max(sends.delays["confirmed"]), 3),
        f"sends that were looked at, from {NOTICED:g} s after each change": sends.looked_at,
        "of those that ended as before the change": 0,
    }
