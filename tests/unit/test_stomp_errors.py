"""What ERROR frames and broken handshakes tell, with the texts of real brokers."""

from __future__ import annotations

from typing import Any

import pytest

from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    ConnectTimeoutError,
    ProtocolMismatchError,
)
from eventing_stomp import StompConfig
from eventing_stomp import _errors as errors

SECRET = "hunter2-tr0ub4dor"
PLACE = "localhost:61613"


def config(**settings: Any) -> StompConfig:
    return StompConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"user": "u", "password": SECRET}, "refuses user or password"),
        ({}, "set user and password"),
        ({"tls": True, "cert_file": "c.pem"}, "refuses the client certificate: check cert_file"),
        ({"tls": True, "cert_file": "c.pem", "user": "u"}, "refuses user or password"),
    ],
)
@pytest.mark.parametrize(
    "told",
    [
        # Artemis 2.44; RabbitMQ 3.10.
        "Security Error occurred: User name [u] or password is invalid",
        "Bad CONNECT Access refused for user 'u'",
    ],
)
def test_a_refused_login_says_what_to_mend(settings: dict[str, Any], text: str, told: str):
    error = errors.of_handshake(config(**settings), b"ERROR\n", told)
    assert type(error) is AuthenticationError
    assert text in str(error)
    assert told in str(error)
    assert PLACE in str(error)
    assert SECRET not in str(error)


def test_another_refusal_is_told_as_it_is():
    error = errors.of_handshake(config(), b"ERROR\n", "Virtual host 'x' not found")
    assert type(error) is BrokerConnectionError
    assert "Virtual host 'x' not found" in str(error)


@pytest.mark.parametrize(
    ("heard", "spoken"),
    [
        *((b"C", True), (b"CONNECTED\nver", True), (b"ERR", True), (b"\n\r\nERROR\n", True), (b"\n", True)),
        *((b"AMQP\x03\x01\0\0", False), (b"HTTP/1.1 400", False), (b"CONNECT", True), (b"CONNX", False)),
        *((b"\x15\x03\x03", False), (b"\0", False), (b" CONNECTED", False), (b"error", False)),
    ],
)
def test_another_protocol_is_told_apart(heard: bytes, spoken: bool):
    assert errors.is_spoken(heard) is spoken
    ended = errors.of_handshake(config(), heard, "")
    unanswered = errors.of_unanswered(PLACE, heard, tls=False)
    assert type(ended) is (BrokerConnectionError if spoken else ProtocolMismatchError)
    assert type(unanswered) is (ConnectTimeoutError if spoken else ProtocolMismatchError)
    if not spoken:
        assert repr(heard[:16]) in str(ended)


def test_where_nothing_came_it_may_be_for_tls():
    assert "set tls = true" in str(errors.of_handshake(config(), b"", ""))
    assert "set tls = true" in str(errors.of_unanswered(PLACE, b"", tls=False))
    assert "set tls" not in str(errors.of_handshake(config(tls=True), b"", ""))
    assert "set tls" not in str(errors.of_unanswered(PLACE, b"", tls=True))
    assert "the port speaks TLS" in str(errors.of_handshake(config(), b"\x15\x03\x03\0\x02", ""))


def test_a_version_is_told_apart():
    assert errors.of_version(PLACE, "1.2") is None
    assert errors.of_version(PLACE, "1.0,1.1,1.2") is None
    for version in ("1.0", "1.1", "1.0,1.1", "1.20", ""):
        error = errors.of_version(PLACE, version)
        assert isinstance(error, ProtocolMismatchError)
        assert f"STOMP {version}" in str(error)


def test_a_loss_says_what_the_broker_said():
    assert str(errors.of_loss(PLACE, "")) == f"{PLACE}: the connection ended"
    assert str(errors.of_loss(PLACE, "shutting down")) == f"{PLACE}: the connection ended: shutting down"


#: As Artemis 2.44 says it.
NO_RIGHT = (
    "AMQ229032: User: narrow does not have permission='SEND' on address Ordered CoreMessage[messageID=0, durable=true, "
    "userID=null, priority=4,\n body=hunter2-tr0ub4dor, properties=TypedProperties[content-length=8]]@123"
)
NO_QUEUE = "AMQ229213: User: narrow does not have permission='CREATE_DURABLE_QUEUE' for queue Mailer on address Ordered"
NO_SUBSCRIPTION = "AMQ339016: Error creating subscription 41"


def test_an_error_is_about_its_address():
    assert errors.names_of(errors.text_of(NO_RIGHT, "")) == ("Ordered",)
    assert errors.names_of(NO_QUEUE) == ("Mailer", "Ordered")
    assert errors.names_of(NO_SUBSCRIPTION) == errors.names_of("") == ()


def test_an_error_is_about_a_right_or_not():
    assert errors.is_of_rights(NO_RIGHT)
    assert errors.is_of_rights(NO_QUEUE)
    assert not errors.is_of_rights(NO_SUBSCRIPTION)


def test_an_error_is_about_a_send_or_a_subscription():
    assert errors.is_of_sending(NO_RIGHT) is True
    assert errors.is_of_sending(NO_RIGHT.replace("SEND", "CONSUME")) is False
    assert errors.is_of_sending(NO_QUEUE) is errors.is_of_sending(NO_SUBSCRIPTION) is None


def test_an_error_is_about_its_subscription():
    assert errors.subscription_of(NO_SUBSCRIPTION) == "41"
    assert errors.subscription_of(NO_RIGHT) == ""
    assert errors.subscription_of("") == ""


def test_an_error_is_about_the_connection_alone():
    assert errors.is_loss("AMQ339010 Connection is not valid.")
    assert not any(map(errors.is_loss, (NO_RIGHT, NO_QUEUE, NO_SUBSCRIPTION, "")))


def test_a_message_is_shown_in_no_error():
    text = errors.text_of(NO_RIGHT, NO_RIGHT)
    assert text == "AMQ229032: User: narrow does not have permission='SEND' on address Ordered"
    assert SECRET not in text


def test_header_and_body_of_an_error_are_told_once():
    assert errors.text_of("gone", "gone\n") == "gone"
    assert errors.text_of("gone", "for good") == "gone for good"
    assert errors.text_of("", "") == ""


@pytest.mark.parametrize(
    ("settings", "mend"),
    [({}, 'set broker = "rabbitmq"'), ({"broker": "rabbitmq", "virtual_host": "x"}, "virtual_host")],
)
def test_a_virtual_host_that_is_refused_is_no_wrong_password(settings: dict[str, Any], mend: str):
    told = "Bad CONNECT Virtual host '127.0.0.1' access denied"
    error = errors.of_handshake(config(user="u", password=SECRET, **settings), b"ERROR\n", told)
    assert type(error) is BrokerConnectionError
    assert mend in str(error)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (
            "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'it's::L.owner' in vhost '/'.",
            "it's::L.owner",
        ),
        (
            "ACCESS_REFUSED - write access to topic 'Event' in exchange 'amq.topic' in vhost '/' refused for user 'u'",
            "Event",
        ),
        ("ACCESS_REFUSED - write access to exchange 'amq.default' in vhost '/' refused for user 'u'", "amq.default"),
    ],
)
def test_what_rabbitmq_names(text: str, name: str):
    assert errors.names_of(text) == (name,)
