"""Which packages offer which providers, and what serves the brokers that people name instead. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

#: The providers that there are, by name, and the packages that they come in.
PACKAGES = {"amqp": "eventing-amqp", "memory": "eventing-core", "stomp": "eventing-stomp"}

_RABBITMQ = 'RabbitMQ is served by provider = "stomp" with broker = "rabbitmq" in its table, on RabbitMQ\'s STOMP port'
_ARTEMIS = 'Apache ActiveMQ Artemis is served by provider = "amqp", or by "stomp"'
_CLASSIC = 'Apache ActiveMQ is served as Artemis, by provider = "amqp" or "stomp"; ActiveMQ Classic is not supported'
_MEMORY = 'The broker within the process is provider = "memory"'
_OWN = (
    "No package for it is known. Set provider to an installed one; eventing new-provider writes the skeleton of another"
)

#: What is said for other names, in lower case and without punctuation.
_SERVED = {
    **dict.fromkeys(("rabbitmq", "rabbit", "rabbitmq4", "amqp091", "amqp09", "amqp0", "pika", "aiopika"), _RABBITMQ),
    **dict.fromkeys(("artemis", "activemqartemis", "apacheartemis", "amq", "amqbroker", "openwire", "jms"), _ARTEMIS),
    **dict.fromkeys(("amqp10", "amqp1", "amqps", "proton", "qpid", "qpidproton", "pythonqpidproton"), _ARTEMIS),
    **dict.fromkeys(("activemq", "apacheactivemq", "activemq5", "activemqclassic"), _CLASSIC),
    **dict.fromkeys(("inmemory", "mem", "local", "embedded", "dummy", "fake", "test", "none", "inprocess"), _MEMORY),
    **dict.fromkeys(("stomps", "stomppy", "stomp12", "stomp11"), 'STOMP 1.2 is served by provider = "stomp"'),
    **dict.fromkeys(
        ("kafka", "redis", "valkey", "nats", "mqtt", "pulsar", "sqs", "sns", "aws", "pubsub", "gcp", "azure"), _OWN
    ),
    **dict.fromkeys(
        ("servicebus", "azureservicebus", "postgres", "postgresql", "sqlite", "zeromq", "zmq", "nsq"), _OWN
    ),
}


def shown(name: str) -> str:
    """A provider's name for messages; where it is an address instead, only its scheme: there may be a password."""
    scheme, separator, _ = name.partition("://")
    if separator or "@" in name:
        return f"'{scheme}://...'" if separator and scheme.isalnum() else "'...'"
    return repr(name)


def guidance_for(name: str) -> str | None:
    """What serves the broker of that name; None where the name says nothing."""
    scheme = name.partition("://")[0].lower()
    for plain in (re.sub(r"[^a-z0-9]", "", scheme), re.sub(r"[^a-z0-9]", "", scheme).removeprefix("eventing")):
        if plain in _SERVED:
            return _SERVED[plain]
    return None


def offer(name: str, installed: Iterable[str]) -> str:
    """What to do about a provider that isn't installed: whole sentences.

    Only packages that exist are proposed, since anybody may publish one of a name that we guessed.
    """
    names = sorted(installed)
    said = [f"Installed: {', '.join(names) or 'none'}."]
    guidance = None if name in PACKAGES else guidance_for(name)
    wanted = name.partition("://")[0].lower().removeprefix("eventing-").removeprefix("eventing_")
    near = get_close_matches(wanted, {*names, *PACKAGES}, n=1)
    if name in PACKAGES:
        said.append(f"To install it: pip install {PACKAGES[name]}")
    elif guidance is not None:
        said.append(f"{guidance}.")
    elif near:
        package = "" if near[0] in names else f" To install it: pip install {PACKAGES[near[0]]}"
        said.append(f"Did you mean {near[0]!r}?{package}")
    else:
        said.append("Set provider to an installed one, or install the package that offers it.")
    return " ".join(said)
