"""The settings, their plugin, and that neither imports the driver."""

from __future__ import annotations

import subprocess
import sys
import traceback
from typing import Any

import pytest
from pydantic import ValidationError

from eventing_amqp import AmqpConfig, AMQProvider
from eventing_amqp._plugin import eventing_provider
from eventing_core.errors import ConfigError, ConnectionLostError
from eventing_core.provider import Destination

SECRET = "hunter2-tr0ub4dor"


def test_the_mechanism_is_the_one_that_fits():
    assert AmqpConfig().mechanism == "ANONYMOUS"
    assert AmqpConfig(user="u", password=SECRET).mechanism == "PLAIN"  # type: ignore[arg-type]
    assert AmqpConfig(tls=True, cert_file="c.pem").mechanism == "EXTERNAL"  # type: ignore[arg-type]
    both = AmqpConfig(tls=True, cert_file="c.pem", user="u")  # type: ignore[arg-type]
    assert both.mechanism == "PLAIN"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"port": 0}, "port"),
        ({"host": ""}, "host"),
        ({"connect_timeout": 0}, "connect_timeout"),
        ({"password": SECRET}, "user is not"),
        ({"ca_file": "ca.pem"}, "tls = true"),
        ({"tls": True, "key_file": "key.pem"}, "set cert_file as well"),
        ({"queue_name": "{event}"}, "{listener}"),
        ({"heartbeat": 0}, "heartbeat"),
        ({"hots": "x"}, "hots"),
    ],
)
def test_what_is_refused(settings: dict[str, Any], text: str):
    with pytest.raises(ValidationError) as refusal:
        AmqpConfig(**settings)
    assert text in str(refusal.value)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"hots": 1}, "unknown key 'hots'; did you mean 'host'?"),
        ({"password": None, "user": "u"}, "password"),
        ({"password": f"{SECRET}\0x", "user": "u"}, "password: contains NUL"),
        ({"password": f"{SECRET}\ud800", "user": "u"}, "password: contains NUL or a lone surrogate"),
        ({"user": "u\0", "password": SECRET}, "user: contains NUL"),
    ],
)
def test_the_constructor_tells_what_is_wrong(settings: dict[str, Any], text: str):
    with pytest.raises(ConfigError) as refusal:
        AMQProvider("server", **settings)
    assert text in str(refusal.value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_the_password_shows_nowhere():
    provider = AMQProvider("server", "host", 5672, "user", SECRET, heartbeat=3)
    assert provider.config.password.get_secret_value() == SECRET
    for shown in (repr(provider), repr(provider.config), str(provider.config), str(provider.config.model_dump())):
        assert SECRET not in shown


def test_the_plugin_offers_the_provider():
    spec = eventing_provider()
    assert (spec.name, spec.config) == ("amqp", AmqpConfig)
    provider = spec.factory("server", AmqpConfig(host="h", port=1))
    assert isinstance(provider, AMQProvider)
    assert (provider.server_name, provider.config.host, provider.name) == ("server", "h", "amqp")


def test_a_provider_that_is_not_open_says_so():
    provider = AMQProvider("server")
    assert not provider.health().connected
    provider.close(0)
    with pytest.raises(ConnectionLostError, match="not open"):
        provider.producer(Destination("E"))


def test_the_driver_is_not_imported_before_it_connects():
    code = (
        "import sys, eventing_amqp, eventing_amqp._plugin as plugin;"
        "plugin.eventing_provider().factory('s', eventing_amqp.AmqpConfig());"
        "print([name for name in sys.modules if name.startswith(('proton', 'cproton'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
