"""Where settings come from: keyword arguments, environment variables, a TOML file. And where one setting came from."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from eventing_core.errors import ConfigError

PREFIX = "EVENTING_"
DELIMITER = "__"

_FILE = "eventing.toml"
_PROJECT = "pyproject.toml"
_MISSING = object()


@dataclass(frozen=True, slots=True, repr=False)
class Sources:
    """All that was set, before validation. Has no repr, since it holds passwords.

    Attributes:
        overrides: keyword arguments, which come before all else.
        variables: environment variables that begin with ``EVENTING_``, in whatever case.
        file: the tables of the file; empty when there is none.
        file_label: what to call the file in messages.
    """

    overrides: Mapping[str, Any]
    variables: Mapping[str, str]
    file: Mapping[str, Any]
    file_label: str

    def origin(self, location: tuple[object, ...]) -> str:
        """Say where the value at that location comes from; empty when it was set nowhere."""
        origins: list[str] = []
        if _at(self.overrides, location) is not _MISSING:
            origins.append("keyword argument")
        origins.extend(f"environment variable {name}" for name in self._variables_at(location))
        if _at(self.file, location) is not _MISSING:
            origins.append(self.file_label)
        # A table is put together from all of its sources, a value is the first one's.
        is_table = isinstance(_at(self.file, location), dict) or isinstance(_at(self.overrides, location), dict)
        return " and ".join(origins if is_table else origins[:1])

    def variables_of(self, table: str) -> list[str]:
        """The names of all variables that set something in that table, or the table as a whole."""
        return [
            name for name in sorted(self.variables) if name[len(PREFIX) :].lower().split(DELIMITER)[0] == table.lower()
        ]

    def _variables_at(self, location: tuple[object, ...]) -> list[str]:
        wanted = tuple(str(part).lower() for part in location)
        found: list[str] = []
        for name in sorted(self.variables):
            path = tuple(name[len(PREFIX) :].lower().split(DELIMITER))
            # The value itself or something in it, or a JSON object that contains it.
            if path[: len(wanted)] == wanted or (
                path == wanted[: len(path)] and _at(_json(self.variables[name]), location[len(path) :]) is not _MISSING
            ):
                found.append(name)
        return found


def read_sources(path: str | os.PathLike[str] | None, overrides: Mapping[str, Any]) -> Sources:
    """Collect what is set.

    Raises:
        ConfigError: the given file doesn't exist or is no path, or a file isn't readable TOML.
    """
    file, label = _read_file(path)
    variables = {name: value for name, value in os.environ.items() if name.upper().startswith(PREFIX)}
    return Sources(dict(overrides), variables, file, label)


def _read_file(path: str | os.PathLike[str] | None) -> tuple[Mapping[str, Any], str]:
    if path is not None:
        if not isinstance(path, str | os.PathLike):
            msg = (
                f"the configuration file must be a path, not of type {type(path).__name__}. Settings themselves "
                'are keyword arguments: from_config(provider="amqp", amqp={"host": "broker"})'
            )
            raise ConfigError(msg)
        chosen = Path(path)
        if not chosen.is_file():
            msg = f"the configuration file {str(chosen)!r} doesn't exist (working directory: {Path.cwd()}): check it"
            raise ConfigError(msg)
        if chosen.name != _PROJECT:
            return _load(chosen), str(chosen)
        table = _eventing_table(chosen)
        if table is None:
            msg = f"{chosen} has no table [tool.eventing]: add it, or name another file"
            raise ConfigError(msg)
        return table, f"{chosen} [tool.eventing]"
    if Path(_FILE).is_file():
        return _load(Path(_FILE)), _FILE
    if Path(_PROJECT).is_file():
        return _eventing_table(Path(_PROJECT)) or {}, f"{_PROJECT} [tool.eventing]"
    return {}, _FILE


def _eventing_table(path: Path) -> Mapping[str, Any] | None:
    table = _at(_load(path), ("tool", "eventing"))
    if table is _MISSING:
        return None
    if not isinstance(table, dict):
        msg = f"{path}: tool.eventing must be a table"
        raise ConfigError(msg)
    return cast("dict[str, Any]", table)


def _load(path: Path) -> dict[str, Any]:
    # The errors' own text is safe to show; their objects hold the whole document, so they aren't chained.
    text = ""
    try:
        text = path.read_bytes().decode().removeprefix("\ufeff")  # as some editors on Windows write it
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        last = f"at line {text.count(chr(10)) + 1}, the end of the document"
        flaw = f"{path} is not valid TOML: {str(error).replace('at end of document', last)}. Correct that line."
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        flaw = f"{path} is not valid TOML: it isn't UTF-8 (at line {line}). Save it as UTF-8."
    except OSError as error:
        flaw = f"{path} can't be read: {error.strerror}. Check its path and permissions."
    raise ConfigError(flaw)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _at(values: object, location: tuple[object, ...]) -> object:
    for part in location:
        if not isinstance(values, Mapping):
            return _MISSING
        values = cast("Mapping[object, object]", values).get(part, _MISSING)
    return values
