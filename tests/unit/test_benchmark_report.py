"""What the benchmark says of its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.cases import Case, Line, Step

STEP = Step("eventing", "receive", 1)


def results(ours: list[float], theirs: list[float], *, goal: float | None = 2.0, **flaws: float) -> report.Results:
    """Of one case, round by round."""
    case = Case("100 B", "amqp", {"Eventing": (STEP,), "Proton": (STEP,)}, (Line("receive", goal=goal),))
    rounds = {"Eventing": [[{"rate": rate, **flaws}] for rate in ours], "Proton": [[{"rate": rate}] for rate in theirs]}
    return report.Results(case, rounds)  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "performance.json"
    path.write_text(json.dumps({"quick": {"amqp, 100 B: receive": 3.0}}))
    monkeypatch.setattr(report, "FIGURES", path)


def test_a_ratio_is_of_the_two_in_one_round_and_the_median_counts():
    (row,) = report.rows_of(results([10.0, 30.0, 60.0], [10.0, 10.0, 10.0]))
    assert (row.ratio, row.holds) == (3.0, True)
    (row,) = report.rows_of(results([10.0, 10.0, 60.0], [10.0, 10.0, 10.0]))
    assert (row.ratio, row.holds) == (1.0, False)


def test_a_goal_that_is_reached_by_losing_is_not_reached():
    (row,) = report.rows_of(results([90.0], [10.0], lost=1))
    assert (row.holds, row.flaw) == (False, "Eventing: 1 lost")


@pytest.mark.parametrize(("best", "told"), [(21.0, False), (19.0, True)])
def test_a_ratio_has_fallen_when_its_best_is_less_than_two_thirds(best: float, told: bool):
    found = report.fallen([results([1.0, best], [10.0, 10.0])])
    assert bool(found) is told
    assert not told or found == ["amqp, 100 B: receive: 1.90 times Proton at best, and it was 3.00"]


def test_a_short_run_without_a_full_one_says_so():
    report.FIGURES.unlink()
    assert report.fallen([results([90.0], [10.0])]) == [
        "performance.json is missing: a full run has to come first, to compare with"
    ]


def test_what_is_lost_in_a_short_run_is_told():
    assert report.fallen([results([90.0], [10.0], lost=2)]) == ["amqp, 100 B: 2 lost"]


def test_who_loses_is_not_ranked():
    (row,) = report.rows_of(results([90.0], [10.0], goal=None, twice=1))
    assert "| 90 | Proton | 10 |  |  |  | Eventing: 1 twice |" in report.table([row])[-1]
