"""Each lock says what it guards."""

from __future__ import annotations

import re

from tests.support.commands import ROOT

_CORE = "packages/eventing-core/src/eventing_core"
#: Where it is looked at.
_PLACES = (
    f"{_CORE}/provider/**/*.py",
    f"{_CORE}/memory/*.py",
    f"{_CORE}/_manager*.py",
    f"{_CORE}/_opening.py",
    "packages/eventing-amqp/src/**/*.py",
    "packages/eventing-stomp/src/**/*.py",
)
_LOCK = re.compile(r"^\s+(?:self\.)?\w+(?:: .+)? = threading\.(?:R?Lock|Condition)\(")


def flaws(text: str) -> list[int]:
    """The lines that make a lock without a comment above them; but for those in which a forked child renews one."""
    found = []
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        above = lines[number - 2].strip() if number > 1 else ""
        if _LOCK.match(line) and not above.startswith("#"):
            function = next((each for each in reversed(lines[: number - 1]) if each.lstrip().startswith("def ")), "")
            if not re.search(r"def (abandon|after_fork)\(", function):
                found.append(number)
    return found


def test_each_lock_says_what_it_guards():
    files = [path for place in _PLACES for path in sorted(ROOT.glob(place))]
    assert len(files) > 50
    flawed = [
        f"{path.relative_to(ROOT)}:{number}: say in a comment above what this lock guards"
        for path in files
        for number in flaws(path.read_text(encoding="utf-8"))
    ]
    assert not flawed, "\n".join(flawed)


def test_a_lock_without_a_comment_is_found():
    text = "class A:\n    def __init__(self):\n        self.x = 1\n        self._lock = threading.Lock()\n"
    assert flaws(text) == [4]
    assert not flaws(text.replace("self.x = 1", "#: Guards x."))
    assert not flaws(text.replace("__init__", "abandon"))
