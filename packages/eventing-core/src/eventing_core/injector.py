"""`EventingModule`: the event manager as a singleton of an ``injector.Injector``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

try:
    import injector
except ImportError as error:
    _msg = "eventing_core.injector needs the package injector: pip install 'eventing-core[injector]'"
    raise ImportError(_msg) from error

from eventing_core._checks import shown
from eventing_core._finding import Listeners
from eventing_core._manager import EventManager
from eventing_core._pipeline import EnvelopePipeline
from eventing_core.errors import ConfigError
from eventing_core.provider import Provider

__all__ = ["EventingModule"]


class EventingModule(injector.Module):
    """Binds `EventManager`: ``Injector([EventingModule(), ...]).get(EventManager)`` is a started manager.

    There is one per injector (a child shares its parent's). Its listeners and pipelines are made by that injector,
    and may themselves inject the manager: they get the one that is being started. The first ``get`` blocks until the
    manager has started; so do other threads' calls of the injector meanwhile. Where the start fails, its error is
    raised, and the next ``get`` tries with a new manager. At the interpreter's exit the manager drains.

    Ask for the manager itself before anything that injects it. A service that injects the manager, and that a listener
    injects in turn, would have to be complete before it is: a `ListenerCreationError` that says so.

    Args:
        path: the configuration file, as for `EventManager.from_config`.
        listeners: exactly these classes, functions, and listeners of modules, as for `EventManager`; all declared ones
            when None.
        pipelines: exactly these, as classes or instances; all declared ones when None.
        provider: the provider's name in the configuration. Or a `Provider`: then no configuration is read.
        overrides: configuration keys, as for `EventManager.from_config`; with a `Provider` only ``options`` and
            ``retry``, as for `EventManager`.

    Raises:
        ConfigError: arguments that don't go together. What the configuration says is checked with the first ``get``.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        listeners: Listeners | None = None,
        pipelines: Sequence[EnvelopePipeline | type[EnvelopePipeline]] | None = None,
        provider: str | Provider | None = None,
        **overrides: Any,
    ) -> None:
        if isinstance(provider, Provider):
            _check_ready(path, overrides)
        elif provider is not None and not isinstance(provider, str):
            msg = f"EventingModule: provider has to be a name or a Provider's object, and is {shown(provider)}"
            raise ConfigError(msg)
        self._path = path
        self._provider = provider
        self._arguments = {"listeners": listeners, "pipelines": pipelines, **overrides}

    def configure(self, binder: injector.Binder) -> None:
        """Bind the manager, unscoped: a scope would keep it also where its start failed."""
        binder.bind(EventManager, to=_Started(self, binder.injector), scope=injector.noscope)

    def make(self, environment: injector.Injector) -> EventManager:
        """A new manager, not started."""
        arguments: dict[str, Any] = {"environment": environment, **self._arguments}
        if isinstance(self._provider, Provider):
            return EventManager(self._provider, **arguments)
        if self._provider is not None:
            arguments["provider"] = self._provider
        return EventManager.from_config(self._path, **arguments)


def _check_ready(path: object, overrides: Mapping[str, object]) -> None:
    if path is not None:
        msg = "EventingModule takes a configuration file or a ready provider, not both. Remove one of them."
        raise ConfigError(msg)
    unknown = sorted(set(overrides) - {"retry", "options"})
    if unknown:
        keys = ", ".join(unknown)
        msg = (
            f"EventingModule: with a ready provider no configuration is read, so there can't be {keys}. "
            "Pass options=Options(...) and retry=Retry(...), or the provider's name instead of the provider."
        )
        raise ConfigError(msg)


class _Started(injector.Provider[EventManager]):
    """Gives the one manager of an injector, and starts it the first time."""

    def __init__(self, module: EventingModule, environment: injector.Injector) -> None:
        self._module = module
        self._environment = environment
        self._manager: EventManager | None = None

    def get(self, injector: injector.Injector) -> EventManager:  # noqa: ARG002 (may be a child; listeners are ours)
        # `Injector.get`, which calls this, holds the package's one re-entrant lock: other threads wait for the start,
        # and this thread comes through again. A lock of our own beside it could deadlock.
        if self._manager is None:
            manager = self._module.make(self._environment)
            # Before the start, which makes listeners that may ask for it.
            self._manager = manager
            try:
                manager.start()
            except BaseException:
                self._manager = None
                raise
        return self._manager
