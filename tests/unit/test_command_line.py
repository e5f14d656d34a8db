"""The command line: wrong input is told in one line, and leaves nothing behind."""

from __future__ import annotations

import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from eventing_core.cli._app import app
from eventing_core.cli._skeleton import core_versions
from tests.unit.plugin_site import Site

Run = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path) -> Run:
    """Runs ``eventing new-provider`` in vain; what it says is returned."""

    def run(*arguments: str, directory: Path = tmp_path) -> str:
        result = CliRunner().invoke(app, ["new-provider", *arguments, "--directory", str(directory)])
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert result.stderr.endswith("\n")
        line = result.stderr.removesuffix("\n")
        assert "\n" not in line
        return line

    return run


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_skeleton_is_written_into_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["new-provider", "smoke"])
    assert result.exit_code == 0, result.output
    assert "cd eventing-smoke && pip install -e '.[test]' && pytest" in result.stdout
    assert left(tmp_path) == ["eventing-smoke"]
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    modules = ("__init__", "_config", "_consumer", "_plugin", "_producer", "_provider")
    assert files == {
        "eventing-smoke/CHANGELOG.md",
        "eventing-smoke/LICENSE",
        "eventing-smoke/README.md",
        "eventing-smoke/pyproject.toml",
        "eventing-smoke/src/eventing_smoke/py.typed",
        "eventing-smoke/tests/capabilities.json",
        "eventing-smoke/tests/test_conformance.py",
        *(f"eventing-smoke/src/eventing_smoke/{module}.py" for module in modules),
    }


@pytest.mark.parametrize("name", ["Smoke", "1smoke", "smo-ke", "smo_ke", "", "smoke\n", "größe", "../smoke", "a b"])
def test_a_name_out_of_the_pattern(refused: Run, tmp_path: Path, name: str):
    assert refused(name) == (
        f"eventing: {name!r} is not a valid provider name: use lower-case letters and digits, with a letter first"
    )
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["memory", "amqp"])
def test_the_name_of_an_installed_provider(refused: Run, tmp_path: Path, name: str):
    assert refused(name) == f"eventing: a provider {name!r} is installed already; choose another name"
    assert left(tmp_path) == []


def test_a_provider_of_a_distribution_of_another_name(refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    site = Site(tmp_path / "site", monkeypatch)
    site.add("smoke-for-eventing", "eventing.providers", {"smoke": "smoke_signals"}, {})
    assert "a provider 'smoke' is installed already" in refused("smoke")


def test_the_name_of_an_installed_distribution(refused: Run):
    assert refused("core") == "eventing: a distribution eventing-core is installed already; choose another name"


@pytest.mark.parametrize("name", ["provider", "retry", "workers", "strict"])
def test_a_name_that_the_configuration_has(refused: Run, name: str):
    assert refused(name) == f"eventing: {name!r} is not a valid provider name: it is a key of the configuration"


@pytest.mark.parametrize("kind", ["folder", "file", "dangling link"])
def test_what_is_there_is_left_alone(refused: Run, tmp_path: Path, kind: str):
    there = tmp_path / "eventing-smoke"
    if kind == "folder":
        there.mkdir()
    elif kind == "file":
        there.write_text("mine")
    else:
        there.symlink_to(tmp_path / "nowhere")
    assert refused("smoke") == f"eventing: {there} exists already"
    assert left(tmp_path) == ["eventing-smoke"]
    assert {"folder": there.is_dir(), "file": there.is_file(), "dangling link": there.is_symlink()}[kind]


def test_a_place_that_is_not_there(refused: Run, tmp_path: Path):
    place = tmp_path / "nowhere"
    assert refused("smoke", directory=place) == (
        f"eventing: {place / 'eventing-smoke'} can't be written: No such file or directory"
    )
    assert left(tmp_path) == []


def test_a_place_that_is_a_file(refused: Run, tmp_path: Path):
    place = tmp_path / "file"
    place.write_text("mine")
    assert refused("smoke", directory=place).endswith("can't be written: Not a directory")
    assert place.read_text() == "mine"


def test_a_place_that_refuses(refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Simulated: to root no folder is closed."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr("os.mkdir", refuse)
    assert refused("smoke").endswith("eventing-smoke can't be written: Permission denied")
    monkeypatch.undo()
    assert left(tmp_path) == []


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException) -> None:
    """Let writing the file of that number fail."""
    write = Path.write_text
    calls = iter(range(1, number + 1))

    def write_text(path: Path, *arguments: str, **options: str) -> int:
        if next(calls) == number:
            raise error
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", write_text)


def test_a_disk_that_gets_full(refused: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fail_at(monkeypatch, 5, OSError(errno.ENOSPC, "No space left on device"))
    assert refused("smoke").endswith("eventing-smoke can't be written: No space left on device")
    assert left(tmp_path) == []


def test_an_interrupted_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    fail_at(monkeypatch, 5, KeyboardInterrupt())
    result = CliRunner().invoke(app, ["new-provider", "smoke", "--directory", str(tmp_path)])
    assert result.exit_code != 0
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("installed", "versions"),
    [
        ("0.1.0", ">=0.1.0,<0.2"),
        ("0.12.3", ">=0.12.3,<0.13"),
        ("0.2.0rc1", ">=0.2.0rc1,<0.3"),
        ("0.3.dev4+local.1", ">=0.3.dev4,<0.4"),
        ("1.4.2", ">=1.4.2,<2"),
        ("10.0", ">=10.0,<11"),
    ],
)
def test_the_versions_of_the_core_that_a_skeleton_asks_for(installed: str, versions: str):
    assert core_versions(installed) == versions


def test_the_script_says_what_to_install_where_the_extra_is_missing():
    code = "import sys; sys.modules['typer'] = None; from eventing_core.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "eventing: the command line needs an extra: pip install 'eventing-core[cli]'\n"


def test_what_else_is_missing_is_not_laid_to_the_extra():
    code = "import sys; sys.modules['pluggy'] = None; from eventing_core.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ModuleNotFoundError: import of pluggy halted" in done.stderr
