"""The distributions, built once: source archives, and wheels made of those."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import ROOT, check, module

PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))
#: A transport as a stranger writes it.
EXAMPLE = ROOT / "examples" / "eventing-sqlite"


@dataclass(frozen=True)
class Environment:
    """A virtual environment with nothing but what was installed into it."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts" if os.name == "nt" else "bin") / "python"

    def install(self, *what: str | Path) -> None:
        check(self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what, cwd=self.folder)

    def run(self, code: str) -> str:
        # Isolated (-I): neither this checkout nor PYTHONPATH can help out. Warnings are errors.
        return check(self.python, "-I", "-W", "error", "-c", code, cwd=self.folder)


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Distribution name -> wheel."""
    folder = tmp_path_factory.mktemp("dist")
    built = build(folder, *PACKAGES)
    assert sorted(built) == [package.name for package in PACKAGES]
    assert len(list(folder.glob("*.tar.gz"))) == len(PACKAGES)
    return built


def build(folder: Path, *packages: Path) -> dict[str, Path]:
    """Build distributions: their names -> their wheels."""
    for package in packages:
        # Without --wheel or --sdist the wheel is made from the source archive, which proves that it's complete.
        check(*module("build"), "--no-isolation", "--outdir", folder, package)
    return {path.name.split("-")[0].replace("_", "-"): path for path in folder.glob("*.whl")}


@pytest.fixture(scope="session", params=[package.name for package in PACKAGES])
def wheel(request: pytest.FixtureRequest, wheels: dict[str, Path]) -> zipfile.ZipFile:
    """Each wheel, opened."""
    name: str = request.param
    return zipfile.ZipFile(wheels[name])


@pytest.fixture(scope="session")
def make_environment(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Environment]:
    """Makes empty environments."""

    def make() -> Environment:
        folder = tmp_path_factory.mktemp("environment")
        check(sys.executable, "-m", "venv", folder)
        return Environment(folder)

    return make
