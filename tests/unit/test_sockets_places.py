"""A host that is none is refused where it is set, with what to write instead, and without a secret."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest
from pydantic import ValidationError

from eventing_amqp import AmqpConfig, AMQProvider
from eventing_core.errors import ConfigError
from eventing_core.provider.sockets._places import flaw_in_host
from eventing_stomp import StompConfig, StompProvider

SECRET = "tr0ub4dor"

HOSTS = (
    "localhost",
    *("b.example.com", "b.example.com.", "under_score", "UPPER", "münchen.example", "10.0.0.1", "::1", "fe80::1%eth0"),
)


@pytest.mark.parametrize("host", HOSTS)
def test_a_host(host: str):
    assert flaw_in_host(host) == ""
    assert AmqpConfig(host=host).host == host


FLAWS = [
    ("tcp://b:61616", 'host: this is a URL: write host = "b" and port = 61616'),
    ("amqp://b", 'is a URL: write host = "b"'),
    ("amqps://b:5671", 'write host = "b", port = 5671 and tls = true'),
    ("stomp+ssl://b:61614/", 'write host = "b", port = 61614 and tls = true'),
    ("tcp://[::1]:5672", 'write host = "::1" and port = 5672'),
    ("http://", 'is a URL: write host = "..."'),
    ("failover:(tcp://b:1,tcp://c:2)?randomize=false", 'write host = "b" and port = 1; further brokers go to failover'),
    (f"amqp://u:{SECRET}@b", 'write host = "b"; user and password are settings of their own'),
    (f"amqp://u:{SECRET}@b:5672//vhost", 'write host = "b" and port = 5672; user and password'),
    (f"amqp://u:{SECRET}/@x@b", 'write host = "b"; user and password'),
    (f"amqp://u:x?{SECRET}@b", 'write host = "..."; user and password'),
    (f"amqp://b?password=x@{SECRET}", 'write host = "..."; user and password'),
    (f"u:{SECRET}@b", 'contains a user: write host = "b"; user and password'),
    (f"u:{SECRET}@b:5672", 'write host = "b" and port = 5672'),
    (f"u:{SECRET}@", 'write host = "..."; user and password'),
    (f"u:{SECRET}", 'contains a port: write host = "u", and port as a setting of its own'),
    ("b:5672", 'contains a port: write host = "b" and port = 5672'),
    ("b:amqp", "contains a port"),
    ("b:99999", "contains a port"),
    ("b:", "contains a port"),
    ("[::1]", 'has brackets, which an address here is written without: write host = "::1"'),
    ("[::1]:5672", 'write host = "::1" and port = 5672'),
    ("[::1", "can't have"),
    ("", "is empty: write the broker's name or address"),
    ("  ", "is empty"),
    (" b", "has white space around it: remove it"),
    ("b\n", "has white space around it: remove it"),
    ("b c", "contains characters that a host can't have"),
    ("b\0", "contains characters that a host can't have"),
    ("b,c", "is more than one host: the first goes here, the others to failover"),
    ("b:1;c:2", "is more than one host"),
    ("b/vhost", 'contains a path: write host = "b"'),
    ("/var/run/broker.sock", "is a path, and only TCP is supported"),
    ('"b"', "contains quotes: remove them"),
]


@pytest.mark.parametrize("make", [AMQProvider, StompProvider])
@pytest.mark.parametrize(("host", "text"), FLAWS)
def test_a_host_that_is_none(make: Any, host: str, text: str, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    with pytest.raises(ConfigError) as refusal:
        make("server", host)
    assert "host: " in str(refusal.value)
    assert text in str(refusal.value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value)) + caplog.text


@pytest.mark.parametrize("config", [AmqpConfig, StompConfig])
@pytest.mark.parametrize(
    "settings",
    [
        {"host": f"amqp://u:{SECRET}@b"},
        {"host": f"u:{SECRET}@b", "port": "x"},
        {"failover": [f"amqp://u:{SECRET}@b"]},
        {"pasword": SECRET},
        {"password": SECRET},
        {"password": f"{SECRET}\0", "user": "u"},
        {"password": SECRET, "password_file": "p", "user": "u"},
        {"queue_name": "x", "user": "u", "password": SECRET},
    ],
)
def test_an_error_of_pydantic_holds_no_input(config: Any, settings: dict[str, Any]):
    with pytest.raises(ValidationError) as refusal:
        config(**settings)
    error = refusal.value
    shown = [repr(error), str(error), repr(error.errors()), error.json(), *traceback.format_exception(error)]
    assert SECRET not in "".join(shown)
