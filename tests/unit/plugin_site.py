"""Throw-away distributions for tests of plugin discovery: real metadata and modules in a folder on ``sys.path``."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from textwrap import dedent

import pytest

PROVIDER = """
    from eventing_core.hookspecs import hookimpl
    from eventing_core.provider import Provider, ProviderConfig, ProviderSpec
    from pydantic import SecretStr

    class Config(ProviderConfig):
        host: str = "localhost"
        port: int = 5672
        password: SecretStr = SecretStr("")
        hosts: list[str] = []

    def make(server_name, config):
        raise NotImplementedError

    @hookimpl
    def eventing_provider():
        return ProviderSpec(name={name!r}, config=Config, factory=make, spi_version=1)
"""


class Site:
    """A folder on ``sys.path`` that distributions can be put into. `forget` takes its modules back."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        folder.mkdir()
        monkeypatch.syspath_prepend(str(folder))
        self._monkeypatch = monkeypatch

    def add(
        self,
        distribution: str,
        group: str,
        entries: dict[str, str],
        modules: dict[str, str],
        requires: tuple[str, ...] = (),
    ) -> None:
        """Install a distribution with entry points (name: module), modules (name: source) and requirements."""
        info = self._folder / f"{distribution.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        metadata = [f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"]
        metadata += [f"Requires-Dist: {requirement}\n" for requirement in requires]
        (info / "METADATA").write_text("".join(metadata))
        lines = "".join(f"{name} = {module}\n" for name, module in entries.items())
        (info / "entry_points.txt").write_text(f"[{group}]\n{lines}")
        for module, source in modules.items():
            (self._folder / f"{module}.py").write_text(dedent(source))
            self._monkeypatch.delitem(sys.modules, module, raising=False)
        importlib.invalidate_caches()

    def add_provider(self, name: str, source: str = PROVIDER, requires: tuple[str, ...] = ()) -> str:
        """Install a provider; the name of its module is returned."""
        module = f"throwaway_{name}"
        source = dedent(source).replace("{name!r}", repr(name))
        self.add(f"eventing-{name}", "eventing.providers", {name: module}, {module: source}, requires)
        return module

    def forget(self) -> None:
        """Forget the modules that were imported from here."""
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", "")).startswith(str(self._folder)):
                del sys.modules[name]
