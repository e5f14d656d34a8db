"""`EventingModule`: the manager as the injector's singleton, started and published in the right order."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from injector import Injector, inject, singleton

from eventing_core import EnvelopePipeline, EventListener, EventManager, Retry, event_listener
from eventing_core.errors import BrokerConnectionError, ConfigError, ListenerCreationError
from eventing_core.injector import EventingModule
from eventing_core.memory import MemoryProvider
from eventing_core.provider import Observer
from tests.unit.injection_fixtures import Greeter, Greeting, Hello, Needy, Unregistered


@event_listener(Hello)
class Answering(EventListener[Hello]):
    """Injects the manager that it works for."""

    def __init__(self, manager: EventManager, greeter: Greeter) -> None:
        self.manager = manager
        self.state_when_made = manager.health().state
        self.done = threading.Event()

    def on(self, event: Hello) -> None:
        if event.world == "question":
            self.manager.send_event(Hello("answer"))
        else:
            self.done.set()


@singleton
class Service:
    @inject
    def __init__(self, manager: EventManager) -> None:
        self.manager = manager


@event_listener(Hello)
class Using(EventListener[Hello]):
    """Injects a singleton that injects the manager."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def on(self, event: Hello) -> None:
        """Do nothing."""


def module(**arguments: Any) -> EventingModule:
    return EventingModule(**{"provider": MemoryProvider("server"), "pipelines": [], "listeners": [], **arguments})


@pytest.fixture
def managers() -> Iterator[list[EventManager]]:
    """Managers to stop at the end."""
    managers: list[EventManager] = []
    yield managers
    for manager in managers:
        manager.stop()


def test_a_started_singleton_whose_environment_is_the_injector(managers: list[EventManager]) -> None:
    def bind(binder: Any) -> None:
        binder.bind(Greeter, to=Greeter, scope=singleton)

    class Watching(EnvelopePipeline):
        def __init__(self, greeter: Greeter, manager: EventManager) -> None:
            self.greeter = greeter
            self.manager = manager
            pipelines.append(self)

    pipelines: list[Watching] = []
    environment = Injector([module(listeners=[Answering], pipelines=[Watching]), bind])
    manager = environment.get(EventManager)
    managers.append(manager)
    assert manager.health().state == "started"
    assert environment.get(EventManager) is manager
    assert manager._environment is environment
    (pipeline,) = pipelines
    assert pipeline.greeter is environment.get(Greeter)
    assert pipeline.manager is manager


def test_a_listener_injects_the_manager_that_makes_it(managers: list[EventManager]) -> None:
    class Bound(Answering):
        pass

    made: list[Bound] = []

    def bind(binder: Any) -> None:
        def make(manager: EventManager, greeter: Greeter) -> Bound:
            made.append(Bound(manager, greeter))
            return made[-1]

        binder.bind(Bound, to=inject(make))

    bound: Any = event_listener(Hello)(Bound)
    environment = Injector([module(listeners=[bound]), bind])
    manager = environment.get(EventManager)
    managers.append(manager)
    (listener,) = made
    assert listener.manager is manager
    assert listener.state_when_made == "starting"
    manager.send_event(Hello("question"))
    assert listener.done.wait(10)


def test_first_asked_for_by_another_constructor(managers: list[EventManager]) -> None:
    environment = Injector([module(listeners=[Answering])])
    service = environment.get(Service)
    managers.append(service.manager)
    assert environment.get(EventManager) is service.manager


def test_children_share_it_and_it_belongs_to_the_parent(managers: list[EventManager]) -> None:
    parent = Injector([module()])
    child = parent.create_child_injector()
    manager = child.get(EventManager)
    managers.append(manager)
    assert parent.get(EventManager) is manager
    assert manager._environment is parent


def test_injectors_do_not_share_it(managers: list[EventManager]) -> None:
    shared = EventingModule(provider="memory", listeners=[], pipelines=[])
    first, second = (Injector([shared]).get(EventManager) for _ in range(2))
    managers += [first, second]
    assert first is not second


def test_many_threads_get_one_started_manager(managers: list[EventManager]) -> None:
    barrier = threading.Barrier(8)
    opened = []

    class Counting(MemoryProvider):
        def open(self, observer: Observer) -> None:
            opened.append(1)
            super().open(observer)

    def bind(binder: Any) -> None:
        binder.bind(Greeter, to=Greeter, scope=singleton)

    environment = Injector([module(provider=Counting("server"), listeners=[Answering]), bind])

    def get(number: int) -> tuple[EventManager, str]:
        barrier.wait(10)
        # Half of them through a singleton, which takes the injector's lock first.
        manager = environment.get(Service).manager if number % 2 else environment.get(EventManager)
        return manager, manager.health().state

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(get, range(8), timeout=30))
    managers.append(results[0][0])
    assert len({id(manager) for manager, _ in results}) == 1
    assert {state for _, state in results} == {"started"}
    assert len(opened) == 1


def test_a_service_between_manager_and_listener(managers: list[EventManager]) -> None:
    environment = Injector([module(listeners=[Using])])
    with pytest.raises(ListenerCreationError, match=r"CircularDependency.*\nAsk the injector for EventManager first"):
        environment.get(Service)
    # In the order that the error asks for:
    manager = environment.get(EventManager)
    managers.append(manager)
    assert environment.get(Service).manager is manager


def test_a_failed_start_raises_and_the_next_get_tries_anew(managers: list[EventManager]) -> None:
    failures = [BrokerConnectionError("by intent")]

    class Flaky(MemoryProvider):
        def open(self, observer: Observer) -> None:
            if failures:
                raise failures.pop()
            super().open(observer)

    environment = Injector([module(provider=Flaky("server"), listeners=[Answering])])
    with pytest.raises(BrokerConnectionError, match="by intent"):
        environment.get(EventManager)
    manager = environment.get(EventManager)
    managers.append(manager)
    assert manager.health().state == "started"


def test_a_listener_that_can_not_be_made_leaves_nothing_behind(managers: list[EventManager]) -> None:
    threads = set(threading.enumerate())
    environment = Injector([module(listeners=[Answering, Needy])])
    with pytest.raises(ListenerCreationError, match="no Unregistered for its parameter 'dependency'"):
        environment.get(EventManager)
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    assert set(threading.enumerate()) <= threads
    environment.binder.bind(Unregistered, to=Unregistered(1))
    manager = environment.get(EventManager)
    managers.append(manager)
    assert manager.health().state == "started"


@pytest.mark.parametrize("provider", [None, "memory"])
def test_from_a_configuration(
    provider: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, managers: list[EventManager]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "settings.toml"
    path.write_text("provider = 'memory'\nworkers = 2\nmax_in_flight = 7")
    environment = Injector([EventingModule(path, provider=provider, listeners=[], pipelines=[], workers=3)])
    manager = environment.get(EventManager)
    managers.append(manager)
    assert (manager._options.workers, manager._options.max_in_flight) == (3, 7)


def test_wrong_configuration_surfaces_at_get() -> None:
    environment = Injector([EventingModule(provider="memory", wrokers=3)])
    with pytest.raises(ConfigError, match="did you mean 'workers'"):
        environment.get(EventManager)


def test_a_file_and_a_ready_provider_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match="not both"):
        EventingModule("eventing.toml", provider=MemoryProvider("server"))


def test_keys_of_a_configuration_and_a_ready_provider_exclude_each_other() -> None:
    with pytest.raises(ConfigError, match=r"it can't have strict, workers\. Pass options=Options"):
        EventingModule(provider=MemoryProvider("server"), workers=3, strict=True, retry=Retry())


def test_a_provider_has_to_be_a_name_or_an_object() -> None:
    with pytest.raises(ConfigError, match="not the class MemoryProvider"):
        EventingModule(provider=MemoryProvider)  # type: ignore[arg-type]


def test_the_manager_drains_at_exit() -> None:
    code = """
from dataclasses import dataclass
import threading
import time
from injector import Injector
from eventing_core import EventListener, EventManager, event, event_listener
from eventing_core.injector import EventingModule

@event()
@dataclass
class Hello:
    world: str

begun = threading.Event()
go_on = threading.Event()

class Greeter:
    def greet(self, world: str) -> None:
        begun.set()
        go_on.wait(10)
        print("handled", world)

@event_listener(Hello)
class HelloListener(EventListener[Hello]):
    def __init__(self, greeter: Greeter):
        self.greeter = greeter

    def on(self, event: Hello):
        self.greeter.greet(event.world)

manager = Injector([EventingModule(provider="memory")]).get(EventManager)
manager.send_event(Hello("world"))
begun.wait(10)

def release():
    while manager.health().state != "stopping":
        time.sleep(0.01)
    go_on.set()

# The listener only goes on once the exit has begun.
threading.Thread(target=release, daemon=True).start()
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "handled world\n", "")


def test_without_the_package_the_error_has_the_pip_line() -> None:
    code = """
import sys
sys.modules["injector"] = None
try:
    import eventing_core.injector
except ImportError as error:
    print(error)
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "pip install 'eventing-core[injector]'" in result.stdout
    assert Greeting.__init__.__annotations__  # (the fixtures import without it)
