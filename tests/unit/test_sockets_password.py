"""Passwords that are asked for anew: from a file, from a function, and what becomes of those that can't be had."""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from eventing_amqp import AmqpConfig, AMQProvider
from eventing_core import EventManager
from eventing_core.errors import AuthenticationError, ConfigError, ConnectTimeoutError, HostNotFoundError
from eventing_stomp import StompConfig, StompProvider
from tests.support.handshakes import Gate
from tests.support.waiting import until

SECRET, NEXT = "hunter2-tr0ub4dor", "hunter3-tr0ub4dor"
PROVIDERS: dict[str, Any] = {"amqp": AMQProvider, "stomp": StompProvider}
QUICK = {"backoff_initial": 0.01, "backoff_max": 0.02}


@pytest.fixture(params=PROVIDERS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def gate(kind: str) -> Iterator[Gate]:
    made = Gate(kind)
    yield made
    made.close()


@pytest.fixture
def make(kind: str, gate: Gate) -> Iterator[Callable[..., Any]]:
    """``make(**settings)``: a provider for the gate, closed after the test."""
    made: list[Any] = []

    def make(**settings: Any) -> Any:
        made.append(PROVIDERS[kind]("server", "127.0.0.1", gate.port, "orders", **QUICK, **settings))
        return made[-1]

    yield make
    for provider in made:
        provider.close(0.5)


def sent(kind: str, password: str) -> bytes:
    """As it is on the wire."""
    return f"\0orders\0{password}".encode() if kind == "amqp" else f"\npasscode:{password}\n".encode()


def wait_heard(gate: Gate, index: int, what: bytes) -> None:
    until(lambda: len(gate.heard) > index and what in gate.heard[index], lambda: repr(gate.heard), 10)


def shown(*things: object) -> str:
    return "".join(f"{thing!r} {thing}" for thing in things)


# -- for each connection anew -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_file_is_read_for_each_connection(
    kind: str, gate: Gate, make: Callable[..., Any], tmp_path: Path, end: str, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "password"
    file.write_bytes(f"{SECRET}{end}".encode())
    provider = make(password_file=file)
    provider.open(lambda *_: None)
    wait_heard(gate, 0, sent(kind, SECRET))
    file.write_bytes(f"{NEXT}{end}".encode())
    gate.hang_up()
    wait_heard(gate, 1, sent(kind, NEXT))
    until(lambda: provider.health().generation == 2, "the second connection", 10)
    for secret in (SECRET, NEXT):
        assert secret not in caplog.text + shown(provider, provider.config, provider.health())


def test_a_function_is_called_for_each_connection_on_a_thread_of_its_own(
    kind: str, gate: Gate, make: Callable[..., Any], caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.DEBUG)
    passwords, threads = [NEXT, SECRET], list[str]()

    def ask() -> str:
        threads.append(threading.current_thread().name)
        return passwords.pop()

    provider = make(password=ask)
    provider.open(lambda *_: None)
    wait_heard(gate, 0, sent(kind, SECRET))
    gate.hang_up()
    wait_heard(gate, 1, sent(kind, NEXT))
    assert len(threads) == 2
    assert all(name.endswith("-connect") for name in threads)
    for secret in (SECRET, NEXT):
        assert secret not in caplog.text + shown(provider, provider.config, provider.config.model_dump())


def test_where_there_is_no_broker_nobody_is_asked(make: Callable[..., Any], kind: str):
    provider = PROVIDERS[kind]("server", "no-such-host.invalid", 1, "orders", password=lambda: pytest.fail("asked"))
    with pytest.raises(HostNotFoundError):
        provider.open(lambda *_: None)


# -- what can't be had ------------------------------------------------------------------------------------------------


def refused(provider: Any) -> AuthenticationError:
    with pytest.raises(AuthenticationError) as refusal:
        provider.open(lambda *_: None)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))
    assert "127.0.0.1:" in str(refusal.value)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("eventing-")]
    return refusal.value


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "can't be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (SECRET.encode() + b"\xff", "isn't UTF-8"),
        (f"{SECRET}\0x".encode(), "contains"),
    ],
)
def test_a_file_without_a_password(make: Callable[..., Any], tmp_path: Path, content: bytes | None, text: str):
    file = tmp_path / "the-file"
    if content is not None:
        file.write_bytes(content)
    error = refused(make(password_file=file))
    assert text in str(error)
    assert "the-file" in str(error)


@pytest.mark.parametrize("kind", ["stomp"], indirect=True)
@pytest.mark.parametrize("password", [f"x\npasscode:{SECRET}", f"{SECRET}\r", f"{SECRET}\n\n"])
def test_line_breaks_in_a_password_of_a_first_frame(
    gate: Gate, make: Callable[..., Any], tmp_path: Path, password: str
):
    file = tmp_path / "the-file"
    file.write_text(password, newline="")
    for provider in (make(password=lambda: password), make(password_file=file)):
        assert "contains a line break" in str(refused(provider))
    assert not any(gate.heard)


@pytest.mark.parametrize(
    ("answer", "text"),
    [("", "an empty string"), (None, "NoneType"), (SECRET.encode(), "bytes"), (f"{SECRET}\ud800", "lone surrogate")],
)
def test_a_function_that_returns_no_password(make: Callable[..., Any], answer: Any, text: str):
    assert text in str(refused(make(password=lambda: answer)))


@pytest.mark.parametrize("problem", [OSError("the vault is sealed"), SystemExit(SECRET[:4]), ValueError()])
def test_a_function_that_raises(make: Callable[..., Any], problem: BaseException):
    def ask() -> str:
        raise problem

    error = refused(make(password=ask))
    assert error.__cause__ is problem
    # Its text may hold anything.
    assert str(error).endswith(f"the password function raised {type(problem).__name__}")


def test_after_the_first_connection_it_is_asked_again(kind: str, gate: Gate, make: Callable[..., Any]):
    answers: list[Any] = [NEXT, None, "", OSError(), SECRET]

    def ask() -> str:
        answer = answers.pop()
        if isinstance(answer, OSError):
            raise answer
        return answer  # type: ignore[no-any-return]

    lost: list[Exception | None] = []
    provider = make(password=ask)
    provider.open(lambda _, error: lost.append(error))
    gate.hang_up()
    until(lambda: provider.health().generation == 2, "the second connection", 10)
    assert not answers
    wait_heard(gate, len(gate.heard) - 1, sent(kind, NEXT))


def test_a_function_that_hangs(make: Callable[..., Any]):
    go_on = threading.Event()

    def ask() -> str:
        go_on.wait(20)
        return SECRET

    with pytest.raises(ConnectTimeoutError, match="or the password not obtained"):
        make(password=ask, connect_timeout=0.1).open(lambda *_: None)
    go_on.set()
    until(lambda: not [one for one in threading.enumerate() if one.name.startswith("eventing-")], "its thread ends", 10)


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"password": lambda: SECRET}, "password is set, but user is not"),
        ({"password_file": "f"}, "password_file is set, but user is not"),
        (
            {"user": "u", "password": SECRET, "password_file": "f"},
            "password and password_file are both set: remove one of them",
        ),
        (
            {"user": "u", "password": lambda: SECRET, "password_file": "f"},
            "password and password_file are both set: remove one of them",
        ),
    ],
)
def test_settings_that_contradict(kind: str, settings: dict[str, Any], text: str):
    with pytest.raises(ConfigError) as refusal:
        PROVIDERS[kind]("server", **settings)
    assert text in str(refusal.value)
    assert SECRET not in "".join(traceback.format_exception(refusal.value))


def test_a_manager_takes_a_function(kind: str, gate: Gate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    table = {"port": gate.port, "host": "127.0.0.1", "user": "orders"}
    settings: dict[str, Any] = {kind: {**table, "password": lambda: SECRET}}
    manager = EventManager.from_config(provider=kind, listeners=[], pipelines=[], **settings)
    with manager:
        wait_heard(gate, 0, sent(kind, SECRET))
    assert SECRET not in shown(manager)


@pytest.mark.parametrize("late", [{"password": lambda: SECRET}, {"password_file": "/no/such/file"}])
def test_a_late_password_is_warned_of_like_any_other(kind: str, late: dict[str, Any], caplog: pytest.LogCaptureFixture):
    provider = PROVIDERS[kind]("server", "127.0.0.1", 1, "u", failover=("no-such-host.invalid:2",), **late)
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"):
        provider.open(lambda *_: None)
    assert caplog.text.count("sent in clear") == 1
    assert "no-such-host.invalid:2: the password is sent in clear" in caplog.text


def test_what_is_derived_is_of_the_password_that_came():
    for config_type in (AmqpConfig, StompConfig):
        config = config_type.of({"user": "u", "password": lambda: SECRET, "host": "h", "failover": ["b"]})
        [_, backup] = config.of_each_broker()
        now = backup.with_password()
        assert now.password.get_secret_value() == SECRET
        assert (now.place.split(":")[0], now.has_password) == ("b", True)
        assert SECRET not in shown(now, backup, config)
