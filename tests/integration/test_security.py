"""Real TLS, on every provider: each flaw is refused at once, with an error of its own. No secret gets into a log."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from eventing_core.errors import AuthenticationError, BrokerConnectionError, TlsError
from eventing_core.provider import Provider
from examples.artemis import Artemis, Tls
from tests.support.bench import PROVIDERS, Bench, opened
from tests.support.proxy import Proxy
from tests.support.tls import Authority
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("kind")

#: In seconds. What is refused at once takes nothing of it.
LIMIT = 100.0
SECRET = "hunter2-tr0ub4dor"


@pytest.fixture(scope="module")
def mutual_artemis(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Artemis]:
    """Asks for a client certificate."""
    reason = Artemis.unavailable()
    if reason:
        pytest.skip(reason)
    store = authority.keystore("mutual", "IP:127.0.0.1")
    tls = Tls(keystore=store, password="changeit", truststore=authority.truststore())
    with Artemis(folder=tmp_path_factory.mktemp("mutual") / "broker", tls=tls) as broker:
        yield broker


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that nobody trusts."""
    return Authority(tmp_path_factory.mktemp("tls") / "stranger").create()


def provider_at(broker: Artemis, **settings: Any) -> Provider:
    account = {"user": broker.user, "password": broker.password, "port": broker.tls_port}
    return PROVIDERS[Bench.kind]("server", **{"host": broker.host, "tls": True, **account, **settings})


def refusal(kind: type[BrokerConnectionError], provider: Provider) -> str:
    """What a provider says that can't be opened, and doesn't wait to say it."""
    began = time.monotonic()
    with pytest.raises(BrokerConnectionError) as caught:
        provider.open(lambda *_: None)
    assert time.monotonic() - began < LIMIT / 2
    assert type(caught.value) is kind, caught.value
    assert not provider.health().connected
    return str(caught.value)


@contextmanager
def tls_server(context: ssl.SSLContext) -> Iterator[int]:
    """Shakes hands with one client, and then is silent."""
    with socket.create_server(("127.0.0.1", 0)) as listening, contextlib.ExitStack() as taken:

        def serve() -> None:
            with contextlib.suppress(OSError):
                raw = taken.enter_context(listening.accept()[0])
                connection = taken.enter_context(context.wrap_socket(raw, server_side=True))
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1]
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        thread.join()


# -- the broker's certificate -----------------------------------------------------------------------------------------


def test_a_certificate_of_an_authority_that_is_not_trusted(secure_artemis: Artemis, stranger: Authority):
    for trust in ({}, {"ca_file": stranger.certificate}):
        text = refusal(TlsError, provider_at(secure_artemis, connect_timeout=LIMIT, **trust))
        assert "unable to get local issuer certificate" in text or "self-signed" in text or "signature" in text
        assert f"{secure_artemis.host}:{secure_artemis.tls_port}: TLS failed" in text


def test_a_certificate_for_another_host(secure_artemis: Artemis, authority: Authority):
    settings = {"ca_file": authority.certificate, "host": "localhost", "connect_timeout": LIMIT}
    text = refusal(TlsError, provider_at(secure_artemis, **settings))
    assert "certificate is not valid for 'localhost'" in text
    provider = provider_at(secure_artemis, **settings, verify_host_name=False)
    provider.open(lambda *_: None)
    provider.close(5)


def test_the_host_that_is_verified_is_the_one_that_is_connected_to(secure_artemis: Artemis, authority: Authority):
    port = secure_artemis.tls_port
    settings = {"ca_file": authority.certificate, "connect_timeout": LIMIT}
    # Its certificate is for 127.0.0.1.
    provider = provider_at(secure_artemis, **settings, host="localhost", failover=(f"127.0.0.1:{port}",))
    provider.open(lambda *_: None)
    assert provider.health().place == f"127.0.0.1:{port}"
    provider.close(5)


def test_a_certificate_that_has_expired(secure_artemis: Artemis, authority: Authority):
    certificate, key = authority.issue("expired", "IP:127.0.0.1", days="0")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with tls_server(context) as port:
        settings = {"port": port, "ca_file": authority.certificate, "connect_timeout": LIMIT}
        assert "certificate has expired" in refusal(TlsError, provider_at(secure_artemis, **settings))


# -- the client's certificate -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flaw", ["none", "a stranger's", "expired"])
def test_a_client_that_has_to_show_another_certificate(
    mutual_artemis: Artemis, authority: Authority, stranger: Authority, flaw: str
):
    settings: dict[str, Any] = {"ca_file": authority.certificate, "connect_timeout": LIMIT}
    if flaw != "none":
        issuer, days = (stranger, "2") if flaw == "a stranger's" else (authority, "0")
        settings["cert_file"], settings["key_file"] = issuer.issue("client", "DNS:client", days=days)
    text = refusal(TlsError, provider_at(mutual_artemis, **settings))
    assert "asks for a client certificate" in text


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_client_without_a_certificate_by_versions_of_tls(
    secure_artemis: Artemis, authority: Authority, version: ssl.TLSVersion
):
    certificate, key = authority.issue("asks", "IP:127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version
    with tls_server(context) as port:
        settings = {"port": port, "ca_file": authority.certificate, "connect_timeout": LIMIT}
        assert "asks for a client certificate" in refusal(TlsError, provider_at(secure_artemis, **settings))


def test_mutual_tls_carries_events(mutual_artemis: Artemis, authority: Authority, unique: Callable[[str], str]):
    certificate, key = authority.issue("client", "DNS:client")
    settings = {"ca_file": authority.certificate, "cert_file": certificate, "key_file": key}
    with opened(mutual_artemis, unique("m"), tls=True, port=mutual_artemis.tls_port, **settings) as bench:
        recorder = bench.listen_active(window=10)
        bench.put("a")
        assert [delivery.message().body for delivery in recorder.wait(1)] == [b"a"]
    # Certificate and key may be in one file.
    both = certificate.with_name("both.pem")
    both.write_text(certificate.read_text() + key.read_text())
    shown: dict[str, Any] = {"ca_file": authority.certificate, "cert_file": both, "connect_timeout": LIMIT}
    provider = provider_at(mutual_artemis, **shown)
    provider.open(lambda *_: None)
    provider.close(5)
    # Without a user the certificate says who it is; this broker has nobody of that name.
    text = refusal(AuthenticationError, provider_at(mutual_artemis, user="", password="", **shown))
    assert "certificate" in text or "no suitable SASL mechanism" in text


def test_files_that_are_no_certificates(mutual_artemis: Artemis, authority: Authority, tmp_path: Path):
    certificate, _ = authority.issue("client", "DNS:client")
    _, another = authority.issue("another", "DNS:client")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text(SECRET)
    for files in (
        {"ca_file": rubbish},
        {"cert_file": rubbish},
        {"cert_file": certificate, "key_file": rubbish},
        {"cert_file": certificate, "key_file": another},
        {"cert_file": certificate, "key_file": tmp_path / "missing.pem"},
    ):
        settings = {"ca_file": authority.certificate, "connect_timeout": LIMIT, **files}
        text = refusal(TlsError, provider_at(mutual_artemis, **settings))
        assert "ca_file, cert_file or key_file can't be used" in text
        assert SECRET not in text


# -- secrets ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def all_logs(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """All that any logger says, also where it has a level of its own or keeps it to itself."""
    caplog.set_level(logging.DEBUG)
    for name in [*logging.root.manager.loggerDict, "stomp.py", "proton", "eventing"]:
        monkeypatch.setattr(logging.getLogger(name), "level", logging.NOTSET)
        monkeypatch.setattr(logging.getLogger(name), "propagate", True)
    logging.getLogger().manager._clear_cache()  # type: ignore[attr-defined]
    # What makes Proton print its frames.
    monkeypatch.setenv("PN_TRACE_FRM", "1")
    monkeypatch.setenv("PN_TRACE_RAW", "1")
    monkeypatch.setenv("PN_LOG", "all")
    return caplog


@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "tls"])
def test_no_secret_is_in_a_log_through_the_life_of_a_connection(
    secure_artemis: Artemis,
    authority: Authority,
    unique: Callable[[str], str],
    tmp_path: Path,
    all_logs: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    encrypted: bool,
):
    broker, file = secure_artemis, tmp_path / "password"
    file.write_text(broker.password)
    tls: dict[str, Any] = {"tls": True, "ca_file": authority.certificate} if encrypted else {}
    with (
        Proxy(broker.tls_port if encrypted else broker.port) as proxy,
        opened(broker, unique("s"), password="", password_file=file, port=proxy.port, **tls) as bench,
    ):
        recorder = bench.listen_active(window=10)
        bench.put("a")
        # A reconnect, one with a wrong password, and one with a file that isn't there.
        proxy.reset()
        until(lambda: bench.provider.health().generation == 2, "the second connection")
        file.write_text(SECRET)
        proxy.reset()
        until(lambda: "refuses user or password" in bench.provider.health().error, "the refusal")
        file.unlink()
        until(lambda: "No such file" in bench.provider.health().error, "the missing file")
        file.write_text(broker.password)
        until(lambda: bench.provider.health().generation == 3, "the third connection")
        bench.put("b")
        recorder.wait(1)
        shown = repr(bench.provider) + str(bench.provider.health()) + str(bench.connected.items())
    with pytest.raises(AuthenticationError):
        provider_at(
            broker, password=SECRET, port=broker.tls_port if encrypted else broker.port, **tls or {"tls": False}
        ).open(lambda *_: None)
    output = capfd.readouterr()
    for secret in (SECRET, broker.password):
        assert secret not in all_logs.text + output.out + output.err + shown
