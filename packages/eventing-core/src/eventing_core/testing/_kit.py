"""`Kit`: what the conformance tests are written with."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from types import new_class
from typing import Any
from uuid import uuid4

import pytest

from eventing_core import EventListener, EventManager, Retry, event, event_listener
from eventing_core.configure._config import Configuration, load_configuration
from eventing_core.configure._plugins import Plugins
from eventing_core.declare._listener import describe_listener
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.errors import CapabilityError
from eventing_core.provider import Capabilities, Destination, Message, Provider, ProviderSpec, Subscription
from eventing_core.receive._queues import dead_letters_of
from eventing_core.testing._probe import LIMIT, Confirmations, Log, Recorder, deadline_in, texts
from eventing_core.testing._verdict import Finding, Verdict

#: How the process of `Kit.crash` ends.
CRASHED = 86

#: Tries that end soon, and whose waits can be told.
QUICK = Retry(max_attempts=3, initial=0.01, factor=1, jitter=0)


@dataclass
class Sample:
    """What the kit's events look like."""

    number: int = 0
    text: str = ""


Listener = type[EventListener[Any]]


class Kit:
    """Makes events, listeners, managers and providers of names that no other test has, and closes them.

    Args:
        config: keyword overrides for `EventManager.from_config`, without ``server_name``.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = dict(config)
        self._id = uuid4().hex[:10]
        self._numbers = itertools.count(1)
        self._managers: list[EventManager] = []
        self._providers: list[Provider] = []
        self._blockers: list[threading.Event] = []
        self._confirmations: list[Confirmations] = []
        self.spec: ProviderSpec = self._configuration("x").provider_spec
        self.provider_name = self.spec.name
        self.capabilities: Capabilities = self._make_provider("x").capabilities
        #: For the table.
        self.finding = Finding()

    # -- what the table says ----------------------------------------------------------------------------------

    def claims(self, capability: str) -> bool:
        """Whether the provider has a capability; where it hasn't, the table says that less was asked for."""
        claimed = getattr(self.capabilities, capability) not in {False, "none"}
        if claimed:
            self.finding.tried.add(capability)
        else:
            self._because(capability)
        return claimed

    def refused(self, capability: str) -> None:
        """It was asserted that the provider refuses what it lacks the capability for."""
        self.finding.verdict = Verdict.REFUSED
        self._because(capability)

    def not_applicable(self, capability: str) -> None:
        """By a capability, there is nothing to assert."""
        self.finding.be_not_applicable(self._reason(capability))

    def _because(self, capability: str) -> None:
        self.finding.reasons.append(self._reason(capability))

    def _reason(self, capability: str) -> str:
        return f"{capability} = {getattr(self.capabilities, capability)}"

    # -- declarations -----------------------------------------------------------------------------------------

    def name(self, what: str) -> str:
        """A name that nobody else has."""
        return f"{what}-{self._id}-{next(self._numbers)}"

    def event(self, *, durable: bool | None = None, base: type[Any] = Sample, name: str = "") -> type[Any]:
        """A new event class; durable by default, where the provider can; its own name, unless told otherwise."""
        cls: type[Any] = new_class(base.__name__, (base,), {}, lambda names: names.update(__module__=base.__module__))
        cls = dataclass(cls)
        return event(name or self.name("Event"), durable=self.capabilities.durable if durable is None else durable)(cls)

    def listener(
        self,
        event_type: type[Any],
        on: Callable[[Any], object],
        *,
        name: str = "",
        asynchronous: bool = False,
        **settings: Any,
    ) -> Listener:
        """A new listener class around a function. Its own name, and `QUICK` retries, unless told otherwise."""

        async def on_async(_: object, event: Any) -> None:
            await on(event)  # type: ignore[misc]

        def on_sync(_: object, event: Any) -> None:
            on(event)

        def body(namespace: dict[str, Any]) -> None:
            namespace["on"] = on_async if asynchronous else on_sync

        cls: Listener = new_class("Listener", (EventListener,), {}, body)
        settings.setdefault("retry", QUICK)
        declared: Listener = event_listener(event_type, name=name or self.name("Listener"), **settings)(cls)
        return declared

    def blocker(self) -> threading.Event:
        """An event that listeners wait on; set at the end at the latest, so that no failing test hangs."""
        blocker = threading.Event()
        self._blockers.append(blocker)
        return blocker

    # -- managers ---------------------------------------------------------------------------------------------

    def new_manager(
        self,
        *listeners: Listener,
        pipelines: Sequence[EnvelopePipeline] = (),
        server_name: str = "",
        **options: Any,
    ) -> EventManager:
        """A manager with exactly these listeners, not started."""
        manager = EventManager.from_config(
            None,
            listeners=listeners,
            pipelines=pipelines,
            server_name=server_name or self.name("server"),
            **{**self._config, **options},
        )
        self._managers.append(manager)
        return manager

    def manager(self, *listeners: Listener, **settings: Any) -> EventManager:
        """A started manager with exactly these listeners."""
        manager = self.new_manager(*listeners, **settings)
        manager.start()
        return manager

    def assert_refused(self, listener: Listener, what: str, capability: str = "") -> None:
        """A listener that asks for what the provider can't do doesn't start under ``strict``, and is named."""
        name = describe_listener(listener).name
        with pytest.raises(CapabilityError) as refusal:
            self.new_manager(listener, strict=True).start()
        text = str(refusal.value)
        assert name in text, f"what refuses {what} has to name the listener {name!r}: {text}"
        assert what in text, f"what refuses {what} has to name it: {text}"
        self.refused(capability or what)

    # -- beneath the managers ---------------------------------------------------------------------------------

    def provider(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        observer: Log[tuple[bool, Exception | None]] | None = None,
        server_name: str = "",
    ) -> Provider:
        """An open provider; of another configuration than the kit's, if need be."""
        observed: Log[tuple[bool, Exception | None]] = Log() if observer is None else observer
        provider = self.new_provider(config, server_name)
        provider.open(lambda connected, error: observed.add((connected, error)))
        return provider

    def new_provider(self, config: Mapping[str, Any] | None = None, server_name: str = "") -> Provider:
        """One that is not open yet."""
        provider = self._make_provider(server_name or self.name("server"), config)
        self._providers.append(provider)
        return provider

    def queue(self, listener: Listener | None = None, member: str = "") -> Destination:
        """The queue of a listener; without one, a queue that nobody else has."""
        if listener is not None:
            descriptor = describe_listener(listener)
            return Destination(
                descriptor.event.name, descriptor.name, member, kind="queue", durable=descriptor.event.durable
            )
        topic = self.name("Event")
        return Destination(topic, self.name("Listener"), member, kind="queue", durable=self.capabilities.durable)

    def messages(self, bodies: str) -> list[Message]:
        """One-letter messages."""
        return [
            replace(message, dedup_id=self.name("id")) for message in texts(*bodies, durable=self.capabilities.durable)
        ]

    def filled(self, bodies: str) -> tuple[Provider, Destination]:
        """A provider, and a queue that holds one-letter messages."""
        provider, queue = self.provider(), self.queue()
        self.listen(provider, queue).handle.close().result(LIMIT)
        if bodies:
            self.put(provider, topic_of(queue), self.messages(bodies))
        return provider, queue

    def listen(
        self,
        provider: Provider,
        queue: Destination,
        *,
        window: int = 0,
        exclusive: bool = False,
        recorder: Recorder | None = None,
    ) -> Recorder:
        """Subscribe to a queue, or to dead letters, and wait until that is active."""
        recorder = recorder or Recorder(window)
        dead_letter = dead_letters_of(queue) if queue.kind == "queue" else None
        subscription = Subscription(destination=queue, dead_letter=dead_letter, exclusive=exclusive)
        recorder.attach(provider.subscribe(subscription, recorder))
        recorder.wait_active()
        return recorder

    def read(self, source: Destination) -> list[Message]:
        """Take everything out of a queue, or out of dead letters, up to now."""
        return [message for message, _ in self.read_counted(source)]

    def read_counted(self, source: Destination) -> list[tuple[Message, int]]:
        """The same, with delivery counts."""
        provider = self.provider()
        marker = self.name("marker").encode()
        recorder = Recorder(1000)
        recorder.react = recorder_accept(recorder)
        self.listen(provider, source, recorder=recorder)
        # What comes before this message was there before it.
        self.put(
            provider, source, [Message(body=marker, message_id=self.name("id"), dedup_id=self.name("id"), durable=True)]
        )
        taken = recorder.deliveries.until(
            lambda deliveries: any(delivery.message().body == marker for delivery in deliveries),
            f"what is sent to {source} comes to its reader",
        )
        provider.close(LIMIT)
        return [
            (delivery.message(), delivery.delivery_count) for delivery in taken if delivery.message().body != marker
        ]

    def put(self, provider: Provider, destination: Destination, messages: Sequence[Message], **settings: Any) -> None:
        """Send messages, and wait for their confirmations."""
        done = self.send(provider, destination, messages, **settings)
        errors = [error for _, error in done.wait(len(messages)) if error is not None]
        assert not errors, f"a send to {destination} was not confirmed: {errors[0]!r}"

    def send(
        self,
        provider: Provider,
        destination: Destination,
        messages: Sequence[Message],
        *,
        delay: float = 0.0,
        seconds: float = LIMIT,
    ) -> Confirmations:
        """Send messages, with a deadline of so many seconds."""
        done = Confirmations()
        self._confirmations.append(done)
        provider.producer(destination).send(messages, done, deadline=deadline_in(seconds), delay=delay)
        return done

    def _configuration(self, server_name: str, config: Mapping[str, Any] | None = None) -> Configuration:
        return load_configuration(Plugins(), None, {**self._config, **(config or {}), "server_name": server_name})

    def _make_provider(self, server_name: str, config: Mapping[str, Any] | None = None) -> Provider:
        configuration = self._configuration(server_name, config)
        return configuration.provider_spec.factory(configuration.server_name, configuration.provider_config)

    def crash(self, queue: Destination, count: int, *, exclusive: bool = False) -> list[int]:
        """Let another process take messages from a queue and die of it; their delivery counts."""
        return self._crash({"kind": "hold", "queue": asdict(queue), "count": count, "exclusive": exclusive})

    def crash_sending(self, to: Destination, count: int, enough: int) -> list[int]:
        """Let another process send a batch of so many, and die when enough are confirmed; the indexes of those."""
        return self._crash({"kind": "send", "to": asdict(to), "count": count, "enough": enough})

    def _crash(self, task: Mapping[str, object]) -> list[int]:
        done = subprocess.run(
            [sys.executable, "-m", "eventing_core.testing._crash"],
            input=json.dumps({"config": self._config, **task}, default=str),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
            check=False,
        )
        assert done.returncode == CRASHED, f"a process that was to die ended with {done.returncode}: {done.stderr}"
        told: list[int] = json.loads(done.stdout)
        return told

    # -- the end ----------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close everything that was made, and see that no send was told anything twice."""
        for blocker in self._blockers:
            blocker.set()
        for manager in self._managers:
            manager.stop(5.0)
        for provider in self._providers:
            provider.close(5.0)
        for done in self._confirmations:
            indexes = [index for index, _ in done.results.items()]
            assert len(indexes) == len({*indexes}), f"the outcome of a send is reported once: {indexes}"


def topic_of(queue: Destination) -> Destination:
    """The topic whose messages come to a queue."""
    return Destination(queue.topic, durable=queue.durable)


def recorder_accept(recorder: Recorder) -> Callable[[Iterable[Any]], None]:
    """What lets a recorder accept everything at once."""
    return lambda batch: recorder.settle(list(batch))
