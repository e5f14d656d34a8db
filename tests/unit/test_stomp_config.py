"""The settings of the STOMP provider, their plugin, and that neither imports the driver."""

from __future__ import annotations

import subprocess
import sys
import traceback
from typing import Any

import pytest

from eventing_core.errors import ConfigError, ConnectionLostError
from eventing_core.provider import Destination
from eventing_stomp import StompConfig, StompProvider
from eventing_stomp._plugin import eventing_provider

SECRET = "hunter2-tr0ub4dor"


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"hots": 1}, "unknown key 'hots'; did you mean 'host'?"),
        ({"prefetch_bytes": 0}, "prefetch_bytes"),
        ({"password": None, "user": "u"}, "password"),
        ({"password": f"{SECRET}\0x", "user": "u"}, "password: contains"),
        ({"password": f"{SECRET}\ud800", "user": "u"}, "password: contains"),
        # They would add headers to the first frame.
        ({"password": f"x\npasscode:{SECRET}", "user": "u"}, "password: contains a line break"),
        ({"password": f"{SECRET}\r", "user": "u"}, "password: contains a line break"),
        ({"user": "u\nlogin:root", "password": SECRET}, "user: contains a line break"),
        ({"virtual_host": "v\n\n\0"}, "virtual_host: contains a line break"),
        ({"virtual_host": "v\0"}, "virtual_host: contains"),
    ],
)
def test_the_constructor_tells_what_is_wrong(settings: dict[str, Any], text: str):
    with pytest.raises(ConfigError) as refusal:
        StompProvider("server", **settings)
    assert text in str(refusal.value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_what_a_first_frame_can_carry_is_taken():
    provider = StompProvider("server", user="us:er", password="a:b\\nc\\ 世界", virtual_host="/a:b")
    assert isinstance(provider.config, StompConfig)
    assert provider.config.password.get_secret_value() == "a:b\\nc\\ 世界"
    assert (provider.config.user, provider.config.virtual_host) == ("us:er", "/a:b")


def test_the_password_shows_nowhere():
    provider = StompProvider("server", "host", 61613, "user", SECRET, heartbeat=3)
    assert provider.config.password.get_secret_value() == SECRET
    for shown in (repr(provider), repr(provider.config), str(provider.config), str(provider.config.model_dump())):
        assert SECRET not in shown


def test_the_plugin_offers_the_provider():
    spec = eventing_provider()
    assert (spec.name, spec.config) == ("stomp", StompConfig)
    provider = spec.factory("server", StompConfig(host="h", port=1))
    assert isinstance(provider, StompProvider)
    assert (provider.server_name, provider.config.host, provider.name) == ("server", "h", "stomp")


def test_a_provider_that_is_not_open_says_so():
    provider = StompProvider("server")
    assert not provider.health().connected
    provider.close(0)
    with pytest.raises(ConnectionLostError, match="not open"):
        provider.producer(Destination("E"))


def test_the_driver_is_not_imported_before_it_connects():
    code = (
        "import sys, eventing_stomp, eventing_stomp._plugin as plugin;"
        "plugin.eventing_provider().factory('s', eventing_stomp.StompConfig());"
        "print([name for name in sys.modules if name.startswith('stomp')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
