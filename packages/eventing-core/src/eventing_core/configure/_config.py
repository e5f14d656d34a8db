"""The configuration: file, environment variables and keyword arguments, validated in two phases."""

from __future__ import annotations

import dataclasses
import logging
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Protocol, get_type_hints

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationError,
    create_model,
    model_validator,
)

from eventing_core.configure._checks import flaw_in_module_name
from eventing_core.configure._known_providers import guidance_for
from eventing_core.configure._options import Options
from eventing_core.configure._sources import DELIMITER, PREFIX, Sources, read_sources
from eventing_core.declare._names import flaw_in_name
from eventing_core.declare._retry import Retry
from eventing_core.errors import ConfigError
from eventing_core.provider import ProviderConfig, ProviderSpec
from eventing_core.provider._keys import hint, meant

_log = logging.getLogger("eventing")

#: The core's own tables.
_TABLES = ("retry", "health")

_NO_JSON = 'a table or a list in an environment variable must be JSON: write {"host": "broker"} or ["a", "b"]'


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """A whole, valid configuration.

    Attributes:
        provider_spec: the chosen provider.
        provider_config: its own settings.
        server_name: this process's name in the cluster; the host's name by default.
        options: the manager's settings.
        retry: the default for all listeners.
        listeners: names of the modules whose listeners run; None for all declared ones.
    """

    provider_spec: ProviderSpec
    provider_config: ProviderConfig
    server_name: str
    options: Options
    retry: Retry
    listeners: Sequence[str] | None = None


class ProviderSource(Protocol):
    """Where providers come from; `Plugins` is the one there is."""

    def installed_providers(self) -> Sequence[str]:
        """The names of all installed providers."""
        ...

    def load_provider(self, name: str) -> ProviderSpec:
        """Load the provider of that name."""
        ...


def load_configuration(
    providers: ProviderSource,
    path: str | os.PathLike[str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Configuration:
    """Read and validate the configuration.

    What is set comes from, first to last: ``overrides``; environment variables ``EVENTING_<KEY>``, in tables
    ``EVENTING_<TABLE>__<KEY>`` (a whole table as a JSON object is fine too); one file. The file is ``path``; else
    ``eventing.toml`` of the working directory; else, only when there is none, ``[tool.eventing]`` of its
    ``pyproject.toml``. The two files are never merged.

    First the core's keys are validated: those of `Options`, ``provider``, ``server_name`` and the table ``retry``;
    then, by the chosen provider's own model, the table of its name. Tables and variables of other installed providers
    are left alone. Without any ``provider``, ``memory`` is taken and a warning is logged.

    Args:
        providers: loads the chosen provider, and it alone.
        path: an ``eventing.toml``, or a ``pyproject.toml``.
        overrides: keys and values as in the file, tables as dictionaries; ``retry`` may be a `Retry`.

    Raises:
        ConfigError: a key is unknown, a value wrong, or the file can't be read. The message names file, variable or
            keyword, key and fix, and never a value.
        ProviderNotFoundError: the provider isn't installed.
        ProviderLoadError: the provider can't be used.
    """
    given = dict(overrides or {})
    retry = given.pop("retry") if isinstance(given.get("retry"), Retry) else None
    sources = read_sources(path, given)

    core = _validate(_core_fields(), sources)
    spec = providers.load_provider(core["provider"])
    if spec.name in _core_fields():
        msg = f"the provider {spec.name!r} has the name of a setting, so it can't have a table of its own"
        raise ConfigError(msg)
    _refuse_unknown(sources, spec, providers.installed_providers())
    table = _validate({spec.name: (spec.config, Field(default_factory=dict, validate_default=True))}, sources)

    if not sources.origin(("provider",)):
        _log.warning(
            "no provider is configured, so events stay in this process. Set provider in eventing.toml, or %sPROVIDER.",
            PREFIX,
        )
    return Configuration(
        provider_spec=spec,
        provider_config=table[spec.name],
        server_name=core["server_name"],
        options=Options(**{name: core[name] for name in Options.model_fields}),
        retry=retry or Retry(**dict(core["retry"])),
        listeners=core["listeners"],
    )


def core_keys() -> frozenset[str]:
    """The core's own keys at the top level: no provider's table can have such a name."""
    return frozenset(_core_fields())


def _host_name() -> str:
    name = "".join("-" if flaw_in_name(character) else character for character in socket.gethostname())
    name = name.replace("::", "--").replace("://", "-")
    return "localhost" if flaw_in_name(name) else name


def _server_name(name: str) -> str:
    flaw = flaw_in_name(name)
    if flaw:
        msg = f"this is not a valid name: {flaw}. Choose another one"
        raise ValueError(msg)
    return name


def _modules(names: object) -> Sequence[str] | None:
    if names is None:
        return None
    modules = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
    if not isinstance(modules, list | tuple) or not all(isinstance(name, str) for name in modules):
        msg = "it must be a list of module names"
        raise ValueError(msg)
    for name in modules:
        if flaw := flaw_in_module_name(name):
            raise ValueError(flaw)
    return modules


def _check_retry(table: BaseModel) -> BaseModel:
    Retry(**dict(table))
    return table


@cache
def _core_fields() -> dict[str, Any]:
    """The core's keys, as `pydantic.create_model` takes them."""
    hints = get_type_hints(Retry)
    # Exception classes can't be written in a file.
    retry_fields: dict[str, Any] = {
        item.name: (hints[item.name], item.default) for item in dataclasses.fields(Retry) if item.name != "fatal"
    }
    validators: dict[str, Any] = {"check": model_validator(mode="after")(_check_retry)}
    retry: type[BaseModel] = create_model(
        "RetryTable",
        __config__=ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True),
        __validators__=validators,
        **retry_fields,
    )
    return {
        "provider": (str, "memory"),
        "server_name": (Annotated[str, AfterValidator(_server_name)], Field(default_factory=_host_name)),
        # Of a union, pydantic-settings passes on what isn't JSON: in the environment, names separated by commas.
        "listeners": (Annotated[str | list[str] | None, PlainValidator(_modules)], None),
        "retry": (retry, Field(default_factory=retry)),
        **{name: (info.annotation, info) for name, info in Options.model_fields.items()},
    }


def _validate(fields: Mapping[str, Any], sources: Sources) -> dict[str, Any]:
    """Merge the sources of these fields by priority and validate them."""
    # Takes a quarter of a second to import, which only those pay who use a configuration.
    from pydantic_settings import (  # noqa: PLC0415 (slow to import)
        BaseSettings,
        InitSettingsSource,
        PydanticBaseSettingsSource,
        SettingsConfigDict,
        SettingsError,
    )

    class Layers(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, env_nested_delimiter=DELIMITER, extra="forbid", frozen=True, hide_input_in_errors=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic-settings' signature)
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 (pydantic-settings' signature)
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            own = {key: value for key, value in sources.file.items() if key in fields}
            return init_settings, env_settings, InitSettingsSource(settings_cls, own)

    model: type[BaseSettings] = create_model("EventingSettings", __base__=Layers, **fields)
    # Errors of pydantic keep what was put in, so they are neither chained nor raised from.
    try:
        return dict(model(**{key: value for key, value in sources.overrides.items() if key in fields}))
    except ValidationError as error:
        flaws = [
            _flaw(model, sources, found["loc"], found["type"], found["msg"])
            for found in error.errors(include_input=False, include_url=False, include_context=False)
        ]
    except SettingsError:
        names = [name for table in fields for name in sources.variables_of(table) if not _is_plain(fields[table])]
        flaws = [f"{' or '.join(names)}: {_NO_JSON}"]
    raise _config_error(flaws)


def _is_plain(field: tuple[Any, Any]) -> bool:
    return not (isinstance(field[0], type) and issubclass(field[0], BaseModel))


def _flaw(model: type[BaseModel], sources: Sources, location: tuple[int | str, ...], kind: str, text: str) -> str:
    """Put one error of pydantic into words, without what was put in."""
    key = ".".join(map(str, location))
    origin = sources.origin(location)
    if kind == "missing":
        return f"{key} must be set, in the file or as {_variable(DELIMITER.join(map(str, location)))}"
    if kind == "extra_forbidden":
        known = _keys_at(model, location[:-1])
        what = hint(str(location[-1]), known)
        if key == "retry.fatal":
            what = "it takes classes, and is set in code: Retry(fatal=(ValueError,))"
        elif location[-1] in _core_fields():
            what = f"it belongs to the top level, above the first table: {location[-1]}"
        return f"{origin}: unknown key {key!r}; {what}"
    if kind in {"model_type", "dict_type"}:
        text = f"this has to be a table: write [{key}] above its settings, or {key} = {{...}}"
    text = text.removeprefix("Value error, ").removeprefix("Retry: ")
    return f"{origin}: {key}: {text}" if origin else f"{key}: {text}"


def _keys_at(model: Any, location: tuple[int | str, ...]) -> list[str]:
    """The keys of the (nested) model at that location."""
    for part in location:
        field = model.model_fields.get(str(part)) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _refuse_unknown(sources: Sources, spec: ProviderSpec, installed: Iterable[str]) -> None:
    """Refuse top-level keys and variables that nobody reads; those within tables are the models' business."""
    core = _core_fields()
    tables = {*_TABLES, spec.name, *(name for name in installed if name not in core)}
    keys = {*core, *tables}
    flaws: list[str] = []
    for origin, values in (("keyword argument", sources.overrides), (sources.file_label, sources.file)):
        for key in values:
            if key not in keys:
                where = _table_hint(key, values[key], spec) or hint(key, keys)
                flaws.append(f"{origin}: unknown key {key!r}; {where}")
    for variable in sources.variables:
        name = variable[len(PREFIX) :].lower()
        head, delimiter, _ = name.partition(DELIMITER)
        if head not in keys or (delimiter and head not in tables):
            flaws.append(f"unknown environment variable {variable}; {_variable_hint(name, keys, spec)}")
    if flaws:
        raise _config_error(flaws)


def _tables_with_keys(spec: ProviderSpec) -> dict[str, list[str]]:
    """The tables that are read now, and their keys."""
    own = {table: _keys_at(_core_fields()[table][0], ()) for table in _TABLES}
    return {spec.name: list(spec.config.model_fields), **own}


def _table_hint(key: str, value: object, spec: ProviderSpec) -> str:
    """For an unknown key at the top level: that it belongs to a table, or is no table's name."""
    tables = _tables_with_keys(spec)
    if isinstance(value, Mapping):
        if key in {"eventing", "tool"}:
            return (
                "settings are at the top of eventing.toml: remove this table's header. [tool.eventing] is for "
                "pyproject.toml alone"
            )
        near = meant(key, {*tables, *_core_fields()}) if guidance_for(key) is None else ""
        suggestion = f"; did you mean {near!r}?" if near else "; remove it, or install the provider"
        return f"if it is a provider's table: no installed provider is named {key!r}{suggestion}"
    for table, own in tables.items():
        if key in own:
            return f"it belongs to the table {table!r}"
    for by_word in (True, False):
        if meant(key, _core_fields(), by_word=by_word):
            break
        for table, own in tables.items():
            name = meant(key, own, by_word=by_word)
            if name:
                return f"did you mean {name!r} of the table {table!r}?"
    return ""


def _variable_hint(name: str, keys: Iterable[str], spec: ProviderSpec) -> str:
    """For an unknown environment variable, without its prefix and in lower case."""
    nested = {f"{table}{DELIMITER}{key}" for table, own in _tables_with_keys(spec).items() for key in own}
    head, delimiter, rest = name.partition(DELIMITER)
    tables = _tables_with_keys(spec)
    if delimiter and head in tables:
        return hint(rest, tables[head], lambda key: _variable(f"{head}{DELIMITER}{key}"))
    for table, own in tables.items():
        # One underscore between table and key is the usual slip.
        if name.startswith(f"{table}_"):
            found = meant(name[len(table) + 1 :].lstrip("_"), own)
            if found:
                return f"did you mean {_variable(f'{table}{DELIMITER}{found}')}?"
        if name in own and name not in keys:
            return f"did you mean {_variable(f'{table}{DELIMITER}{name}')}?"
    return hint(name, {*keys, *nested}, _variable)


def _variable(key: str) -> str:
    return PREFIX + key.upper()


def _config_error(flaws: Sequence[str]) -> ConfigError:
    if len(flaws) == 1:
        return ConfigError(flaws[0])
    return ConfigError(f"{len(flaws)} settings are wrong:" + "".join(f"\n  - {flaw}" for flaw in flaws))
