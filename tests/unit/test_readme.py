"""The README's programs run, each by itself, and print what it shows; its figures are those of the benchmark."""

from __future__ import annotations

import doctest
import re
import sys
from pathlib import Path

import pytest

from tests.support.commands import ROOT, check

README = (ROOT / "README.md").read_text(encoding="utf-8")

PROGRAMS = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)

#: Programs and the output that follows each, with at most a paragraph in between.
SHOWN = re.findall(r"^```python\n(.*?)^```\n\n(?:[^`#]+\n\n)?```text\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_output_of_every_program_is_shown():
    assert len(PROGRAMS) == 3
    assert [program for program, _ in SHOWN] == PROGRAMS


@pytest.mark.parametrize(("program", "output"), SHOWN, ids=["first", "failure", "injection"])
def test_a_program_prints_what_is_shown(program: str, output: str, tmp_path: Path):
    file = tmp_path / "orders.py"
    file.write_text(program, encoding="utf-8")
    printed = check(sys.executable, "-u", file, cwd=tmp_path)
    assert doctest.OutputChecker().check_output(output, printed, doctest.ELLIPSIS), printed


def test_the_readme_begins_with_a_short_program_and_a_failure():
    headings = re.findall(r"^## (.*)", README, re.MULTILINE)
    assert headings[:3] == ["Install", "A first program", "When a listener fails"]
    assert len(PROGRAMS[0].splitlines()) <= 17
    assert "EventManager.from_config()" in PROGRAMS[0]
    assert ".dead_letters(" in PROGRAMS[1]


@pytest.mark.parametrize(
    ("over", "baseline", "claim"),
    [
        ("AMQP", "Proton", r"sent (\S+) times and received (\S+) times as fast as with Proton"),
        ("STOMP", "stomp.py", r"over STOMP (\S+) and (\S+) times as fast as with stomp\.py"),
    ],
    ids=["AMQP", "STOMP"],
)
def test_the_speed_is_what_was_measured(over: str, baseline: str, claim: str):
    table = (ROOT / "docs" / "explanation" / "performance.md").read_text(encoding="utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in table.splitlines() if line.startswith("|")]
    found = re.search(claim, " ".join(README.split()))
    assert found
    for figure, name in zip(found.groups(), ("confirmed pipelined send", "receive, typed"), strict=True):
        (measured,) = (row[7] for row in rows if row[1:4] == [over, "100 B", name] and row[5] == baseline)
        assert float(figure) == round(float(measured), 1)


GUARANTEES = README.partition("\n## What is guaranteed\n")[2].partition("\n## ")[0]

#: Text, file and name of a test.
PROOF = re.compile(r'\[([^]]+)\]\(([^) ]+) "(test_\w+)"\)')


def test_each_sentence_of_the_guarantees_links_to_its_proof():
    paragraphs = [" ".join(paragraph.split()) for paragraph in GUARANTEES.split("\n- ")[1:]]
    assert len(paragraphs) == 9
    for paragraph in paragraphs:
        promise = re.sub(r"^\*\*[^*]+\.\*\* ", "", PROOF.sub(r"\1<test>", paragraph))
        for sentence in re.split(r"(?<=\.) (?=[A-Z])", promise):
            assert "<test>" in sentence, sentence


def test_each_proof_is_there():
    proofs = PROOF.findall(GUARANTEES)
    assert len(proofs) > 25
    for _, file, name in proofs:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text(encoding="utf-8")), f"{file}: {name}"
