"""Which key was meant: other libraries' words, other spellings, other places."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from eventing_core.configure._config import load_configuration
from eventing_core.configure._plugins import Plugins
from eventing_core.errors import ConfigError
from eventing_core.provider._keys import _WORDS, hint, meant
from eventing_stomp import StompConfig

SECRET = "tr0ub4dor"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(provider: str = "stomp", **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_configuration(Plugins(), overrides={"provider": provider, **settings})
    assert SECRET not in str(caught.value)
    return str(caught.value)


TABLE = {
    "host": ("hostname", "host_name", "address", "server", "url", "uri", "dsn", "broker_url", "endpoint", "Host"),
    "failover": ("hosts", "brokers", "servers", "bootstrap_servers", "backup"),
    "user": ("username", "login", "user_name", "sasl_username", "User"),
    "password": ("passwd", "pwd", "pass", "passcode", "pasword", "secret"),
    "tls": ("ssl", "use_ssl", "use_tls", "useTls", "secure", "ssl_context"),
    "ca_file": ("ca", "cafile", "ca_certs", "cacert", "caFile", "truststore"),
    "cert_file": ("cert", "certfile", "client_cert", "certificate"),
    "key_file": ("key", "keyfile", "private_key"),
    "verify_host_name": ("verify", "verify_hostname", "check_hostname", "verifyHostName", "ssl_verify"),
    "connect_timeout": ("timeout", "connection_timeout", "connect-timeout", "socket_timeout"),
    "heartbeat": ("heartbeats", "heart_beat", "keepalive", "heartbeat_interval"),
    "virtual_host": ("vhost", "virtualHost"),
    "prefetch_bytes": ("prefetch", "qos"),
    "queue_name": ("queue", "queue_prefix"),
}


@pytest.mark.parametrize(("word", "key"), [(word, key) for key, words in TABLE.items() for word in words])
def test_another_word_for_a_key_of_a_table(word: str, key: str):
    text = refused(stomp={word: SECRET})
    assert f"unknown key 'stomp.{word}'; did you mean '{key}'" in text
    with pytest.raises(ConfigError, match=f"did you mean '{key}'"):
        StompConfig.of({word: SECRET})


@pytest.mark.parametrize(
    ("word", "text"),
    [
        *(("threads", "did you mean 'workers'"), ("concurrency", "did you mean 'workers'")),
        *(("timeout", "did you mean 'send_timeout'"), ("shutdown_timeout", "did you mean 'stop_timeout'")),
        *(("transport", "did you mean 'provider'"), ("node_name", "did you mean 'server_name'")),
        *(("host", "it belongs to the table 'stomp'"), ("username", "did you mean 'user' of the table 'stomp'?")),
        *(("max_attempts", "it belongs to the table 'retry'"), ("max_retries", "'max_attempts' of the table 'retry'")),
        *(("serverName", "did you mean 'server_name'"), ("wrokers", "did you mean 'workers'?")),
    ],
)
def test_another_word_for_a_key_at_the_top(word: str, text: str):
    assert text in refused(**{word: SECRET})


def test_a_number_of_retries_is_not_one_of_attempts():
    text = refused(retry={"max_retries": 3})
    assert "did you mean 'max_attempts'? It counts the first run, too." in text


@pytest.mark.parametrize(
    ("variable", "meaning"),
    [
        ("EVENTING_STOMP__HOSTNAME", "'host'"),
        ("EVENTING_STOMP_HOSTNAME", "EVENTING_STOMP__HOST?"),
        ("EVENTING_STOMP_PASSWD", "EVENTING_STOMP__PASSWORD?"),
        ("EVENTING_HOST", "EVENTING_STOMP__HOST?"),
        ("EVENTING_PASSWORD", "EVENTING_STOMP__PASSWORD?"),
        ("EVENTING_THREADS", "EVENTING_WORKERS?"),
        ("EVENTING_RETRY_MAX_ATTEMPTS", "EVENTING_RETRY__MAX_ATTEMPTS?"),
    ],
)
def test_another_word_in_an_environment_variable(variable: str, meaning: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(variable, SECRET)
    text = refused()
    assert variable in text
    assert meaning in text


def test_a_table_of_a_broker_that_has_another_provider():
    assert "no installed provider is named 'rabbitmq'" in refused(rabbitmq={"host": "b"})


def test_each_word_leads_to_a_key():
    keys: Mapping[str, Any] = StompConfig.model_fields
    for key, words in _WORDS.items():
        for word in words.split():
            if key in keys and word not in keys:
                assert meant(word, [key]) == key


def test_where_nothing_is_near_all_keys_are_named():
    assert hint("zzzzzz", ["b", "a"]) == "the keys are: 'a', 'b'"
