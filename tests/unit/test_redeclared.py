"""What is declared again: by `importlib.reload`, by a notebook's cell, by a loop."""

from __future__ import annotations

import importlib
import logging
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from eventing_core import DeclarationError, EventManager, declared_listeners, declared_pipelines
from eventing_core.memory import MemoryBroker, MemoryProvider
from eventing_core.testing import isolated_declarations, wait_idle

MODULE = """
from dataclasses import dataclass
from eventing_core import EventListener, EnvelopePipeline, envelope_pipeline, event, event_listener

seen = []

@event()
@dataclass
class Ping:
    number: int

@event_listener(Ping)
class Count(EventListener[Ping]):
    def on(self, event: Ping) -> None:
        seen.append(("class", event.number))

@event_listener(Ping)
def count(event: Ping) -> None:
    seen.append(("function", event.number))

@envelope_pipeline()
class Trace(EnvelopePipeline):
    pass
"""


@pytest.fixture(autouse=True)
def isolated() -> Iterator[None]:
    with isolated_declarations(empty=True):
        yield


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # a second version within one second would not be noticed
    before = set(sys.modules)

    def write_module(name: str, code: str) -> None:
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(code), encoding="utf-8")
        importlib.invalidate_caches()

    yield write_module
    for name in set(sys.modules) - before:
        del sys.modules[name]


def started(**settings: Any) -> EventManager:
    return EventManager(MemoryProvider("here"), **settings)


def test_a_reloaded_module_replaces_what_it_declared(write: Callable[[str, str], None]) -> None:
    write("shop_a", MODULE)
    module = importlib.import_module("shop_a")
    old = declared_listeners()
    importlib.reload(module)
    new = declared_listeners()
    assert [cls.__name__ for cls in new] == ["Count", "count"]
    assert not set(old) & set(new)
    assert new[0] is module.Count
    assert declared_pipelines() == (module.Trace,)
    with started() as manager:
        manager.send_event(module.Ping(1))
        wait_idle(manager)
    assert sorted(module.seen) == [("class", 1), ("function", 1)]


def test_a_reloaded_listener_may_be_changed(write: Callable[[str, str], None]) -> None:
    """Another name or event: the older declaration is gone all the same."""
    write("shop_b", MODULE)
    module = importlib.import_module("shop_b")
    changed = MODULE.replace("@event_listener(Ping)\nclass", '@event_listener(Ping, name="other")\nclass')
    write("shop_b", changed)
    importlib.reload(module)
    with started() as manager:
        assert [row.listener for row in manager.health().listeners] == ["other", "count"]


def test_a_running_manager_takes_the_newer_class_of_an_event(write: Callable[[str, str], None]) -> None:
    write("shop_c", MODULE)
    module = importlib.import_module("shop_c")
    older = module.Ping
    with started() as manager:
        manager.send_event(older(1))
        wait_idle(manager)
        importlib.reload(module)  # in the same namespace: its list is new, also for the older listeners
        manager.send_event(module.Ping(2))
        manager.send_event(older(3))
        wait_idle(manager)
    assert sorted(number for _, number in module.seen) == [2, 2, 3, 3]


def run_cell(code: str, namespace: dict[str, Any], number: int = 1) -> None:
    exec(compile(textwrap.dedent(code), f"<cell {number}>", "exec"), namespace)  # noqa: S102 (as a notebook does)


def test_a_cell_that_runs_again_replaces_what_it_declared() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for _ in range(3):
        run_cell(MODULE, namespace)
    assert [cls.__name__ for cls in declared_listeners()] == ["Count", "count"]
    with started() as manager:
        manager.send_event(namespace["Ping"](1))
        wait_idle(manager)
    assert len(namespace["seen"]) == 2


def test_only_the_cell_of_the_listener_runs_again() -> None:
    """And it is still for the event of the other cell."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    run_cell(MODULE, namespace)
    run_cell(
        """
        @event_listener(Ping, name="renamed")
        class Count(EventListener[Ping]):
            def on(self, event):
                seen.append(("newer", event.number))
        """,
        namespace,
    )
    with started() as manager:
        manager.send_event(namespace["Ping"](1))
        wait_idle(manager)
    assert sorted(namespace["seen"]) == [("function", 1), ("newer", 1)]


def test_only_the_cell_of_the_event_runs_again() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    run_cell(MODULE, namespace)
    run_cell("@event()\n@dataclass\nclass Ping:\n    number: int\n    unit: str = ''\n", namespace)
    with started() as manager:
        manager.send_event(namespace["Ping"](1, "kg"))
        wait_idle(manager)
    assert sorted(namespace["seen"]) == [("class", 1), ("function", 1)]


def test_a_function_takes_the_place_of_a_class_of_its_name() -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    run_cell(MODULE, namespace)
    run_cell("@event_listener(Ping)\ndef Count(event):\n    pass\n", namespace)
    with started() as manager:
        assert [row.listener for row in manager.health().listeners] == ["count", "Count"]


def test_a_decorator_that_is_called_by_another_module(write: Callable[[str, str], None]) -> None:
    write(
        "shop_shorthand",
        """
        from eventing_core import event_listener

        def listens(event):
            def declare(listener):
                return event_listener(event)(listener)
            return declare
        """,
    )
    code = MODULE.replace("@event_listener(", "@listens(").replace("seen = []", "from shop_shorthand import listens")
    write("shop_d", code)
    module = importlib.import_module("shop_d")
    importlib.reload(module)
    assert declared_listeners()[0] is module.Count
    assert len(declared_listeners()) == 2


def test_a_loop_declares_for_several_events(caplog: pytest.LogCaptureFixture) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    run_cell(MODULE, namespace)
    loop = """
    @event()
    @dataclass
    class Pong:
        number: int

    for kind in (Ping, Pong):
        @event_listener(kind)
        class Audit(EventListener[kind]):
            def on(self, event):
                pass
    """
    run_cell(loop, namespace)
    run_cell(loop, namespace)
    with started() as manager:
        rows = [(row.listener, row.event) for row in manager.health().listeners]
    assert rows == [("Count", "Ping"), ("count", "Ping"), ("Audit", "Ping"), ("Audit", "Pong")]
    assert "declared twice" not in caplog.text


def test_a_loop_that_declares_the_same_queue_twice_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    namespace: dict[str, Any] = {"__name__": "__main__"}
    run_cell(MODULE, namespace)
    run_cell(
        """
        for number in range(2):
            @event_listener(Ping)
            def audit(event, *, number=number):
                seen.append(("audit", number))
        """,
        namespace,
    )
    with started() as manager:
        manager.send_event(namespace["Ping"](1))
        wait_idle(manager)
    assert ("audit", 1) in namespace["seen"]
    assert ("audit", 0) not in namespace["seen"]
    assert "__main__.audit was declared twice by the same code for the same queue" in caplog.text


def test_different_classes_of_one_name_stay_an_error(write: Callable[[str, str], None]) -> None:
    write("shop_e", MODULE)
    write("shop_f", MODULE)
    one, two = importlib.import_module("shop_e"), importlib.import_module("shop_f")
    with pytest.raises(DeclarationError, match=r"two events are named 'Ping': shop_e.Ping and shop_f.Ping"):
        started().start()
    with started(listeners=[]) as manager:
        manager.send_event(one.Ping(1))
        with pytest.raises(DeclarationError, match=r"two events are named 'Ping'"):
            manager.send_event(two.Ping(1))


def test_different_listeners_of_one_name_stay_an_error(write: Callable[[str, str], None]) -> None:
    write("shop_g", MODULE)
    importlib.import_module("shop_g")
    write("shop_h", "from shop_g import *\n" + MODULE[MODULE.index("@event_listener(Ping)\nclass") :])
    importlib.import_module("shop_h")
    with pytest.raises(DeclarationError, match=r"are named 'Count': shop_g.Count and shop_h.Count"):
        started().start()


def test_classes_that_are_given_are_not_replaced(write: Callable[[str, str], None]) -> None:
    write("shop_i", MODULE)
    module: ModuleType = importlib.import_module("shop_i")
    older = module.Count
    importlib.reload(module)
    with started(listeners=[older]) as manager:
        assert [row.listener for row in manager.health().listeners] == ["Count"]
    with pytest.raises(DeclarationError, match="two listeners"):
        started(listeners=[older, module.Count]).start()


def test_declarations_survive_within_a_broker_of_several_managers(
    write: Callable[[str, str], None], caplog: pytest.LogCaptureFixture
) -> None:
    """A manager that was started before the reload goes on with the older listener, a newer one with the newer."""
    caplog.set_level(logging.INFO)
    write("shop_j", MODULE)
    module = importlib.import_module("shop_j")
    broker = MemoryBroker()
    with EventManager(MemoryProvider("one", broker)) as first:
        importlib.reload(module)
        with EventManager(MemoryProvider("two", broker)) as second:
            for number in range(20):
                second.send_event(module.Ping(number))
            wait_idle([first, second])
    assert len(module.seen) == 40
