"""For every test: nothing is skipped in CI, and the Python examples in README and docs are executed."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack
from typing import cast

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

import eventing_core
from eventing_core.testing import isolated_declarations

IN_CI = os.environ.get("CI", "").lower() not in {"", "0", "false"}


def _set_up(namespace: dict[str, object]) -> None:
    # Classes defined in a document get this module name, in messages and for pydantic.
    namespace["__name__"] = "__main__"
    # A document is a program of its own: its managers take what it declares, and nothing of the tests.
    declarations = ExitStack()
    declarations.enter_context(isolated_declarations(empty=True))
    namespace["declarations of the document"] = declarations


def _tear_down(namespace: dict[str, object]) -> None:
    for value in list(namespace.values()):
        if isinstance(value, eventing_core.EventManager):
            value.stop()
    cast("ExitStack", namespace["declarations of the document"]).close()


pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["*.md"],
    excludes=["CHANGELOG.md"],
    setup=_set_up,
    teardown=_tear_down,
).pytest()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped test into a failed one in CI."""
    report = yield
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI doesn't allow: {_reason(report.longrepr)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a module that skips itself while it is collected."""
    report = yield
    if IN_CI and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"skipped, which CI doesn't allow: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: object) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
