"""Queues on the broker, compared with what they have to be: changed where possible, else refused or warned of."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from eventing_core.errors import SubscriptionError
from eventing_core.provider.artemis import _errors
from eventing_core.provider.artemis._address import Queue
from eventing_core.provider.artemis._attributes import (
    Difference,
    changes,
    differences,
    is_refused,
    of_configuration,
    of_row,
    of_values,
    shares_name,
)
from eventing_core.provider.artemis._management import Management, Reply

_log = logging.getLogger("eventing.sockets")

#: ``ready(error)``: the queue is there, or why it is not.
Ready = Callable[[SubscriptionError | None], None]


class Warned:
    """State that outlives generations: the warnings that were logged, each once, and the queues that were accepted."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        #: As they were, by what they had to be; None where that couldn't be seen.
        self._accepted: dict[Queue, dict[str, str] | None] = {}

    def copy(self) -> Warned:
        """The same for another connection."""
        other = Warned()
        other._known |= self._known
        other._accepted |= self._accepted
        return other

    def once(self, text: str, *arguments: object, about: str = "") -> None:
        """Log a warning, unless it, or another one about the same subject, was logged before."""
        message = text % arguments
        key = about or message
        if key not in self._known:
            self._known.add(key)
            with contextlib.suppress(Exception):  # a logging handler that raises must not keep a queue from being had
                _log.warning("%s", message)

    def accept(self, queue: Queue, found: dict[str, str] | None) -> None:
        """A queue is used as it was found; None: unseen, which says nothing of one that was seen before."""
        if found is not None or queue not in self._accepted:
            self._accepted[queue] = found

    def is_accepted(self, queue: Queue, difference: Difference) -> bool:
        """Whether the queue was used with that before: then it isn't refused for it now."""
        if queue not in self._accepted:
            return False
        found = self._accepted[queue]
        return found is None or found.get(difference.attribute.name) == difference.value

    def found(self, queue: Queue, row: Mapping[str, Any]) -> dict[str, str]:
        """What was seen of the very queue of that row, when it was accepted: some of it isn't listed."""
        found = self._accepted.get(queue) or {}
        return found if found.get("id") == of_row(row)["id"] else {}


class Inspector:
    """Looks at queues, in one generation. Runs on the I/O thread."""

    def __init__(self, management: Management, warned: Warned) -> None:
        self._management = management
        self._warned = warned

    def consumers(self, queue: Queue, answer: Callable[[int], None]) -> None:
        """The number of consumers of a queue; 0 if it is not known."""
        self._look(queue, lambda row, _: answer(_count(row)))

    def inspect(self, queue: Queue, made: dict[str, Any], ready: Ready, gone: Callable[[], None] | None = None) -> None:
        """Compare a queue; ``ready`` is called once, unless the connection is lost.

        Args:
            queue: what it has to be.
            made: what ``createQueue`` answered, where that made it; else empty.
            ready: is told whether it can be used.
            gone: called instead where there is no such queue.
        """

        def listed(row: dict[str, Any], why: str) -> None:
            if row or (made and not why):
                owner = row.get("address", queue.address)
                if owner != queue.address:
                    ready(_errors.of_conflict(queue, repr(owner)))
                    return
                known = of_configuration(made) if made else self._warned.found(queue, row)
                self._compare(queue, {**known, **of_row(row)}, _count(row), ready)
            elif made:
                # A user who may make queues, and not list them: what was made is known all the same.
                self._compare(queue, of_configuration(made), 0, ready)
            elif why or gone is None:
                ready(_errors.of_unseen(queue, why or "the broker lists no queue of that name"))
            else:
                gone()

        self._look(queue, listed)

    def _look(self, queue: Queue, found: Callable[[dict[str, Any], str], None]) -> None:
        """What the broker tells of a queue: nothing, where there is none; or why it tells nothing."""
        query = json.dumps({"field": "name", "operation": "EQUALS", "value": queue.name})

        def listed(reply: Reply) -> None:
            if reply.kind != "done":
                found({}, reply.why())
                return
            data = reply.object().get("data")
            rows = [cast("dict[str, Any]", row) for row in cast("list[Any]", data or ()) if isinstance(row, dict)]
            found(next((row for row in rows if row.get("name") == queue.name), {}), "")

        self._management.call("broker", "listQueues", (query, 1, 10), listed)

    def _compare(self, queue: Queue, found: dict[str, str], consumers: int, ready: Ready) -> None:
        sharing = shares_name(queue, found, consumers)
        limit = [each for each in differences(queue, found) if each.attribute.name == "max-consumers"]
        if sharing and not all(self._warned.is_accepted(queue, each) for each in limit):
            ready(_errors.of_sharing(queue))
            return
        fatal = next((each for each in differences(queue, found) if self._is_refused(queue, each)), None)
        if fatal is not None and not fatal.attribute.can_change(queue):
            ready(_errors.of_lossy(queue, fatal))
            return
        change = changes(queue, found)
        if sharing:
            change.pop("max-consumers", None)
        if change:
            self._change(queue, found, change, ready)
        else:
            self._judge(queue, found, ready)

    def _change(self, queue: Queue, found: dict[str, str], change: dict[str, object], ready: Ready) -> None:
        before = {each.attribute.name: each for each in differences(queue, found)}

        def changed(reply: Reply) -> None:
            done = reply.kind == "done"
            answer = reply.object() if done else {}
            now = {**found, **(of_configuration(answer) if answer else of_values(change) if done else {})}
            left = {each.attribute.name for each in differences(queue, now)}
            for name, difference in before.items():
                if name not in left:
                    self._warned.once(
                        "the queue %r of %r had %s: %s. This could lose or delay events, so it was changed%s",
                        *(queue.name, queue.address, difference, difference.effect, _source(difference)),
                    )
            unseen = [] if done else [name for name in change if name not in found]
            if unseen:
                self._warned.once(
                    "the queue %r of %r is used as it is, and its %s can't be checked: %s",
                    *(queue.name, queue.address, " and ".join(unseen), reply.why()),
                )
            self._judge(queue, now, ready)

        # Without the filter it would be taken away.
        kept = {"filter-string": found["filter-string"]} if found.get("filter-string") else {}
        self._management.call("broker", "updateQueue", (json.dumps({"name": queue.name, **kept, **change}),), changed)

    def _is_refused(self, queue: Queue, difference: Difference) -> bool:
        return is_refused(queue, difference) and not self._warned.is_accepted(queue, difference)

    def _judge(self, queue: Queue, found: dict[str, str], ready: Ready) -> None:
        """Nothing can be changed any more."""
        left = differences(queue, found)
        fatal = next((each for each in left if self._is_refused(queue, each)), None)
        if fatal is not None:
            ready(_errors.of_lossy(queue, fatal))
            return
        for each in left:
            self._warned.once(
                "the queue %r of %r has %s: %s. This can't be changed, and remains until the queue is deleted%s",
                *(queue.name, queue.address, each, each.effect, _source(each)),
            )
        self._warned.accept(queue, found)
        ready(None)


def _source(difference: Difference) -> str:
    setting = difference.attribute.setting
    return f". It may come from the address setting {setting}" if setting else ""


def _count(row: dict[str, Any]) -> int:
    return int(row.get("consumerCount") or 0)
