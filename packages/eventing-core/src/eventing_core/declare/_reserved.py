"""Headers that an envelope can't have, since a transport or a broker gives them a meaning of its own."""

from __future__ import annotations

#: What STOMP 1.2 ("SEND", "MESSAGE") and Artemis's mapping of STOMP give a meaning.
RESERVED_HEADERS = frozenset(
    {
        "ack",
        "content-length",
        "content-type",
        "correlation-id",
        "destination",
        "destination-type",
        "expires",
        "id",
        "message-id",
        "persistent",
        "priority",
        "receipt",
        "redelivered",
        "reply-to",
        "subscription",
        "timestamp",
        "transaction",
        "type",
    }
)

#: How Artemis's own properties begin, and those of JMS.
ARTEMIS_PREFIXES = ("_AMQ", "AMQ_", "JMS", "NATIVE_MESSAGE_ID")

#: The same with those of Eventing's own headers.
RESERVED_PREFIXES = ("eventing-", "eventing_", *ARTEMIS_PREFIXES)
