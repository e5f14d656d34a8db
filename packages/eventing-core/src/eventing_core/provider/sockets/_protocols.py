"""What a port speaks, by what it says first; and what to do about it. Pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class WireProtocol:
    """One that a port may speak.

    Attributes:
        name: for messages.
        fix: what to set, or where to look.
    """

    name: str
    fix: str

    def is_for(self, wanted: str) -> bool:
        """Whether it is the wanted protocol, which is given with its version."""
        return wanted.startswith(self.name)


_ELSEWHERE = "check host and port"

TLS = WireProtocol("TLS", "set tls = true")
AMQP = WireProtocol("AMQP 1.0", 'set provider = "amqp" for this port, or port to the one for {wanted}')
AMQP_0_9_1 = WireProtocol(
    "AMQP 0-9-1",
    'this may be RabbitMQ: set provider = "stomp", with broker = "rabbitmq" and the port of its STOMP plugin (61613)',
)
STOMP = WireProtocol("STOMP", 'set provider = "stomp" for this port, or port to the one for {wanted}')
OPENWIRE = WireProtocol("OpenWire", "set port to the one for {wanted}; ActiveMQ Classic is not supported")
HTTP = WireProtocol("HTTP", "this may be the broker's web console: set port to the one for {wanted}")
MQTT = WireProtocol("MQTT", "set port to the one for {wanted}")
REDIS = WireProtocol("Redis", _ELSEWHERE)
POSTGRESQL = WireProtocol("PostgreSQL", _ELSEWHERE)
MYSQL = WireProtocol("MySQL", _ELSEWHERE)
SSH = WireProtocol("SSH", _ELSEWHERE)
MAIL = WireProtocol("a mail or FTP server's protocol", _ELSEWHERE)
NATS = WireProtocol("NATS", _ELSEWHERE)
MEMCACHED = WireProtocol("memcached", _ELSEWHERE)

#: By how their servers begin; the longer ones come before what they begin with.
_BEGINNINGS = (
    (b"AMQP\x00\x00\x09", AMQP_0_9_1),
    (b"AMQP\x01\x01", AMQP_0_9_1),
    (b"AMQP\x00\x00", AMQP_0_9_1),
    (b"AMQP", AMQP),
    (b"\x15\x03", TLS),
    (b"\x16\x03", TLS),
    (b"CONNECTED\n", STOMP),
    (b"CONNECTED\r\n", STOMP),
    (b"ERROR\r\nERROR", MEMCACHED),
    (b"ERROR\n", STOMP),
    (b"HTTP/", HTTP),
    (b"<!DOCTYPE", HTTP),
    (b"<html", HTTP),
    (b"-ERR ", REDIS),
    (b"-NOAUTH", REDIS),
    (b"-DENIED", REDIS),
    (b"+PONG", REDIS),
    (b"SSH-", SSH),
    (b"220 ", MAIL),
    (b"220-", MAIL),
    (b"* OK", MAIL),
    (b"+OK", MAIL),
    (b"INFO {", NATS),
    (b"\x20\x02", MQTT),
    (b"VERSION ", MEMCACHED),
    (b"E\x00\x00\x00", POSTGRESQL),
)


def protocol_of(heard: bytes) -> WireProtocol | None:
    """The protocol of a server by its first bytes; None where they tell nothing."""
    text = heard.lstrip(b"\r\n")
    for beginning, protocol in _BEGINNINGS:
        if text.startswith(beginning):
            return protocol
    if heard[5:13] == b"ActiveMQ" or heard[4:13] == b"\x01ActiveMQ":
        return OPENWIRE
    # Its greeting: a length of three bytes, the sequence number 0, version 10 of the protocol, digits (MySQL
    # documentation, "Protocol::Handshake"), or an error instead, as for a host that may not connect.
    if heard[3:5] in {b"\x00\x0a", b"\x00\xff"} and heard[2:3] == b"\x00" and len(heard) > 5:  # noqa: PLR2004 (see above)
        return MYSQL
    return None


@dataclass(frozen=True, slots=True)
class Question:
    """What a server of one protocol answers, and others leave alone. Nothing of it logs in.

    Attributes:
        data: what is sent; empty: its server speaks first.
        answers: what an answer means that is just that, where `protocol_of` doesn't know it.
        encrypted: it makes no sense within TLS.
        speaks: the protocol that it is in; None where it is of no use to know that one isn't spoken.
    """

    data: bytes
    answers: Mapping[bytes, WireProtocol] = field(default_factory=dict[bytes, WireProtocol])
    encrypted: bool = True
    speaks: WireProtocol | None = None


#: A version that no server speaks: it is refused before it is asked who we are.
_STOMP = b"STOMP\naccept-version:0.0\nhost:/\n\n\0"
_HTTP = b"GET / HTTP/1.0\r\n\r\n"
#: "Client begins with TLS?" (PostgreSQL documentation, "SSLRequest").
_POSTGRESQL = struct.pack("!II", 8, 80877103)
#: CONNECT of MQTT 3.1.1 without a client identifier, for a session that lasts: it is refused (section 3.1.3.1).
_MQTT = b"\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00"
#: What both sides of OpenWire begin with: its length, its type, a magic word, the version, no properties.
_OPENWIRE = b"\x00\x00\x00\x0e\x01ActiveMQ\x00\x00\x00\x01\x00"
#: The header of AMQP with SASL (specification part 5, section 5.3.2).
_AMQP = b"AMQP\x03\x01\x00\x00"

QUESTIONS = (
    Question(b""),
    Question(_STOMP, speaks=STOMP),
    Question(_HTTP),
    Question(_AMQP, speaks=AMQP),
    Question(_POSTGRESQL, {b"S": POSTGRESQL, b"N": POSTGRESQL}, encrypted=False),
    Question(_MQTT, encrypted=False),
    Question(_OPENWIRE, encrypted=False),
)
