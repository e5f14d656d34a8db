"""Which broker the demo runs on."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.provider import Provider
from examples.artemis import Artemis


@dataclass(frozen=True)
class Broker:
    """A broker that is up.

    Attributes:
        name: for people.
        settings: what Eventing's configuration has to hold for it.
        provider: makes a provider of that name, for what no manager does.
    """

    name: str
    settings: dict[str, Any]
    provider: Callable[[str], Provider]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the command line's options."""
    parser.add_argument("--provider", choices=("memory", "amqp"), default="memory", help="the transport")
    broker = parser.add_argument_group(
        "an Artemis that runs already", "without --host and --port, `--provider amqp` starts one for itself"
    )
    broker.add_argument("--host", help="default: localhost")
    broker.add_argument("--port", type=int, help="default: 61616")
    broker.add_argument("--user", default="")
    broker.add_argument(
        "--password", default=os.environ.get("EVENTING_AMQP__PASSWORD", ""), help="default: EVENTING_AMQP__PASSWORD"
    )


@contextmanager
def open_broker(options: Namespace) -> Iterator[Broker]:
    """The broker that the options ask for; one that was started here is stopped and removed at the end."""
    if options.provider == "memory":
        shared = MemoryBroker.shared("orders")
        settings = {"provider": "memory", "memory": {"broker": shared.name}}
        yield Broker("the in-memory broker", settings, lambda name: MemoryProvider(name, shared))
    elif options.host or options.port:
        yield _artemis(options.host or "localhost", options.port or 61616, options.user, options.password)
    else:
        problem = Artemis.unavailable()
        if problem:
            sys.exit(
                f"This machine can't start an Artemis of its own: {problem}\n"
                "Name one that runs: --provider amqp --host HOST --port 61616 --user USER --password PASSWORD\n"
                "For example in a container: docker run -p 61616:61616 apache/activemq-artemis:latest-alpine\n"
                "                       and: --provider amqp --host localhost --user artemis --password artemis"
            )
        print("starting an Artemis of our own ...", flush=True)
        with Artemis() as artemis:
            yield _artemis(artemis.host, artemis.port, artemis.user, artemis.password)


def _artemis(host: str, port: int, user: str, password: str) -> Broker:
    account: dict[str, Any] = {"host": host, "port": port, "user": user, "password": password}

    def provider(name: str) -> Provider:
        from eventing_amqp import AMQProvider  # noqa: PLC0415 (installed only where AMQP is asked for)

        return AMQProvider(name, **account)

    return Broker(f"Artemis at {host}:{port}", {"provider": "amqp", "amqp": account}, provider)
