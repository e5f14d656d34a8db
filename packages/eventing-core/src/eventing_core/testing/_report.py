"""The table at the end of a run: for each provider's class, which behaviours hold, and what became of the others."""

from __future__ import annotations

import pytest

from eventing_core.testing._kit import Kit
from eventing_core.testing._verdict import Finding, Verdict

#: Under this name the table is a plugin of the run.
_NAME = "eventing-conformance"


class Table:
    """A plugin of the test run that tells of `ProviderConformance` classes. One for the whole run."""

    def __init__(self) -> None:
        self._providers: dict[str, str] = {}
        self._findings: dict[str, dict[tuple[str, str], Finding]] = {}

    def add(self, test_class: type) -> None:
        """Tell of a class. Idempotent."""
        self._providers.setdefault(_key(test_class), "")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        """Keep what a test found. Makes no report: the other plugins do."""
        key = _key(getattr(item, "cls", None))
        if key not in self._providers or not isinstance(item, pytest.Function):
            return
        kit = item.funcargs.get("kit")
        if isinstance(kit, Kit):
            self._providers[key] = kit.provider_name
        parameters = item.callspec.id if hasattr(item, "callspec") else ""
        findings = self._findings.setdefault(key, {})
        name = (item.originalname, parameters)
        if call.excinfo is None:
            if call.when == "call" and isinstance(kit, Kit):
                findings[name] = kit.finding
        elif isinstance(call.excinfo.value, pytest.skip.Exception):
            # Seen here, before a stricter project makes a failure of it.
            findings[name] = Finding(Verdict.UNTRIED, [str(call.excinfo.value)])
        else:
            findings[name] = Finding(Verdict.FAILED)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print a table for each class of which a test ran."""
        for key, findings in self._findings.items():
            terminalreporter.write_sep("=", f"conformance of {self._providers[key] or 'a provider'} ({key})")
            rows = _rows(findings)
            for verdict, text in rows:
                markup = {"red": verdict is Verdict.FAILED, "yellow": verdict is Verdict.UNTRIED}
                terminalreporter.write_line(f"{verdict.value:<18}  {text}", **markup)
            counts = {verdict: sum(row[0] is verdict for row in rows) for verdict in Verdict}
            told = ", ".join(f"{verdict.value}: {count}" for verdict, count in counts.items() if count)
            terminalreporter.write_line(f"{len(rows)} behaviours; {told}")


def tell_of(test_class: type, config: pytest.Config) -> None:
    """Have the table of a class printed. Not by an entry point: installing the kit costs other runs nothing."""
    if not config.pluginmanager.has_plugin(_NAME):
        config.pluginmanager.register(Table(), _NAME)
    table = config.pluginmanager.get_plugin(_NAME)
    if isinstance(table, Table):
        table.add(test_class)


def _rows(findings: dict[tuple[str, str], Finding]) -> list[tuple[Verdict, str]]:
    """One row for each behaviour; for each of its cases, where they differ. Sorted by verdict."""
    groups: dict[tuple[str, Verdict, str], list[str]] = {}
    for (name, case), finding in findings.items():
        groups.setdefault((name, finding.verdict, "; ".join(finding.reasons)), []).append(case)
    names = [name for name, _, _ in groups]
    rows: list[tuple[Verdict, str]] = []
    for (name, verdict, reasons), cases in groups.items():
        text = name.removeprefix("test_").replace("_", " ")
        if names.count(name) > 1:
            text += f" [{', '.join(cases)}]"
        rows.append((verdict, f"{text} ({reasons})" if reasons else text))
    order = list(Verdict)
    return sorted(rows, key=lambda row: order.index(row[0]))


def _key(test_class: type | None) -> str:
    return f"{test_class.__module__}.{test_class.__qualname__}" if test_class else ""
