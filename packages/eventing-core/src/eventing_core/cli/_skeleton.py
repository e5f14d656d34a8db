"""The skeleton of a provider's distribution, from the templates next to this module."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from string import Template
from tempfile import TemporaryDirectory

from eventing_core.configure._config import core_keys
from eventing_core.configure._plugins import installed_providers, is_provider_name
from eventing_core.provider import SPI_VERSION

#: Stands for the provider's name in the templates' paths.
_NAME = "NAME"
#: Of every template, so that no tool takes it for what it will be.
_SUFFIX = ".in"


class SkeletonError(Exception):
    """A skeleton can't be written; the message is one line that says why."""


def write_skeleton(name: str, directory: Path) -> Path:
    """Write the distribution ``eventing-<name>`` into a folder of that name, and return the folder.

    Raises:
        SkeletonError: the name can't be used, the folder exists, or it can't be written. Nothing is left behind.
    """
    _check_name(name)
    folder = directory / f"eventing-{name}"
    if os.path.lexists(folder):
        msg = f"{folder} exists already"
        raise SkeletonError(msg)
    try:
        _write(folder, name)
    except OSError as error:
        msg = f"{folder} can't be written: {error.strerror or error}"
        raise SkeletonError(msg) from error
    return folder


def _check_name(name: str) -> None:
    msg = None
    if not is_provider_name(name):
        msg = f"{name!r} is not a valid provider name: use lower-case letters and digits, with a letter first"
    elif name in core_keys():
        msg = f"{name!r} is not a valid provider name: it is a key of the configuration"
    elif name in installed_providers():
        msg = f"a provider {name!r} is installed already; choose another name"
    elif _is_installed(f"eventing-{name}"):
        msg = f"a distribution eventing-{name} is installed already; choose another name"
    if msg:
        raise SkeletonError(msg)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _write(folder: Path, name: str) -> None:
    # Under another name first: the folder is there when it is complete, or not at all.
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as draft:
        project = Path(draft) / folder.name
        for path, text in _render(name):
            file = project / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        project.rename(folder)


def _render(name: str) -> Iterator[tuple[PurePosixPath, str]]:
    """The files, with their paths in the distribution."""
    values = {
        "name": name,
        "Name": name.capitalize(),
        "core_versions": core_versions(version("eventing-core")),
        "spi_version": str(SPI_VERSION),
    }
    for path, template in _walk(files("eventing_core.cli") / "templates" / "provider", PurePosixPath()):
        target = PurePosixPath(str(path).replace(_NAME, name).removesuffix(_SUFFIX))
        yield target, Template(template.read_text(encoding="utf-8")).substitute(values)


def _walk(folder: Traversable, path: PurePosixPath) -> Iterator[tuple[PurePosixPath, Traversable]]:
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            yield from _walk(entry, path / entry.name)
        elif entry.name.endswith(_SUFFIX):
            yield path / entry.name, entry


def core_versions(installed: str) -> str:
    """The versions of the core that a provider asks for: this one, up to the next that may break it.

    Before 1.0 a minor version may, afterwards a major one.
    """
    lowest = installed.partition("+")[0]
    major, minor = (int(part) for part in lowest.split(".")[:2])
    return f">={lowest},<{major + 1}" if major else f">={lowest},<0.{minor + 1}"
