"""A throwaway RabbitMQ of Debian's, with its STOMP plugin: on free loopback ports, with data of its own."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path

HOST = "127.0.0.1"

#: Where Debian has the scripts that start it as whoever calls them; those in the path change to a user of its own.
_SERVERS = Path("/usr/lib/rabbitmq/lib")


class RabbitMQError(Exception):
    """It could not be started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Another user.

    Attributes:
        name: of the user.
        password: in clear.
        configure: a regular expression of what it may make; ``write`` and ``read`` likewise.
        topics: likewise, which keys of ``amq.topic`` it may write, and read; None: all.
    """

    name: str
    password: str = "secret"
    configure: str = ".*"
    write: str = ".*"
    read: str = ".*"
    topics: tuple[str, str] | None = None


class RabbitMQ:
    """One broker. It has a port mapper of its own, which goes with it.

    Args:
        folder: where its files go.
        certificate: its certificate and key, of a listener with TLS, and the authority's certificate.

    Attributes:
        host: to connect to.
        port: of STOMP; stays the same.
        tls_port: of STOMP over TLS; 0 without a certificate.
        user: who may do everything.
        password: of the user.
        folder: the broker's files.
    """

    def __init__(self, folder: Path, *, certificate: tuple[Path, Path, Path] | None = None) -> None:
        self.host = HOST
        self.port, self._distribution, self._mapper_port, tls_port = _free_ports(4)
        self.tls_port = tls_port if certificate else 0
        self._certificate = certificate
        self.user = "eventing"
        self.password = secrets.token_urlsafe(12)
        self.folder = folder
        self._node: subprocess.Popen[str] | None = None
        self._mapper: subprocess.Popen[bytes] | None = None
        self._reader: threading.Thread | None = None

    @staticmethod
    def unavailable() -> str | None:
        """Why there is none on this machine; None: there is."""
        if _scripts() is None or shutil.which("epmd") is None:
            return "no RabbitMQ here: apt-get install rabbitmq-server"
        return None

    @property
    def log(self) -> Path:
        """The broker's log, of all its lives."""
        return self.folder / "console.log"

    def start(self, timeout: float = 120) -> None:
        """Start the broker, or start it again with its old data; returns when it takes connections.

        Raises:
            RabbitMQError: it is not up within ``timeout`` seconds.
        """
        scripts = _scripts()
        if scripts is None:
            raise RabbitMQError(self.unavailable())
        self._write()
        environment = self._environment()
        self._mapper = subprocess.Popen(["epmd"], env=environment, start_new_session=True)
        # The script replaces itself by the node (exec), so that the process is the node.
        self._node = node = subprocess.Popen(
            [scripts / "rabbitmq-server"],
            env={**environment, "detached": "true"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        known, up = threading.Event(), threading.Event()
        self._reader = threading.Thread(target=self._follow, args=(node, known, up), name="rabbitmq-log", daemon=True)
        self._reader.start()
        known.wait(timeout)
        if not up.is_set():
            self.kill()
            msg = f"RabbitMQ did not come up; see {self.log}"
            raise RabbitMQError(msg)

    def stop(self) -> None:
        """Stop the broker in order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker as a crash would. Its data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    def close(self, *, keep: bool = False) -> None:
        """Stop the broker and remove its files, unless it is to ``keep`` them. Idempotent."""
        self.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    def control(self, *arguments: str) -> str:
        """Run a subcommand of ``rabbitmqctl``; return what it prints."""
        scripts = _scripts()
        assert scripts is not None
        command = [str(scripts / "rabbitmqctl"), "--quiet", *arguments]
        return subprocess.run(command, env=self._environment(), check=True, capture_output=True, text=True).stdout

    def define(self, *users: User) -> None:
        """Make users, all by one command: each takes a second."""
        everyone, exchange = {"vhost": "/"}, {"exchange": "amq.topic"}
        definitions = {
            "users": [{"name": user.name, "password": user.password, "tags": ""} for user in users],
            "permissions": [
                {"user": user.name, "configure": user.configure, "write": user.write, "read": user.read, **everyone}
                for user in users
            ],
            "topic_permissions": [
                {"user": user.name, "write": user.topics[0], "read": user.topics[1], **exchange, **everyone}
                for user in users
                if user.topics is not None
            ],
        }
        path = self.folder / "definitions.json"
        path.write_text(json.dumps(definitions), encoding="utf-8")
        self.control("import_definitions", str(path))

    def _write(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        settings = {
            "listeners.tcp": "none",
            "stomp.listeners.tcp.1": f"{self.host}:{self.port}",
            "default_user": self.user,
            "default_pass": self.password,
            # A throwaway broker rather fails on a full disk than it blocks senders.
            "disk_free_limit.absolute": "1MB",
        }
        if self._certificate is not None:
            certificate, key, authority = self._certificate
            settings |= {
                "stomp.listeners.ssl.1": f"{self.host}:{self.tls_port}",
                "ssl_options.certfile": str(certificate),
                "ssl_options.keyfile": str(key),
                "ssl_options.cacertfile": str(authority),
            }
        text = "".join(f"{key} = {value}\n" for key, value in settings.items())
        (self.folder / "rabbitmq.conf").write_text(text, encoding="utf-8")
        (self.folder / "enabled_plugins").write_text("[rabbitmq_stomp].\n", encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        folder = self.folder
        return {
            **os.environ,
            # For the cookie, which is a secret of this broker and its tools.
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": self.host,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_DIST_PORT": str(self._distribution),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_NODENAME": f"eventing{self.port}@localhost",
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
        }

    def _follow(self, node: subprocess.Popen[str], known: threading.Event, up: threading.Event) -> None:
        assert node.stdout is not None
        with node.stdout as lines, self.log.open("a", encoding="utf-8") as log:
            for line in lines:
                log.write(line)
                log.flush()
                if "startup complete" in line:
                    up.set()
                    known.set()
        known.set()

    def _end(self, number: signal.Signals) -> None:
        node, self._node = self._node, None
        mapper, self._mapper = self._mapper, None
        for process, how in ((node, number), (mapper, signal.SIGTERM)):
            if process is None:
                continue
            process.send_signal(how)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if node is not None and self._reader is not None:
            self._reader.join()


def _scripts() -> Path | None:
    servers = sorted(_SERVERS.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
    return servers[-1].parent if servers else None


def _free_ports(number: int) -> list[int]:
    """Ports on which nobody listens, below those that systems hand out to outgoing connections."""
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < number:
            port = 20_000 + secrets.randbelow(12_000)
            probe = stack.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                ports.append(port)
    return ports
