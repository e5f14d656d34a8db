"""Which listeners a manager runs."""

from __future__ import annotations

import importlib
import logging
import sys
import textwrap
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from eventing_core import ConfigError, DeclarationError, EventListener, EventManager, event, event_listener
from eventing_core.memory import MemoryProvider
from eventing_core.testing import isolated_declarations

NOTHING = "no listener is declared, so nothing will be received."


@event()
@dataclass
class Ping:
    number: int


LISTENER = """
from eventing_core import EventListener, event_listener
from tests.unit.test_finding import Ping

@event_listener(Ping{name})
class Count(EventListener[Ping]):
    def on(self, event: Ping) -> None:
        pass
"""


@pytest.fixture(autouse=True)
def isolated() -> Iterator[None]:
    with isolated_declarations(empty=True):
        yield


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write_module(name: str, code: str = "", listener: str = "") -> None:
        path = tmp_path.joinpath(*name.split("."))
        path.parent.mkdir(exist_ok=True)
        code = textwrap.dedent(code) + (LISTENER.format(name=f", name={listener!r}") if listener else "")
        path.with_suffix(".py").write_text(code, encoding="utf-8")
        importlib.invalidate_caches()

    yield write_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def manager(**settings: Any) -> EventManager:
    return EventManager(MemoryProvider("here"), **settings)


def names(started: EventManager) -> list[str]:
    return [row.listener for row in started.health().listeners]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_none_at_all_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with manager() as started:
        assert names(started) == []
    (text,) = [text for text in warnings(caplog) if text.startswith(NOTHING)]
    assert 'listeners = ["orders.listeners"]' in text
    assert "listeners = []" in text


def test_none_on_purpose_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with manager(listeners=[]):
        pass
    with EventManager.from_config(provider="memory", listeners=[]):
        pass
    assert warnings(caplog) == []


def test_modules_are_imported_at_start(write: Callable[..., None]) -> None:
    write("depot_a", listener="a")
    made = manager(listeners=["depot_a"])
    assert "depot_a" not in sys.modules
    with made as started:
        assert names(started) == ["a"]


def test_a_package_brings_what_it_imports(write: Callable[..., None]) -> None:
    write("depot_b.__init__", "from depot_b import one, two")
    write("depot_b.one", listener="one")
    write("depot_b.two", listener="two")
    write("depot_b.three", listener="three")
    with manager(listeners=["depot_b"]) as started:
        assert names(started) == ["one", "two"]
    with manager(listeners=["depot_b.three"]) as started:
        assert names(started) == ["three"]


def test_listeners_of_other_modules_are_left_out_and_named(
    write: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write("depot_c", listener="c")
    write("depot_cc", listener="cc")
    importlib.import_module("depot_cc")
    with manager(listeners=["depot_c"]) as started:
        assert names(started) == ["c"]
    assert "not started, because 'listeners' names only depot_c: depot_cc.Count" in caplog.text


def test_modules_classes_and_functions_together(write: Callable[..., None]) -> None:
    write("depot_d", listener="d")

    @event_listener(Ping)
    def own(event: Ping) -> None: ...

    @event_listener(Ping)
    class Own(EventListener[Ping]):
        def on(self, event: Ping) -> None: ...

    with manager(listeners=[own, "depot_d", Own]) as started:
        assert names(started) == ["own", "d", "Own"]
    module = importlib.import_module("depot_d")
    with manager(listeners=["depot_d", module.Count]) as started:
        assert names(started) == ["d"]


def test_a_module_that_was_imported_in_another_test(write: Callable[..., None]) -> None:
    write("depot_e", listener="e")
    with isolated_declarations():
        importlib.import_module("depot_e")
    with manager(listeners=["depot_e"]) as started:
        assert names(started) == ["e"]


def test_functions_of_such_a_module(write: Callable[..., None]) -> None:
    write(
        "depot_f",
        """
        from eventing_core import event_listener
        from tests.unit.test_finding import Ping

        @event_listener(Ping)
        async def f(event: Ping) -> None:
            pass
        """,
    )
    with isolated_declarations():
        importlib.import_module("depot_f")
    with manager(listeners=["depot_f"]) as started:
        assert names(started) == ["f"]


def test_listeners_that_no_name_of_the_module_leads_to(write: Callable[..., None]) -> None:
    write(
        "depot_n",
        """
        from eventing_core import event_listener
        from tests.unit.test_finding import Ping

        def declare(name):
            @event_listener(Ping, name=name)
            def anonymous(event: Ping) -> None:
                pass

        declare("n1")
        declare("n2")
        """,
    )
    with manager(listeners=["depot_n"]) as started:
        assert names(started) == ["n1", "n2"]


def test_a_module_without_listeners_is_warned_of(write: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    write("depot_g", "x = 1")
    with manager(listeners=["depot_g"]):
        pass
    [warning] = warnings(caplog)
    assert warning.startswith("listeners: the module depot_g declares no listener. Put @event_listener(")


@pytest.mark.parametrize(
    ("code", "cause", "text"),
    [
        (None, ModuleNotFoundError, "No module named 'depot_h'"),
        ("import depot_missing", ModuleNotFoundError, "No module named 'depot_missing'"),
        ("def broken(:", SyntaxError, "invalid syntax"),
        ("raise RuntimeError('no database')", RuntimeError, "no database"),
        ("from dataclasses import datclass", ImportError, "cannot import name 'datclass'"),
    ],
)
def test_a_module_that_cannot_be_imported(
    write: Callable[..., None], code: str | None, cause: type[Exception], text: str
) -> None:
    if code is not None:
        write("depot_h", code)
    broken = manager(listeners=["depot_h"])
    with pytest.raises(ConfigError) as refusal:
        broken.start()
    assert f"listeners: the module 'depot_h' can't be imported: {cause.__name__}: " in str(refusal.value)
    assert text in str(refusal.value)
    assert isinstance(refusal.value.__cause__, cause)
    assert broken.health().state == "stopped"


@pytest.mark.parametrize("name", ["", ".listeners", "orders..listeners", "orders/listeners.py", "orders.listeners:app"])
def test_what_cannot_be_a_modules_name(name: str) -> None:
    with pytest.raises(ConfigError, match=r"listeners\[0\]: .* is not a valid module name"):
        manager(listeners=[name])


def test_one_name_instead_of_a_list() -> None:
    with pytest.raises(DeclarationError, match="listeners must be a list"):
        manager(listeners="orders.listeners")


def test_a_module_that_is_named_twice() -> None:
    with pytest.raises(DeclarationError, match=r"listeners names the module a\.b twice"):
        manager(listeners=["a.b", "a.b"])


def test_the_setting(write: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("depot_k", listener="k")
    write("depot_l", listener="l")
    file = tmp_path / "eventing.toml"
    file.write_text('provider = "memory"\nlisteners = ["depot_k"]\n', encoding="utf-8")
    with EventManager.from_config(file) as started:
        assert names(started) == ["k"]
    for value in ("depot_l,depot_k", '["depot_l", "depot_k"]', "depot_l, depot_k"):
        monkeypatch.setenv("EVENTING_LISTENERS", value)
        with EventManager.from_config(file) as started:
            assert names(started) == ["l", "k"]
    with EventManager.from_config(file, listeners=["depot_k"]) as started:
        assert names(started) == ["k"]


@pytest.mark.parametrize("value", ["orders-listeners", "orders.listeners,", "[1]"])
def test_a_wrong_setting(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTING_LISTENERS", value)
    with pytest.raises(ConfigError, match="EVENTING_LISTENERS"):
        EventManager.from_config(provider="memory")


def test_a_listener_without_a_decorator_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    class Forgotten(EventListener[Ping]):
        def on(self, event: Ping) -> None: ...

    with manager():
        pass
    (text,) = [text for text in warnings(caplog) if "Forgotten" in text]
    assert text == (
        f"{__name__}.test_a_listener_without_a_decorator_is_warned_of.<locals>.Forgotten is an EventListener without a "
        "decorator, so it doesn't run: put @event_listener(...) on it"
    )
    caplog.clear()
    with manager(listeners=[]):  # on purpose
        pass
    assert warnings(caplog) == []


def test_a_forgotten_one_in_a_named_module(write: Callable[..., None], caplog: pytest.LogCaptureFixture) -> None:
    code = LISTENER.format(name="").replace("@event_listener", "# @event_listener")
    write("depot_m", code)
    with manager(listeners=["depot_m"]):
        pass
    assert "depot_m.Count is an EventListener without a decorator" in caplog.text


T = TypeVar("T")


class Abstract(EventListener[Ping]):
    @abstractmethod
    def more(self) -> None: ...


class Open(EventListener[T]):
    def on(self, event: T) -> None: ...


def test_bases_of_others_are_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    class Base(EventListener[Ping]):
        def on(self, event: Ping) -> None: ...

    @event_listener(Ping)
    class Derived(Base): ...

    with manager() as started:
        assert names(started) == ["Derived"]
    # Other tests leave classes of their own behind.
    assert not [text for text in warnings(caplog) if text.startswith(__name__) and "Forgotten" not in text]


def test_what_a_decorator_made_anew_is_not_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    @event_listener(Ping)
    @dataclass(slots=True)
    class Slotted(EventListener[Ping]):
        url: str = ""

        def on(self, event: Ping) -> None: ...

    with manager() as started:
        assert names(started) == ["Slotted"]
    assert not any("Slotted" in text for text in warnings(caplog))
