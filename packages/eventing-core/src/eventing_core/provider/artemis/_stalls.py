"""Queues that have messages, and give a waiting consumer none.

Asked only about consumers that have been idle for a minute, and with one question for all of them: nothing is done for
each message.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from eventing_core.provider.artemis._address import Queue
from eventing_core.provider.artemis._management import Management, Reply
from eventing_core.provider.sockets import Alarm

#: A consumer that waits for so long, in seconds, is asked about.
PATIENCE = 60.0

#: And once more after so long, in seconds, before anything is said: a message may have come just then.
CONFIRMATION = 5.0

#: So many queues with messages are listed by one question.
_PAGE = 1_000


class Waiting(Protocol):
    """A consumer that is watched.

    Attributes:
        batches: how often something came.
    """

    batches: int

    @property
    def is_waiting(self) -> bool:
        """It would take a message, and has none."""
        ...

    @property
    def place(self) -> str:
        """Address and port of its end of the connection."""
        ...

    def stalls(self, text: str) -> None:
        """Its queue has messages that it doesn't get; why, as far as is known."""

    def hoards(self, numbers: Sequence[int]) -> None:
        """The broker counts messages of these numbers as delivered to it, and it has none."""


@dataclass(slots=True)
class _Watched:
    queue: Queue
    consumer: Waiting
    batches: int
    since: float

    def is_idle(self, now: float) -> bool:
        """Whether it has waited for long."""
        if not self.consumer.is_waiting or self.consumer.batches != self.batches:
            self.batches, self.since = self.consumer.batches, now
        return now - self.since >= PATIENCE


@dataclass(frozen=True, slots=True)
class Finding:
    """What the broker tells of a queue with a waiting consumer.

    Attributes:
        text: why it is stalled; empty: it isn't.
        hoarded: messages that are counted as delivered.
    """

    text: str = ""
    hoarded: int = 0


def judge(row: Mapping[str, Any]) -> Finding:
    """Whether a queue with a waiting consumer is stalled, by its row in ``listQueues``. Pure."""

    def count(key: str) -> int:
        return int(row.get(key) or 0)

    delivering, consumers = count("deliveringCount"), count("consumerCount")
    ready = count("messageCount") - count("scheduledCount") - delivering
    # With others, what is ready may be theirs: a group's, or an exclusive queue's.
    if ready > 0 and (consumers <= 1 or not delivering):
        why = (
            "it is paused: resume it on the broker"
            if str(row.get("paused")) == "true"
            else f"it has the filter {row['filter']!r}"
            if row.get("filter")
            else "see the broker's log, and the queue's settings"
        )
        name = row.get("name")
        text = f"the queue {name!r} has {ready} messages, and has given this waiting listener none for a minute: {why}"
        return Finding(text)
    return Finding(hoarded=delivering)


class StallWatch:
    """Watches the consumers of one generation. Runs on the I/O thread."""

    def __init__(self, management: Management) -> None:
        self._management = management
        self._watched: dict[int, _Watched] = {}
        self._timer: Alarm | None = None

    def watch(self, queue: Queue, consumer: Waiting) -> None:
        """A consumer is attached to its queue."""
        self._watched[id(consumer)] = _Watched(queue, consumer, consumer.batches, time.monotonic())
        if self._timer is None and not self._management.denied:
            self._timer = self._management.loop.call_in(PATIENCE, self._look)

    def lost(self) -> None:
        """The generation is over."""
        self._watched.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        self._timer = self._management.loop.call_in(PATIENCE / 2, self._look)
        idle = self._idle([*self._watched.values()])
        if idle:
            self._ask(idle, lambda found: self._confirm(idle, found))

    @staticmethod
    def _idle(watched: Sequence[_Watched]) -> list[_Watched]:
        now = time.monotonic()
        return [each for each in watched if each.is_idle(now)]

    def _confirm(self, idle: Sequence[_Watched], found: Mapping[str, Finding]) -> None:
        """Look again where something is wrong."""
        odd = [each for each in idle if each.queue.name in found]

        def again() -> None:
            still = self._idle(odd)
            if still:
                self._ask(still, lambda later: self._report(self._idle(still), later))

        if odd:
            self._management.loop.call_in(CONFIRMATION, again)

    def _ask(self, idle: Sequence[_Watched], then: Callable[[Mapping[str, Finding]], None]) -> None:
        """What is odd about the queues of these, by their names."""
        names = {each.queue.name for each in idle}

        def listed(reply: Reply) -> None:
            rows = cast("list[dict[str, Any]]", reply.object().get("data") or []) if reply.kind == "done" else []
            found = {str(row["name"]): judge(row) for row in rows if row.get("name") in names}
            then({name: finding for name, finding in found.items() if finding != Finding()})

        query = json.dumps({"field": "messageCount", "operation": "GREATER_THAN", "value": "0"})
        self._management.call("broker", "listQueues", (query, 1, _PAGE), listed)

    def _report(self, idle: Sequence[_Watched], found: Mapping[str, Finding]) -> None:
        for each in idle:
            finding = found.get(each.queue.name, Finding())
            if finding.text:
                each.consumer.stalls(finding.text)
            elif finding.hoarded:
                self._look_for_hoarded(each)

    def _look_for_hoarded(self, watched: _Watched) -> None:
        """See which messages are counted as delivered to this very consumer."""
        queue = watched.queue.name

        def told_consumers(reply: Reply) -> None:
            rows = cast("list[dict[str, Any]]", reply.object().get("data") or []) if reply.kind == "done" else []
            mine = [str(row["session"]) for row in rows if row.get("remoteAddress") == watched.consumer.place]
            if not mine and len(rows) == 1:
                mine = [str(rows[0]["session"])]  # the broker sees another address than we do
            if mine:
                told = lambda delivering: told_delivering(delivering, mine)  # noqa: E731 (a name for a callback)
                self._management.call(f"queue.{queue}", "listDeliveringMessagesAsJSON", (), told)

        def told_delivering(reply: Reply, mine: Sequence[str]) -> None:
            numbers = _delivered_to(reply, mine)
            if numbers and self._idle([watched]):
                watched.consumer.hoards(numbers)

        query = json.dumps({"field": "queue", "operation": "EQUALS", "value": queue})
        self._management.call("broker", "listConsumers", (query, 1, 100), told_consumers)


def _delivered_to(reply: Reply, sessions: Sequence[str]) -> list[int]:
    """The numbers of the messages that consumers of these sessions have, by ``listDeliveringMessagesAsJSON``."""
    value = reply.value
    if reply.kind != "done" or not isinstance(value, str):
        return []
    try:
        rows: Any = json.loads(value)
    except ValueError:
        return []
    numbers: list[int] = []
    for row in rows if isinstance(rows, list) else ():
        # It holds its session's id between colons.
        if any(f":{session}:" in str(row.get("consumerName")) for session in sessions):
            numbers += [int(each["messageID"]) for each in row.get("elements") or () if "messageID" in each]
    return numbers
