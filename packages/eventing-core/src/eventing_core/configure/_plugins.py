"""Finding and loading plugins by their entry points."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points, version
from typing import cast

import pluggy

from eventing_core import hookspecs
from eventing_core.configure._known_providers import offer, shown
from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.errors import ProviderLoadError, ProviderNotFoundError
from eventing_core.provider import SPI_VERSION, ProviderConfig, ProviderSpec

#: Entry-point group of providers; the entry point's name is what the configuration calls the provider.
PROVIDER_GROUP = "eventing.providers"
#: Entry-point group of all other plugins.
PLUGIN_GROUP = "eventing.plugins"

_NAME = re.compile(r"[a-z][a-z0-9]*")
_REQUIREMENT = re.compile(r"eventing[-_.]core(\[[^]]*\])? *\(?(?P<versions>[<>=!~][^;()]*|)\)? *(?P<marker>;.*)?")


def is_provider_name(name: str) -> bool:
    """Whether a provider can be called so: it is the name of a table and of an environment variable, too."""
    return _NAME.fullmatch(name) is not None


def installed_providers() -> tuple[str, ...]:
    """The names of all installed providers, sorted. Imports none of them."""
    return tuple(sorted({found.name for found in entry_points(group=PROVIDER_GROUP) if is_provider_name(found.name)}))


class Plugins:
    """The plugins of one manager; two managers never share any. Not thread-safe."""

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    def installed_providers(self) -> tuple[str, ...]:
        """The names of all installed providers, sorted. Imports none of them."""
        return installed_providers()

    def load_provider(self, name: str) -> ProviderSpec:
        """Import the one plugin of that name, and return what it offers. Idempotent.

        Raises:
            ProviderNotFoundError: no installed distribution offers it; the message says what is installed.
            ProviderLoadError: it is installed and can't be used: its import fails, a hook is misspelt or missing, it
                was written for another version of the SPI, or two distributions offer the name.
        """
        if not is_provider_name(name):
            msg = f"provider = {shown(name)}: this is not a valid provider name. {offer(name, installed_providers())}"
            raise ProviderNotFoundError(msg)
        found = tuple(entry_points(group=PROVIDER_GROUP, name=name))
        if not found:
            msg = f"no provider {name!r} is installed. {offer(name, installed_providers())}"
            raise ProviderNotFoundError(msg)
        entry = _only(found)
        plugin = self._register(entry)
        try:
            spec = self._call(plugin, "eventing_provider", entry)
            _check_spec(spec, plugin, entry)
        except ProviderLoadError:
            self._manager.unregister(plugin)
            raise
        return cast("ProviderSpec", spec)

    def load_pipelines(self) -> list[EnvelopePipeline]:
        """Import all plugins of the group ``eventing.plugins``, and return the pipelines that they offer.

        The loaded provider's plugin is asked too. Call it once per manager.

        Raises:
            ProviderLoadError: a plugin can't be used, as with `load_provider`.
        """
        by_name: dict[str, list[EntryPoint]] = {}
        for entry in entry_points(group=PLUGIN_GROUP):
            by_name.setdefault(entry.name, []).append(entry)
        loaded = {id(plugin): name for name, plugin in self._manager.list_name_plugin()}
        plugins = {name: plugin for name, plugin in self._manager.list_name_plugin() if plugin is not None}
        for _, found in sorted(by_name.items()):
            entry = _only(found)
            plugin = self._register(entry)
            if id(plugin) not in loaded:
                plugins[_key(entry)] = plugin
        pipelines: list[EnvelopePipeline] = []
        for name, plugin in plugins.items():
            for offered in cast("list[object]", self._call(plugin, "eventing_pipelines", name)):
                pipelines.extend(_check_pipelines(offered, name))
        return pipelines

    def _register(self, entry: EntryPoint) -> object:
        """Import and register a plugin; nothing is left of it when that fails."""
        key = _key(entry)
        known = self._manager.get_plugin(key)
        if known is not None:
            return known
        try:
            plugin = entry.load()
        except Exception as error:
            msg = f"{_label(entry)} can't be imported: {type(error).__name__}: {error}{_fit(entry, error)}"
            raise ProviderLoadError(msg) from error
        if self._manager.is_registered(plugin):
            return plugin
        try:
            self._manager.register(plugin, name=key)
            self._manager.check_pending()
        except pluggy.PluginValidationError as error:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            hooks = ", ".join(sorted(vars(self._manager.hook)))
            msg = f"{_label(entry)} implements a hook incorrectly: {error}. The hooks are: {hooks}."
            raise ProviderLoadError(msg) from error
        return plugin

    def _call(self, plugin: object, hook: str, source: EntryPoint | str) -> object:
        """Call a hook of one plugin alone."""
        others = [other for other in self._manager.get_plugins() if other is not plugin]
        try:
            return self._manager.subset_hook_caller(hook, others)()
        except Exception as error:
            label, hint = (source, "") if isinstance(source, str) else (_label(source), _fit(source, error))
            msg = f"{label}: {hook} raised {type(error).__name__}: {error}{hint}"
            raise ProviderLoadError(msg) from error


def _key(entry: EntryPoint) -> str:
    # A plugin may bear the name of a provider.
    return f"{entry.group}:{entry.name}"


def _label(entry: EntryPoint) -> str:
    kind = "provider" if entry.group == PROVIDER_GROUP else "plugin"
    origin = f" of {entry.dist.name} {entry.dist.version}" if entry.dist else ""
    return f"the {kind} {entry.name!r}{origin} ({entry.value})"


def _only(found: Sequence[EntryPoint]) -> EntryPoint:
    """The only entry point of its name."""
    # `entry_points` gives each distribution once, even where `sys.path` has it twice.
    if len(found) > 1:
        origins = " and ".join(sorted(entry.dist.name if entry.dist else entry.value for entry in found))
        msg = f"{found[0].name!r} of the group {found[0].group} is offered by {origins}. Uninstall all but one."
        raise ProviderLoadError(msg)
    return found[0]


def _check_spec(spec: object, plugin: object, entry: EntryPoint) -> None:
    flaw = None
    if spec is None:
        flaw = "it doesn't implement the hook eventing_provider"
        if hasattr(plugin, "eventing_provider"):
            flaw += "; its function of that name needs @hookimpl, or returned None"
    elif not isinstance(spec, ProviderSpec):
        flaw = f"its eventing_provider returned {type(spec).__name__} instead of a ProviderSpec"
    elif spec.spi_version != SPI_VERSION:
        flaw = _version_flaw(spec.spi_version, entry)
    elif spec.name != entry.name:
        flaw = f"its ProviderSpec is named {spec.name!r}; entry point and ProviderSpec must have the same name"
    elif not _is_config(spec.config):
        flaw = "the config of its ProviderSpec is not a subclass of ProviderConfig"
    if flaw:
        msg = f"{_label(entry)} can't be used: {flaw}."
        raise ProviderLoadError(msg)


def _version_flaw(written_for: object, entry: EntryPoint) -> str:
    """Why a version of the provider interface doesn't fit, and what to install."""
    if not isinstance(written_for, int):
        return f"the spi_version of its ProviderSpec is {written_for!r}, and must be a number"
    plugin = entry.dist.name if entry.dist else entry.module
    younger, elder = ("eventing-core", plugin) if written_for > SPI_VERSION else (plugin, "eventing-core")
    asks = _required_core(entry)
    return (
        f"it was written for version {written_for} of the provider interface, and eventing-core "
        f"{version('eventing-core')} has version {SPI_VERSION}. Install a newer {younger} or an older {elder}"
        + (f"; this {plugin} requires eventing-core{asks}" if asks else "")
    )


def _fit(entry: EntryPoint, error: Exception) -> str:
    """What to look at when a plugin fails on something of the core: most likely it was written for another one."""
    asks = _required_core(entry)
    if not asks or not any(name in str(error) for name in ("eventing_core", "ProviderSpec")):
        return ""
    return f". It requires eventing-core{asks}, but {version('eventing-core')} is installed"


def _required_core(entry: EntryPoint) -> str:
    """The versions of the core that a plugin's distribution asks for, as in ``<0.2,>=0.1``."""
    for requirement in (entry.dist.requires if entry.dist else None) or ():
        found = _REQUIREMENT.fullmatch(requirement)
        if found and "extra" not in (found["marker"] or ""):
            return found["versions"].strip()
    return ""


def _is_config(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, ProviderConfig)


def _check_pipelines(offered: object, name: str) -> Sequence[EnvelopePipeline]:
    items = list(cast("Sequence[object]", offered)) if isinstance(offered, Sequence) else [offered]
    pipelines = [item for item in items if isinstance(item, EnvelopePipeline)]
    if isinstance(offered, Sequence) and len(pipelines) == len(items):
        return pipelines
    msg = f"{name}: eventing_pipelines must return a sequence of EnvelopePipeline objects, not {offered!r}"
    raise ProviderLoadError(msg)
