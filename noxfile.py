"""Everything that a person or CI runs. `nox -l` lists the sessions; what follows `--` goes to the program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nox

ROOT = Path(__file__).parent
#: Wheels of what the packages depend on, Proton's among them, which takes a compiler: built once, used by all
#: environments and by the packaging tests.
WHEELS = ROOT / ".cache" / "wheels"
#: Each folder below `packages` with a pyproject.toml is a distribution.
PACKAGES: dict[str, dict[str, Any]] = {
    path.parent.name: nox.project.load_toml(path)["project"] for path in sorted(ROOT.glob("packages/*/pyproject.toml"))
}
#: A stranger's distribution: linters and type checkers look at it like at our own.
EXAMPLE = ("--editable", "examples/eventing-sqlite")
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
#: Parts of the tests that have a session of their own, for work on them.
PARTS = ("unit", "machine", "conformance", "integration", "typing", "packaging", "lint")

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["test"]
nox.options.reuse_venv = "yes"


def install(session: nox.Session, *packages: str, more: Sequence[str] = ()) -> None:
    """Install packages of this checkout, editable, with all extras; compile at most once."""
    session.create_tmp()  # also sets TMPDIR: nothing is left outside the checkout
    WHEELS.mkdir(parents=True, exist_ok=True)
    session.env["PIP_FIND_LINKS"] = str(WHEELS)
    session.env["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    foreign = [
        requirement
        for package in packages
        for requirement in PACKAGES[package]["dependencies"]
        if not requirement.startswith(tuple(PACKAGES))
    ]
    session.run_install("pip", "wheel", "--quiet", f"--wheel-dir={WHEELS}", *foreign, silent=True)
    arguments: list[str] = []
    for package in packages:
        extras = ",".join(PACKAGES[package].get("optional-dependencies", ()))
        arguments += ["--editable", f"packages/{package}" + (f"[{extras}]" if extras else "")]
    session.install(*arguments, *more)


def run_tests(session: nox.Session, *paths: str) -> None:
    """Run pytest in an environment with everything."""
    install(session, *PACKAGES, more=[*EXAMPLE, *nox.project.dependency_groups(PROJECT, "test")])
    # The first fetch of a broker takes a while; here it counts against no test's time limit.
    session.run("python", "-m", "examples.artemis", "--fetch")
    session.run("python", "-m", "pytest", *(session.posargs or paths))


@nox.session
def test(session: nox.Session) -> None:
    """All tests: unit, conformance, integration, typing, packaging, lint, examples in README and docs."""
    run_tests(session)


def part(name: str) -> None:
    """Make the session of one part of the tests."""

    @nox.session(name=name, default=False)
    def run(session: nox.Session) -> None:
        run_tests(session, f"tests/{name}")

    run.__doc__ = f"The tests in tests/{name}."


for name in PARTS:
    part(name)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """The examples in README and docs."""
    run_tests(session, "README.md", "docs", "packages")


@nox.session(default=False)
def demo(session: nox.Session) -> None:
    """A small order system on the in-memory broker; on Artemis with `-- --provider amqp`."""
    # Without need for it nobody should have to compile Proton.
    words = " ".join(session.posargs).replace("=", " ").split()
    packages = [
        package for package in PACKAGES if package == "eventing-core" or package.removeprefix("eventing-") in words
    ]
    install(session, *packages)
    session.run("python", "-m", "examples.orders", *session.posargs)


@nox.session(default=False)
def faults(session: nox.Session) -> None:
    """The fault suite in full, which writes docs/explanation/reliability.md: an hour or two, on brokers of its own."""
    install(session, *PACKAGES, more=nox.project.dependency_groups(PROJECT, "test"))
    session.run("python", "-m", "tests.faults", *session.posargs)


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """How fast it is beside the raw clients by hand, and others, on an Artemis of its own. Wants an idle machine."""
    install(session, *PACKAGES, more=nox.project.dependency_groups(PROJECT, "bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(default=False)
def against(session: nox.Session) -> None:
    """Processor time per event against another commit: `-- COMMIT`. On an Artemis of its own; wants an idle machine."""
    install(session, *PACKAGES, more=nox.project.dependency_groups(PROJECT, "bench"))
    session.run("python", "-m", "benchmarks.against", *session.posargs)


@nox.session(default=False)
def lowest(session: nox.Session) -> None:
    """Unit tests with the lowest versions that the packages allow."""
    install(session, *PACKAGES, more=nox.project.dependency_groups(PROJECT, "test"))
    bounds = [
        requirement.partition(",")[0].replace(">=", "~=")
        for project in PACKAGES.values()
        for requirement in project["dependencies"]
        if not requirement.startswith(tuple(PACKAGES))
    ]
    session.install(*bounds)
    session.run("python", "-m", "pytest", *(session.posargs or ["tests/unit", "tests/conformance"]))
