"""What is proposed for a provider that isn't there: packages that exist, and what serves a broker's users."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata

import pytest

from eventing_core.configure._known_providers import PACKAGES, guidance_for, offer
from eventing_core.configure._plugins import Plugins
from eventing_core.errors import ProviderNotFoundError

SECRET = "tr0ub4dor"

BROKERS = [
    *(("rabbitmq", "stomp"), ("rabbit", "stomp"), ("RabbitMQ", "stomp"), ("rabbit_mq", "stomp"), ("pika", "stomp")),
    *(("artemis", "amqp"), ("activemq-artemis", "amqp"), ("amqp1.0", "amqp"), ("amqp10", "amqp"), ("qpid", "amqp")),
    *(("activemq", "amqp"), ("amqps", "amqp"), ("in-memory", "memory"), ("inmemory", "memory"), ("stomp.py", "stomp")),
    *(("eventing-artemis", "amqp"), ("amqp://b:5672", "amqp")),
]


@pytest.mark.parametrize(("name", "provider"), BROKERS)
def test_who_names_a_broker_is_told_what_serves_it(name: str, provider: str):
    with pytest.raises(ProviderNotFoundError) as caught:
        Plugins().load_provider(name)
    assert f'"{provider}"' in str(caught.value) or f"'{provider}'" in str(caught.value)
    assert "pip install" not in str(caught.value)


def test_rabbitmq_takes_a_setting_more():
    assert 'provider = "stomp" with broker = "rabbitmq"' in offer("rabbitmq", ["memory"])


@pytest.mark.parametrize("name", ["kafka", "redis", "nats", "mqtt", "sqs", "something", "x", "evil"])
def test_no_package_is_made_up(name: str):
    assert "pip install" not in offer(name, ["amqp", "memory", "stomp"])


@pytest.mark.parametrize(
    ("name", "near"), [("ampq", "amqp"), ("AMQP", "amqp"), ("stom", "stomp"), ("memroy", "memory")]
)
def test_a_slip_gets_the_nearest_name(name: str, near: str):
    assert f"Did you mean '{near}'?" in offer(name, ["amqp", "memory", "stomp"])


def test_only_packages_of_this_project_are_proposed():
    assert "pip install eventing-stomp" in offer("stomp", ["memory"])
    assert "Did you mean 'amqp'? To install it: pip install eventing-amqp" in offer("ampq", ["memory"])
    for name, package in PACKAGES.items():
        try:
            metadata(package)
        except PackageNotFoundError:  # pragma: no cover (all of them are installed for the tests)
            pytest.fail(f"{name}: there is no package {package}")
    for name, _ in BROKERS:
        assert re.findall(r"pip install (\S+)", offer(name, [])) in ([], ["eventing-amqp"], ["eventing-stomp"])


@pytest.mark.parametrize("name", [f"amqp://u:{SECRET}@b", f"u:{SECRET}@b", f"http+{SECRET}://b"])
def test_an_address_in_place_of_a_name_shows_no_secret(name: str):
    with pytest.raises(ProviderNotFoundError) as caught:
        Plugins().load_provider(name)
    assert SECRET not in str(caught.value)
    assert "this is not a valid provider name" in str(caught.value)


def test_guidance_is_for_brokers_alone():
    assert guidance_for("alpha") is None
