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

from eventing_core.configure._checks import shown
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.errors import ConfigError
from eventing_core.manager._finding import Listeners
from eventing_core.manager._manager import EventManager
from eventing_core.provider import Provider

__all__ = ["EventingModule"]


class EventingModule(injector.Module):
    """Binds `EventManager`: ``Injector([EventingModule(), ...]).get(EventManager)`` is a started manager.

    There is one manager for each injector; a child injector shares the manager of its parent. The injector creates its
    listeners and pipelines, which may inject the manager that is being started. The first ``get`` blocks until the
    manager has started, and so do calls of the injector on other threads in the meantime. If the start fails, its error
    is raised, and the next ``get`` tries again with a new manager. The manager is stopped at the interpreter's exit.

    Get the manager before anything that injects it. If a service injects the manager, and a listener injects that
    service, the service would be needed before it is complete; then a `ListenerCreationError` says so.

    Args:
        path: the configuration file, as for `EventManager.from_config`.
        listeners: the listeners to run, as for `EventManager`; None means all declared ones.
        pipelines: the pipelines to use, as classes or instances; None means all declared ones.
        provider: the provider's name in the configuration, or a `Provider` object: then no configuration is read.
        overrides: configuration keys, as for `EventManager.from_config`; with a `Provider` only ``options`` and
            ``retry``, as for `EventManager`.

    Raises:
        ConfigError: the arguments exclude each other. The configuration itself is checked at the first ``get``.
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
            msg = f"EventingModule: provider must be a name or a Provider object, not {shown(provider)}"
            raise ConfigError(msg)
        self._path = path
        self._provider = provider
        self._arguments = {"listeners": listeners, "pipelines": pipelines, **overrides}

    def configure(self, binder: injector.Binder) -> None:
        """Bind the manager without a scope, because a scope would also keep a manager whose start failed."""
        binder.bind(EventManager, to=_Started(self, binder.injector), scope=injector.noscope)

    def make(self, environment: injector.Injector) -> EventManager:
        """Create a manager, not started."""
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
            f"EventingModule: with a Provider object no configuration is read, so it can't have {keys}. "
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
