"""Listeners made by dishka, svcs and aspyx, the real packages."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import dishka
import pytest
import svcs

from eventing_core import EventListener, EventManager, event_listener
from eventing_core.errors import ListenerCreationError
from eventing_core.inject._environment import create
from eventing_core.memory import MemoryProvider
from tests.unit.injection_fixtures import Failing, Greeter, Greeting, Hello, Needy, Plain, Session, Unregistered


@event_listener(Hello)
class Answering(EventListener[Hello]):
    """Injects the manager that it works for."""

    def __init__(self, manager: EventManager, greeter: Greeter) -> None:
        self.manager = manager
        self.greeter = greeter
        self.done = threading.Event()

    def on(self, event: Hello) -> None:
        if event.world == "question":
            self.manager.send_event(Hello("answer"))
        else:
            self.done.set()


def converse(manager: EventManager, listener: Answering) -> None:
    """The listener sends by the very manager that runs it."""
    assert listener.manager is manager
    manager.send_event(Hello("question"))
    assert listener.done.wait(10)


# -- dishka -----------------------------------------------------------------------------------------------------------


def dishka_container(*classes: type[Any], scope: dishka.Scope = dishka.Scope.APP) -> dishka.Container:
    provider = dishka.Provider(scope=scope)
    for cls in classes:
        provider.provide(cls)
    return dishka.make_container(provider)


def test_dishka() -> None:
    container = dishka_container(Greeter, Greeting, Session)
    made = create(container, Greeting)
    assert made.greeter is container.get(Greeter)
    assert isinstance(create(container, Session), Session)


def test_dishka_unregistered() -> None:
    with pytest.raises(ListenerCreationError) as caught:
        create(dishka_container(Greeter), Greeting)
    assert "injection_fixtures.Greeting can't be created by the dishka container: NoFactoryError" in str(caught.value)
    assert "provider.provide(Greeting, scope=Scope.APP)" in str(caught.value)
    assert isinstance(caught.value.__cause__, dishka.exceptions.NoFactoryError)


def test_dishka_unregistered_dependency_names_the_parameter() -> None:
    provider = dishka.Provider(scope=dishka.Scope.APP)
    provider.provide(Needy)
    container = dishka.make_container(provider, validation_settings=dishka.ValidationSettings(), skip_validation=True)
    with pytest.raises(ListenerCreationError, match="no Unregistered for its parameter 'dependency'"):
        create(container, Needy)


def test_dishka_narrower_scope() -> None:
    with pytest.raises(ListenerCreationError, match=r"scope=Scope\.APP"):
        create(dishka_container(Plain, scope=dishka.Scope.REQUEST), Plain)


def test_dishka_asynchronous_container() -> None:
    container: Any = dishka.make_async_container(dishka.Provider())
    with pytest.raises(
        ListenerCreationError, match=r"asynchronous dishka container\. Pass one of dishka.make_container"
    ):
        create(container, Plain)


def test_dishka_constructor_that_raises() -> None:
    with pytest.raises(ListenerCreationError, match="ZeroDivisionError: by intent"):
        create(dishka_container(Failing), Failing)


def test_dishka_listener_that_injects_the_manager() -> None:
    provider = dishka.Provider(scope=dishka.Scope.APP)
    provider.provide(Greeter)
    provider.provide(Answering)

    def make(container: dishka.Container) -> EventManager:
        return EventManager(MemoryProvider("server"), environment=container, listeners=[Answering], pipelines=[])

    provider.provide(make)
    container = dishka.make_container(provider)
    with container.get(EventManager) as manager:
        converse(manager, container.get(Answering))


# -- svcs -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def registry() -> Iterator[svcs.Registry]:
    with svcs.Registry() as registry:
        registry.register_factory(Greeter, Greeter)
        yield registry


def test_svcs(registry: svcs.Registry) -> None:
    registry.register_factory(Greeting, lambda svcs_container: Greeting(svcs_container.get(Greeter)))
    with svcs.Container(registry) as container:
        assert create(container, Greeting).greeter is container.get(Greeter)


def test_svcs_unregistered_and_the_line_that_mends_it(registry: svcs.Registry) -> None:
    with svcs.Container(registry) as container:
        with pytest.raises(ListenerCreationError) as caught:
            create(container, Greeting)
        line = str(caught.value).split("its constructor takes: ")[1]
        assert line == (
            "registry.register_factory(Greeting, lambda svcs_container: Greeting(greeter=svcs_container.get(Greeter)))"
        )
        assert isinstance(caught.value.__cause__, svcs.exceptions.ServiceNotFoundError)
        exec(line, {"registry": registry, "Greeting": Greeting, "Greeter": Greeter})  # noqa: S102 (what the error says to write)
        assert isinstance(create(container, Greeting), Greeting)


def test_svcs_registry_instead_of_container(registry: svcs.Registry) -> None:
    environment: Any = registry
    with pytest.raises(ListenerCreationError, match=r"svcs.Registry. Pass svcs.Container\(registry\)"):
        create(environment, Greeting)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_svcs_asynchronous_factory(registry: svcs.Registry) -> None:
    async def make() -> Plain:
        return Plain()

    registry.register_factory(Plain, make)
    with svcs.Container(registry) as container, pytest.raises(ListenerCreationError, match="async"):
        create(container, Plain)


def test_svcs_listener_that_injects_the_manager(registry: svcs.Registry) -> None:
    with svcs.Container(registry) as container:
        manager = EventManager(MemoryProvider("server"), environment=container, listeners=[Answering], pipelines=[])
        registry.register_factory(Answering, lambda svcs_container: Answering(manager, svcs_container.get(Greeter)))
        with manager:
            converse(manager, container.get(Answering))


def test_svcs_gives_no_manager_and_the_error_says_what_to_write(registry: svcs.Registry) -> None:
    """It refuses whatever has ``async with``, if it isn't asked by ``aget``."""
    registry.register_factory(
        Answering,
        lambda svcs_container: Answering(svcs_container.get(EventManager), svcs_container.get(Greeter)),
    )
    with svcs.Container(registry) as container:
        manager = EventManager(MemoryProvider("server"), environment=container, listeners=[Answering], pipelines=[])
        registry.register_value(EventManager, manager)
        with pytest.raises(ListenerCreationError) as refusal:
            manager.start()
    assert "lambda svcs_container: Answering(manager=<the manager>, greeter=svcs_container.get(" in str(refusal.value)


# -- aspyx ------------------------------------------------------------------------------------------------------------

ASPYX_APPLICATION = """
    import threading
    from dataclasses import dataclass
    from aspyx.di import Environment, create, injectable, module
    from eventing_core import EventListener, EventManager, event, event_listener
    from eventing_core.memory import MemoryProvider

    @event()
    @dataclass
    class Hello:
        world: str

    @injectable()
    class Greeter:
        pass

    @injectable()
    @event_listener(Hello)
    class Greeting(EventListener[Hello]):
        def __init__(self, greeter: Greeter) -> None:
            self.greeter = greeter

        def on(self, event: Hello) -> None:
            pass

    @event_listener(Hello)
    class Forgotten(EventListener[Hello]):
        def on(self, event: Hello) -> None:
            pass

    class Managers:
        def __init__(self) -> None:
            self.manager = None

    @injectable()
    @event_listener(Hello)
    class Answering(EventListener[Hello]):
        def __init__(self, manager: EventManager, greeter: Greeter) -> None:
            self.manager = manager
            self.done = threading.Event()

        def on(self, event: Hello) -> None:
            if event.world == "question":
                self.manager.send_event(Hello("answer"))
            else:
                self.done.set()

    class Container:
        '''Stands for the environment until there is one: aspyx makes its singletons while it is being made.'''
        environment = None

        def get(self, kind):
            return self.environment.get(kind)

    @module()
    class Application:
        container = Container()

        @create()
        def manager(self) -> EventManager:
            return EventManager(
                MemoryProvider("server"), environment=self.container, listeners=[Answering], pipelines=[]
            )
"""


@pytest.fixture
def aspyx_application(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    # Of its own, because an aspyx environment imports its whole package.
    import importlib

    package = tmp_path / "aspyx_application"
    package.mkdir()
    (package / "__init__.py").write_text(dedent(ASPYX_APPLICATION))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("aspyx_application")
    del sys.modules["aspyx_application"]


def test_aspyx(aspyx_application: Any) -> None:
    from aspyx.di import Environment  # type: ignore[import-untyped]

    application = aspyx_application
    environment: Any = Environment(application.Application)
    assert create(environment, application.Greeting).greeter is environment.get(application.Greeter)

    with pytest.raises(ListenerCreationError) as caught:
        create(environment, application.Forgotten)
    assert "aspyx_application.Forgotten can't be created by the aspyx environment: DIRuntimeException" in str(
        caught.value
    )
    assert "@injectable() above class Forgotten" in str(caught.value)

    # A listener that injects the manager.
    application.Application.container.environment = environment
    with environment.get(EventManager) as manager:
        listener = environment.get(application.Answering)
        assert listener.manager is manager
        manager.send_event(application.Hello("question"))
        assert listener.done.wait(10)


def test_unregistered_is_only_the_fixtures_dependency() -> None:
    # `Needy` can be made as soon as somebody provides what it needs.
    assert create(dishka_container_with_value(), Needy).dependency.number == 1


def dishka_container_with_value() -> dishka.Container:
    provider = dishka.Provider(scope=dishka.Scope.APP)
    provider.provide(Needy)
    provider.provide(lambda: Unregistered(1), provides=Unregistered)
    return dishka.make_container(provider)
