from __future__ import annotations

import email
import json
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import PACKAGES, Environment
from tests.support.commands import ROOT, check, run

EVENT_ON_MEMORY = """
import sys, threading
from dataclasses import dataclass
from eventing_core import EventListener, EventManager, event, event_listener

@dataclass
@event()
class Hello:
    world: str

handled = threading.Event()

@event_listener(Hello)
class OnHello(EventListener[Hello]):
    def on(self, event: Hello) -> None:
        print("handled", event.world)
        handled.set()

with EventManager.from_config(provider="memory", listeners=[OnHello]) as manager:
    manager.send_event(Hello("world"))
    assert handled.wait(30)
assert not {"proton", "stomp", "injector"} & set(sys.modules), "too much was imported"
"""

PROVIDERS = """
from importlib.metadata import entry_points
print(*sorted(entry.name for entry in entry_points(group="eventing.providers")))
"""


def content(wheel: zipfile.ZipFile, ending: str) -> str:
    (name,) = [name for name in wheel.namelist() if name.endswith(ending)]
    return wheel.read(name).decode()


def test_contents(wheel: zipfile.ZipFile):
    names = wheel.namelist()
    roots = {name.split("/")[0] for name in names}
    (package,) = [root for root in roots if not root.endswith(".dist-info")]
    assert f"{package}/__init__.py" in names
    assert f"{package}/py.typed" in names
    assert content(wheel, ".dist-info/licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")
    source = ROOT / "packages" / package.replace("_", "-") / "src"
    modules = {str(path.relative_to(source)) for path in source.rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules


def test_metadata(wheel: zipfile.ZipFile):
    metadata = email.message_from_string(content(wheel, ".dist-info/METADATA"))
    folder = ROOT / "packages" / metadata["Name"]
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert metadata["Version"] == project["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata.get_payload() == (folder / "README.md").read_text(encoding="utf-8")
    entries = content(wheel, ".dist-info/entry_points.txt")
    (provider,) = project["entry-points"]["eventing.providers"].items()
    assert f"[eventing.providers]\n{provider[0]} = {provider[1]}" in entries


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_each_package_tells_its_changes(package: Path):
    text = (package / "CHANGELOG.md").read_text(encoding="utf-8")
    version = tomllib.loads((package / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert text.startswith(f"# Changelog of {package.name}\n")
    assert "## [Unreleased]" in text or f"## [{version}]" in text


@pytest.fixture(scope="session", params=[package.name for package in PACKAGES])
def installed(
    request: pytest.FixtureRequest, wheels: dict[str, Path], make_environment: Callable[[], Environment]
) -> tuple[str, Environment]:
    """Each distribution, and an environment with nothing but its wheel, the core's, and what they depend on."""
    name: str = request.param
    environment = make_environment()
    environment.install(*{wheels["eventing-core"], wheels[name]})
    return name, environment


@pytest.mark.timeout(300)
def test_a_wheel_works_alone(installed: tuple[str, Environment]):
    name, environment = installed
    own = {"eventing-core": "memory"}.get(name, name.removeprefix("eventing-"))
    assert environment.run(PROVIDERS).split() == sorted({"memory", own})
    assert environment.run(EVENT_ON_MEMORY) == "handled world\n"
    environment.run(
        f"import sys, {name.replace('-', '_')}\n"
        "from eventing_core import EventManager\n"
        f"EventManager.from_config(provider={own!r})\n"
        "assert not {'proton', 'cproton', 'stomp'} & set(sys.modules), 'a driver was imported early'\n"
    )


def test_the_core_brings_no_driver(installed: tuple[str, Environment]):
    name, environment = installed
    listed = {row["name"] for row in json.loads(check(environment.python, "-m", "pip", "list", "--format=json"))}
    drivers = {"eventing-core": set[str](), "eventing-amqp": {"python-qpid-proton"}, "eventing-stomp": {"stomp.py"}}
    assert listed & {"python-qpid-proton", "stomp.py"} == drivers[name]
    assert not listed & {"pytest", "injector", "typer"}


def test_the_command_line_without_its_extra_says_what_to_install(installed: tuple[str, Environment]):
    _, environment = installed
    done = run(environment.python.parent / "eventing", "new-provider", "smoke", cwd=environment.folder)
    assert done.returncode == 1
    assert done.stdout == "eventing: the command line needs an extra: pip install 'eventing-core[cli]'\n"
