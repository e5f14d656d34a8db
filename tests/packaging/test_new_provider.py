"""What ``eventing new-provider`` writes runs its kit at once, and fails only where there is work to do."""

from __future__ import annotations

import os
import re
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from eventing_core.cli._skeleton import core_versions, write_skeleton
from tests.packaging.conftest import Environment
from tests.support.commands import check, module, run

#: What holds of a provider that does nothing yet: what it says of itself, and that it isn't there when it is closed.
HOLDS = {
    "a closed provider subscribes nothing",
    "capabilities are as reviewed",
    "sending after a stop is refused",
    "the plugin is for this interface",
}
#: What it can't do, and is asserted to refuse.
REFUSED = {
    "durable is kept or refused (durable = False)",
    "per process is kept or refused (per_process = False)",
    "ordered is kept or refused (exclusive = False)",
}

#: How long the kit may take where every wait is in vain, in seconds: far less than one of its waits.
QUICK = 25.0


@dataclass(frozen=True)
class Skeleton:
    """A skeleton, generated from the core's wheel and installed beside it.

    Attributes:
        folder: where it is.
        results: test -> what went wrong, or None.
        output: of the kit.
        seconds: that the kit took.
    """

    folder: Path
    results: dict[str, str | None]
    output: str
    seconds: float


@pytest.fixture(scope="session")
def skeleton(
    wheels: dict[str, Path], make_environment: Callable[[], Environment], tmp_path_factory: pytest.TempPathFactory
) -> Skeleton:
    environment, place = make_environment(), tmp_path_factory.mktemp("place")
    environment.install(f"{wheels['eventing-core']}[cli]")
    programs = environment.python.parent
    check(programs / "eventing", "new-provider", "smoke", cwd=place)
    folder = place / "eventing-smoke"
    # The core's wheel, and beside it the wheels that the index doesn't have.
    links = f"{wheels['eventing-core'].parent} {os.environ.get('PIP_FIND_LINKS', '')}"
    install = (environment.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    check(*install, "--editable", f"{folder}[test]", cwd=folder, env={"PIP_FIND_LINKS": links})
    begin = time.monotonic()
    done = run(programs / "pytest", "--junit-xml=results.xml", cwd=folder, env={"PYTEST_ADDOPTS": "--color=no"})
    seconds = time.monotonic() - begin
    assert done.returncode == 1, done.stdout
    return Skeleton(folder, read_results(folder / "results.xml"), done.stdout, seconds)


def read_results(file: Path) -> dict[str, str | None]:
    """Test -> what went wrong: ``<kind>: <message>``."""
    results: dict[str, str | None] = {}
    for case in ET.parse(file).iter("testcase"):  # noqa: S314 (written by pytest, just now)
        flaws = [f"{flaw.tag}: {flaw.get('message')}" for flaw in case if flaw.tag in {"failure", "error", "skipped"}]
        results[case.attrib["name"]] = "; ".join(flaws) or None
    return results


def rows(skeleton: Skeleton, verdict: str) -> set[str]:
    """The behaviours of which the kit's table says so."""
    return set(re.findall(rf"^{verdict} +(\S.*?) *$", skeleton.output, re.MULTILINE))


@pytest.mark.timeout(300)
def test_what_needs_no_work_holds_or_is_refused(skeleton: Skeleton):
    assert rows(skeleton, "holds") == HOLDS, "does a test of the kit pass for a provider that does nothing?"
    assert rows(skeleton, "refused") >= REFUSED
    assert rows(skeleton, "could not be tried") == set()


def test_what_fails_says_what_is_to_be_written_and_where(skeleton: Skeleton):
    flaws = {name: flaw for name, flaw in skeleton.results.items() if flaw is not None}
    assert len(flaws) > 50
    others = {
        name: flaw
        for name, flaw in flaws.items()
        if not flaw.startswith("failure: NotImplementedError: to be written: Smoke")
        or "in src/eventing_smoke/_" not in flaw
    }
    assert not others


def test_nothing_of_the_kit_waits_for_what_is_unwritten(skeleton: Skeleton):
    assert skeleton.seconds < QUICK


def test_its_metadata(skeleton: Skeleton):
    project = tomllib.loads((skeleton.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == "eventing-smoke"
    assert project["entry-points"] == {"eventing.providers": {"smoke": "eventing_smoke._plugin"}}
    assert project["dependencies"] == [f"eventing-core{core_versions(version('eventing-core'))}"]


@pytest.mark.parametrize("name", ["x", "smoke", "rabbitmqstreams"])
def test_it_is_formatted_and_typed(tmp_path: Path, name: str):
    folder = write_skeleton(name, tmp_path)
    check(*module("ruff"), "format", "--no-cache", "--check", "--diff", cwd=folder)
    check(*module("ruff"), "check", "--no-cache", cwd=folder)
    check(*module("mypy"), "--cache-dir", tmp_path / "cache", cwd=folder)
