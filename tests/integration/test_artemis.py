"""The throwaway broker itself, as the other tests rely on it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.artemis import Artemis, ArtemisError, Tls, User

pytestmark = pytest.mark.timeout(180)


def listening(broker: Artemis) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((broker.host, broker.port)) == 0


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def put(broker: Artemis, queue: str, text: str) -> str:
    return broker.cli("producer", "--destination", f"queue://{queue}", "--message-count", "1", "--message", text)


def test_keeps_durable_messages_through_kill_and_restart(private_artemis: Artemis):
    broker = private_artemis
    first, port = broker.pid, broker.port
    assert first
    assert "Produced: 1 messages" in put(broker, "orders", "one")
    broker.kill()
    assert broker.pid is None
    assert not is_alive(first)
    assert not listening(broker)
    broker.start()
    assert broker.port == port
    assert broker.pid not in {None, first}
    assert broker.queue_stat()["orders"].messages == 1
    broker.restart()
    stat = broker.queue_stat()["orders"]
    assert (stat.address, stat.messages, stat.consumers) == ("orders", 1, 0)
    # Once at each start.
    assert broker.log.read_text().count("AMQ221007") == 3


def test_close_leaves_nothing(tmp_path: Path, make_artemis: Callable[..., Artemis]):
    broker = make_artemis()
    pid = broker.pid
    assert pid
    assert broker.folder.is_relative_to(tmp_path)
    broker.close()
    broker.close()
    assert not is_alive(pid)
    assert not broker.folder.exists()


def test_listens_on_loopback_alone(private_artemis: Artemis):
    assert private_artemis.host == "127.0.0.1"
    table = Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()
    suffix = f":{private_artemis.port:04X}"
    rows = [line.split() for line in table.splitlines()]
    addresses = {row[1].removesuffix(suffix) for row in rows if row[1].endswith(suffix) and row[3] == "0A"}
    assert addresses
    assert addresses <= {"0100007F", "0000000000000000FFFF00000100007F"}


def test_a_restricted_user_and_settings(make_artemis: Callable[..., Artemis]):
    broker = make_artemis(
        users=[User(name="reader", password="reader-secret", permissions=frozenset({"consume"}))],
        address_settings={"max-delivery-attempts": "3", "redelivery-delay": "1"},
    )
    text = (broker.folder / "etc" / "broker.xml").read_text()
    assert "<max-delivery-attempts>3</max-delivery-attempts>" in text
    assert "<redelivery-delay>1</redelivery-delay>" in text
    put(broker, "orders", "one")
    broker.user, broker.password = "reader", "reader-secret"
    # The broker's own client ends with 0 there.
    assert "Produced" not in put(broker, "orders", "two")
    output = broker.cli(
        "consumer", "--destination", "queue://orders", "--message-count", "1", "--receive-timeout", "10000"
    )
    assert "Consumed: 1 messages" in output


def test_tls(make_artemis: Callable[..., Artemis], tmp_path: Path):
    keystore, certificate = tmp_path / "broker.p12", tmp_path / "broker.pem"
    subprocess.run(
        [
            *("keytool", "-genkeypair", "-alias", "broker", "-keyalg", "EC", "-dname", "CN=localhost"),
            *("-ext", "SAN=ip:127.0.0.1", "-storetype", "PKCS12", "-keystore", keystore, "-storepass", "changeit"),
        ],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *("keytool", "-exportcert", "-rfc", "-alias", "broker", "-keystore", keystore, "-storepass", "changeit"),
            *("-file", certificate),
        ],
        check=True,
        capture_output=True,
    )
    broker = make_artemis(tls=Tls(keystore=keystore, password="changeit"))
    context = ssl.create_default_context(cafile=certificate)
    with (
        socket.create_connection((broker.host, broker.tls_port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=broker.host) as secure,
    ):
        secure.sendall(b"AMQP\x00\x01\x00\x00")
        assert secure.recv(4) == b"AMQP"
    assert listening(broker)


def test_says_why_it_does_not_come_up(tmp_path: Path, artemis: Artemis):
    assert artemis.pid
    broker = Artemis(folder=tmp_path / "broker")
    with socket.create_server((broker.host, broker.port)):
        with pytest.raises(ArtemisError, match="did not come up; see ") as caught:
            broker.start()
        assert broker.pid is None
    log = Path(str(caught.value).rpartition(" ")[2])
    assert "Address already in use" in log.read_text()
    broker.close()


@pytest.mark.parametrize("version", [None, 'echo openjdk version \\"11.0.2\\" >&2'])
def test_says_why_it_can_not_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str | None):
    java = tmp_path / "bin" / "java"
    if version:
        java.parent.mkdir()
        java.write_text(f"#!/bin/sh\n{version}\n")
        java.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    expected = f"{java} is no Java 17 or later" if version else f"{java} can't be run: "
    assert (Artemis.unavailable() or "").startswith(expected)


def test_a_failing_command_is_an_error_without_the_password(artemis: Artemis, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(artemis, "password", "wrong-secret")
    with pytest.raises(ArtemisError, match="Unable to validate user") as caught:
        put(artemis, "orders", "one")
    assert "wrong-secret" not in str(caught.value)
