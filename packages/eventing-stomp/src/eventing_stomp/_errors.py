"""From what STOMP tells to the errors of Eventing. Pure."""

from __future__ import annotations

import re

from eventing_core.errors import AuthenticationError, BrokerConnectionError, ProtocolMismatchError
from eventing_core.provider.sockets import of_mismatch, of_silence
from eventing_stomp._config import StompConfig

VERSION = "1.2"

_ANSWERS = (b"CONNECTED", b"ERROR")

#: How Artemis names the subscription that could not be made (AMQ339016).
_SUBSCRIPTION = re.compile(r"Error creating subscription (?P<id>\S+)")

#: How it names what the user has no right to (AMQ229032, AMQ229213).
_ADDRESS = re.compile(r"permission='(?P<right>\w+)'(?: for queue (?P<queue>.+?))? on address (?P<address>\S+)")

#: How RabbitMQ names a queue, an exchange, or a routing key; newer ones say for what.
_RESOURCE = re.compile(
    r"(?:(?P<right>read|write) access to )?"
    r"(?:(?P<topic>topic) '(?P<key>.+)' in exchange '|(?P<kind>queue|exchange) '(?P<name>.+)' in vhost)"
)

#: How Artemis names the queue of a consumer that it ends: it failed at a message, or the queue was deleted.
_CONSUMER = re.compile(
    r"ServerConsumerImpl \[.*?queue=QueueImpl\[name=(?P<queue>.+?), postOffice=.*disconnected by server"
)

#: How it names a message that could not be acknowledged (AMQ339018): its consumer has ended just now.
_ACKNOWLEDGED = re.compile(r"AMQ339018 Error acknowledging message (?P<consumer>\d+),")

#: "Connection is not valid": the answer of Artemis to whatever comes after the end of the connection.
_NOT_VALID = "AMQ339010"


_DUMP = re.compile(r" CoreMessage\[.*", re.DOTALL)


def is_spoken(heard: bytes) -> bool:
    """Whether what was heard so far can be an answer to the first frame."""
    text = heard.lstrip(b"\r\n")
    return any(text[: len(answer)] == answer[: len(text)] for answer in _ANSWERS)


def of_unanswered(place: str, heard: bytes, *, tls: bool) -> BrokerConnectionError:
    """For a handshake that was not done in time."""
    return of_silence(place, StompConfig.protocol, heard, spoken=bool(heard) and is_spoken(heard), tls=tls)


def of_handshake(config: StompConfig, heard: bytes, text: str) -> BrokerConnectionError:
    """For a connection that ended before it was open; ``text``: of the ERROR frame, if one came."""
    place = config.place
    if text:
        return of_refusal(config, text)
    if heard and is_spoken(heard):
        return BrokerConnectionError(f"{place}: the connection ended in the handshake")
    return of_mismatch(place, StompConfig.protocol, heard, tls=config.tls)


def of_refusal(config: StompConfig, text: str) -> BrokerConnectionError:
    """For an ERROR frame instead of CONNECTED."""
    lower = text.lower()
    if "virtual host" in lower:
        mend = "set virtual_host" if config.broker == "rabbitmq" else 'on RabbitMQ set broker = "rabbitmq"'
        return BrokerConnectionError(f"{config.place}: the broker refuses the virtual host: {mend} ({text})")
    if "security" in lower or "access refused" in lower or "password" in lower or "bad connect" in lower:
        if config.user:
            why = "the broker refuses user or password: check both"
        elif config.cert_file:
            why = "the broker refuses the client certificate: check cert_file, or set user and password"
        else:
            why = "the broker doesn't allow anonymous connections: set user and password"
        return AuthenticationError(f"{config.place}: {why} ({text})")
    return BrokerConnectionError(f"{config.place}: the broker refuses the connection: {text}")


def of_version(place: str, versions: str) -> ProtocolMismatchError | None:
    """For the versions, with commas between them, that a broker names; None where the one needed is among them."""
    if VERSION in versions.split(","):
        return None
    return ProtocolMismatchError(f"{place}: the broker speaks STOMP {versions} instead of {VERSION}")


def of_loss(place: str, text: str) -> BrokerConnectionError:
    """For a connection that ended; ``text``: of the ERROR frame, if one came."""
    queue = consumer_of(text)
    if queue:
        return BrokerConnectionError(
            f"{place}: the broker ended the connection while it handed over a message of the queue {queue!r}: probably "
            "one whose properties or body STOMP can't carry; see the broker's log (AMQ222151)"
        )
    return BrokerConnectionError(f"{place}: the connection ended" + (f": {text}" if text else ""))


def of_large(place: str, limit: int) -> BrokerConnectionError:
    """For a frame that is larger than it may be."""
    return BrokerConnectionError(
        f"{place}: received a message with more than {limit} bytes (max_message_bytes), or more than 1 MiB of headers"
    )


def is_loss(text: str) -> bool:
    """Whether an ERROR frame is about the connection alone, whatever receipt it names."""
    return _NOT_VALID in text


def text_of(message: str, body: str) -> str:
    """What an ERROR frame says, without the dump of a message that Artemis appends."""
    parts = [_DUMP.sub("", part).strip() for part in (message, body)]
    return " ".join(dict.fromkeys(part for part in parts if part))


def names_of(text: str) -> tuple[str, ...]:
    """The queue, address, exchange or routing key that an ERROR frame is about, if it says so; the narrowest first."""
    found = _ADDRESS.search(text)
    if found:
        return tuple(filter(None, (found["queue"], found["address"])))
    found = _RESOURCE.search(text)
    return (found["key"] or found["name"],) if found else ()


def is_of_sending(text: str) -> bool | None:
    """Whether an ERROR frame is about a send, or else about a subscription; None: it doesn't say."""
    found = _ADDRESS.search(text)
    if found:
        return {"SEND": True, "CONSUME": False}.get(found["right"])
    found = _RESOURCE.search(text)
    if found is None or found["right"] is None:
        return None
    if found["right"] == "read":
        return False
    # To bind a queue takes the right to write to it.
    return None if found["kind"] == "queue" else True


def is_of_rights(text: str) -> bool:
    """Whether the user lacks a right on Artemis."""
    return _ADDRESS.search(text) is not None


def consumer_of(text: str) -> str:
    """The queue whose consumer the broker has ended, and the connection with it; empty where it doesn't say so."""
    found = _CONSUMER.search(text)
    return found["queue"] if found else ""


def acknowledging_of(text: str) -> str:
    """The consumer, as message ids name it, that ended before what it had was acknowledged; empty for another error."""
    found = _ACKNOWLEDGED.search(text)
    return found["consumer"] if found else ""


def subscription_of(text: str) -> str:
    """The id of the subscription that an ERROR frame is about; empty where it doesn't say so."""
    found = _SUBSCRIPTION.search(text)
    return found["id"] if found else ""
