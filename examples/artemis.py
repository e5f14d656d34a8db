"""A throwaway Apache Artemis: fetched by Maven, on a free loopback port, with data of its own.

``python -m examples.artemis`` runs one until Ctrl-C and prints how to connect to it. Needs Java 17 or later, and Maven
for the first time. The broker's files are kept in a cache folder: ``ARTEMIS_CACHE``, or else the user's.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from examples._artemis_home import USER, VERSION, ArtemisError, create, fetch, run, unavailable

__all__ = ["Artemis", "ArtemisError", "QueueStat", "SharedStore", "Tls", "User"]

HOST = "127.0.0.1"

#: What `artemis create` writes, without the protocols that nobody here speaks. ``sslEnabled`` and the like are added.
ACCEPTOR = (
    "tcpSendBufferSize=1048576;tcpReceiveBufferSize=1048576;amqpMinLargeMessageSize=102400;protocols=CORE,AMQP,STOMP;"
    "useEpoll=true;amqpCredits=1000;amqpLowCredits=300;amqpDuplicateDetection=true;supportAdvisory=false;"
    "suppressInternalManagementObjects=false"
)
_CORE = "{urn:activemq:core}"
#: What its log says when it takes connections, and when it waits for another broker's data.
_UP = "AMQ221007"
_WAITS_AS_BACKUP, _WAITS_FOR_STORE = "AMQ221109", "AMQ221034"
#: Below the ports that systems hand out to outgoing connections, which could take ours while the broker is down.
_PORTS = range(20_000, 32_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Another user of the broker.

    Attributes:
        name: and role.
        password: in clear.
        permissions: what the user may do on every address: ``send``, ``consume``, ``browse``, ``manage``,
            ``createAddress``, ``createDurableQueue`` and so on.
    """

    name: str
    password: str
    permissions: frozenset[str] = frozenset({"send", "consume"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """A second acceptor, with TLS.

    Attributes:
        keystore: PKCS#12 file with the broker's key and certificate.
        password: of the keystore, and of the truststore.
        truststore: PKCS#12 file with the authorities of client certificates, which are then required.
    """

    keystore: Path
    password: str
    truststore: Path | None = None

    def parameters(self) -> str:
        """The acceptor's parameters."""
        text = f"sslEnabled=true;keyStorePath={self.keystore};keyStorePassword={self.password};keyStoreType=PKCS12"
        if self.truststore:
            text += (
                f";needClientAuth=true;trustStorePath={self.truststore};trustStorePassword={self.password};"
                "trustStoreType=PKCS12"
            )
        return text


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedStore:
    """Data that two brokers share: one serves it, the other takes over when that is gone.

    Attributes:
        folder: where it is.
        backup: the broker waits for it; its `start` returns when it does. The other one has to be started before.
    """

    folder: Path
    backup: bool = False

    def write(self, core: ET.Element) -> None:
        """Have it in ``broker.xml``."""
        for name in ("paging", "bindings", "journal", "large-messages"):
            _find(core, f"{name}-directory").text = str(self.folder / name)
        policy = ET.SubElement(ET.SubElement(core, f"{_CORE}ha-policy"), f"{_CORE}shared-store")
        role = ET.SubElement(policy, f"{_CORE}{'backup' if self.backup else 'primary'}")
        # Also when the other one is stopped in order.
        _add(role, "failover-on-shutdown", "true")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStat:
    """What the broker tells about one queue."""

    name: str
    address: str
    consumers: int
    messages: int
    added: int
    delivering: int
    acknowledged: int
    scheduled: int


class _Life:
    """One run of the broker: what its output told."""

    def __init__(self, *signs: str) -> None:
        self.signs = signs
        self.known = threading.Event()
        self.up = False


class Artemis:
    """One broker. Made with its files at `start`, gone with them at `close`. Not thread-safe.

    Attributes:
        host: always loopback.
        port: speaks AMQP 1.0, STOMP and Artemis's own protocol; the same for life.
        tls_port: the same with TLS; 0 without.
        user: may do everything.
        password: of that user.
        folder: the broker's files.
    """

    def __init__(  # noqa: PLR0913 (keyword-only settings of one broker)
        self,
        *,
        folder: Path | None = None,
        address_settings: Mapping[str, str] | None = None,
        users: Sequence[User] = (),
        password: str = "",
        tls: Tls | None = None,
        store: SharedStore | None = None,
        edit: Callable[[ET.Element], None] | None = None,
        java_memory: str = "512M",
        java_options: str = "",
        short_lived: bool = False,
    ) -> None:
        """Prepare a broker; nothing is made yet.

        Args:
            folder: where its files go, not existing yet; by default a temporary one.
            address_settings: for all addresses, for example ``{"max-delivery-attempts": "3"}``.
            users: beside the one that may do everything.
            password: of the one that may do everything; by default a random one.
            tls: adds an acceptor with TLS.
            store: where its data is, where two brokers share it; by default in its folder.
            edit: changes the ``<core>`` element of ``broker.xml`` at will.
            java_memory: the JVM's ``-Xmx``.
            java_options: more options of the JVM, separated by blanks; the memory's win over what it has otherwise.
            short_lived: its Java is up sooner, and never as fast as it could get.
        """
        self.host = HOST
        self.port, self.tls_port = _free_ports(2 if tls else 1) + ((0,) if not tls else ())
        self.user = USER
        self.password = password or secrets.token_hex(8)
        self.folder = folder or Path(tempfile.mkdtemp(prefix="artemis-")) / "broker"
        self._own_folder = None if folder else self.folder.parent
        self._address_settings = dict(address_settings or {})
        self._users = tuple(users)
        self._tls = tls
        self._store = store
        self._edit = edit
        self._java_memory = java_memory
        self._java_options = java_options
        self._short_lived = short_lived
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @staticmethod
    def unavailable() -> str | None:
        """Say why this machine can't run a broker, or None."""
        return unavailable()

    @property
    def log(self) -> Path:
        """The broker's log; its output, too, of all its lives."""
        return self.folder / "log" / "console.log"

    @property
    def pid(self) -> int | None:
        """Of the broker's JVM; None while it is down."""
        return self._process.pid if self._process else None

    def start(self, timeout: float = 120, *, standby: bool = False) -> None:
        """Start the broker, or start it again with its old data; returns when it takes connections.

        On ``standby`` it returns when the broker waits for a store that another one has.

        Raises:
            ArtemisError: it can't be fetched or made, or is not up within ``timeout`` seconds.
        """
        if self._process:
            return
        if not self.folder.exists():
            self._create()
        life = _Life(_UP, _WAITS_AS_BACKUP, *((_WAITS_FOR_STORE,) if standby else ()))
        # A session of its own: Ctrl-C at the terminal reaches us, and we stop the broker. The script replaces itself
        # by the JVM (exec), so that the process is the JVM.
        self._process = process = subprocess.Popen(
            [self.folder / "bin" / "artemis", "run"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._follow, args=(process, life), name="artemis-log", daemon=True)
        self._reader.start()
        in_time = life.known.wait(timeout)
        if not life.up:
            self.kill()
            what = "did not come up" if in_time else f"was not up within {timeout:g} s"
            msg = f"Artemis {what}; see {self.log}"
            raise ArtemisError(msg)

    def stop(self, timeout: float = 60) -> None:
        """Stop the broker in order: it tells its clients. Killed when it takes longer than ``timeout`` seconds."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """Kill the broker as a crash would (SIGKILL). Its data stays."""
        self._end(signal.SIGKILL, 60)

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    def close(self, *, keep: bool = False) -> None:
        """Stop the broker and remove its files, unless it is to ``keep`` them. Idempotent."""
        self.stop()
        if not keep:
            shutil.rmtree(self._own_folder or self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close(keep=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def cli(self, *arguments: str, timeout: float = 120) -> str:
        """Run a subcommand of ``bin/artemis`` that connects to this broker; return what it prints.

        Raises:
            ArtemisError: it failed. The message holds its output.
        """
        command = [*arguments, "--user", self.user, "--password", self.password]
        if "--url" not in arguments:
            scheme = "amqp" if "AMQP" in arguments else "tcp"
            command += ["--url", f"{scheme}://{self.host}:{self.port}"]
        try:
            return run([self.folder / "bin" / "artemis", *command], timeout)
        except ArtemisError as error:
            raise ArtemisError(str(error).replace(self.password, "***")) from None

    def queue_stat(self) -> dict[str, QueueStat]:
        """What there is in the queues, by their names."""
        text = self.cli("queue", "stat", "--json", "--silent", "--maxRows", "100000")
        rows = json.loads(text[text.index("{") : text.rindex("}") + 1])["data"]
        return {row["name"]: _queue_stat(row) for row in rows}

    def _create(self) -> None:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        create(self.folder, self.password)
        self._write_users()
        self._write_broker()
        profile = self.folder / "etc" / "artemis.profile"
        text = profile.read_text(encoding="utf-8")
        # It would ask for 512 MB at once, however small the maximum is.
        text = re.sub(r"-Xms\S+ -Xmx\S+", f"-Xms64M -Xmx{self._java_memory} {self._java_options}", text)
        if self._short_lived:
            text = text.replace("-XX:+UseG1GC -XX:+UseStringDeduplication", "-XX:+UseSerialGC -XX:TieredStopAtLevel=1")
        profile.write_text(text, encoding="utf-8")

    def _write_users(self) -> None:
        for name, lines in (
            ("artemis-users.properties", [f"{user.name} = {user.password}" for user in self._users]),
            ("artemis-roles.properties", [f"{user.name} = {user.name}" for user in self._users]),
        ):
            with (self.folder / "etc" / name).open("a", encoding="utf-8") as file:
                file.writelines(f"\n{line}" for line in lines)

    def _write_broker(self) -> None:
        path = self.folder / "etc" / "broker.xml"
        tree = ET.parse(path)  # noqa: S314 (the broker wrote it)
        core = _find(tree.getroot(), "core")
        # On a full disk it would block senders for ever; a throwaway broker rather fails.
        _find(core, "max-disk-usage").text = "100"
        acceptors = _find(core, "acceptors")
        acceptors.clear()
        _add(acceptors, "acceptor", f"tcp://{self.host}:{self.port}?{ACCEPTOR}", name="artemis")
        if self._tls:
            parameters = f"{ACCEPTOR};{self._tls.parameters()}"
            _add(acceptors, "acceptor", f"tcp://{self.host}:{self.tls_port}?{parameters}", name="tls")
        catch_all = core.find(f"{_CORE}address-settings/{_CORE}address-setting[@match='#']")
        for key, value in self._address_settings.items():
            for old in catch_all.findall(_CORE + key) if catch_all is not None else ():
                old.text = value
                break
            else:
                if catch_all is not None:
                    _add(catch_all, key, value)
        for permission in core.iterfind(
            f"{_CORE}security-settings/{_CORE}security-setting[@match='#']/{_CORE}permission"
        ):
            roles = [user.name for user in self._users if permission.get("type") in user.permissions]
            permission.set("roles", ",".join([permission.get("roles", ""), *roles]))
        if self._store:
            self._store.write(core)
        if self._edit:
            self._edit(core)
        ET.register_namespace("", "urn:activemq:core")
        tree.write(path, encoding="utf-8", xml_declaration=True)

    def _follow(self, process: subprocess.Popen[str], life: _Life) -> None:
        """Copy the broker's output to its log, and tell when it is up, or gone."""
        assert process.stdout is not None  # noqa: S101 (it is a pipe)
        with process.stdout as lines, self.log.open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if any(sign in line for sign in life.signs):
                    life.up = True
                    life.known.set()
        life.known.set()

    def _end(self, number: signal.Signals, timeout: float) -> None:
        process, self._process = self._process, None
        if not process:
            return
        process.send_signal(number)
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if self._reader:
            self._reader.join()


def _free_ports(number: int) -> tuple[int, ...]:
    """Ports on which nobody listens."""
    with contextlib.ExitStack() as stack:
        ports: list[int] = []
        for port in random.sample(_PORTS, len(_PORTS)):
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
            if len(ports) == number:
                return tuple(ports)
    msg = f"no free port between {_PORTS.start} and {_PORTS.stop}"
    raise ArtemisError(msg)


def _find(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(_CORE + tag)
    if found is None:
        msg = f"broker.xml has no <{tag}>"
        raise ArtemisError(msg)
    return found


def _add(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, _CORE + tag, attributes).text = text


def _queue_stat(row: Mapping[str, Any]) -> QueueStat:
    return QueueStat(
        name=row["name"],
        address=row["address"],
        consumers=int(row["consumerCount"]),
        messages=int(row["messageCount"]),
        added=int(row["messagesAdded"]),
        delivering=int(row["deliveringCount"]),
        acknowledged=int(row["messagesAcked"]),
        scheduled=int(row["scheduledCount"]),
    )


def main() -> int:
    """Run a broker until Ctrl-C, or only fetch it."""
    parser = argparse.ArgumentParser(prog="python -m examples.artemis", description=__doc__)
    parser.add_argument("--fetch", action="store_true", help="only fetch the broker, where it can be run, and end")
    options = parser.parse_args()
    reason = Artemis.unavailable()
    if reason:
        print(reason, file=sys.stderr)
        return 0 if options.fetch else 1
    if options.fetch:
        fetch()
        return 0
    with Artemis() as broker:
        print(f"Artemis {VERSION} on host {broker.host}, port {broker.port}")
        print(f"user {broker.user}, password {broker.password}; log: {broker.log}")
        print("Ctrl-C stops it and removes its data", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
