"""What users read is idiomatic English, in the trade's own words.

The pages, the docstrings of what users import, the help of the command line, and the messages in the code are searched
for phrases that sound translated, or that a reader has to decode. Not searched are records, which stay as they were
written: the decisions, and the two reports with figures.
"""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest

from tests.support.commands import ROOT


@dataclass(frozen=True)
class Phrase:
    """What not to write.

    Attributes:
        pattern: a regular expression; case is ignored, and each white space stands for any amount of it.
        why: what is wrong with it.
        better: what to write instead.
        caught: a sentence that the expression has to find.
        allowed: a sentence that it must not find.
    """

    pattern: str
    why: str
    better: str
    caught: str
    allowed: str


TRANSLATED = "it sounds translated"
DECODED = "a reader has to decode it"
OLD = "it is old-fashioned or literary"

PHRASES = [
    Phrase(
        r"(?<!there )\b(?:is|are|was|were|isn't) no (?!longer\b|(?:more|less|earlier|later) than\b)\w+",
        TRANSLATED,
        "'is not a ...', 'is not an event class'; 'there is no ...' is fine",
        "the class is no event",
        "there is no connection, and it is no longer needed",
    ),
    Phrase(r"\bhas one life\b", TRANSLATED, "'cannot be restarted'", "A manager has one life", "its life is long"),
    Phrase(r"\ban own\b", TRANSLATED, "'its own'", "it has an own queue", "a queue of its own"),
    Phrase(
        r"\bbears?\b(?! in mind)",
        TRANSLATED,
        "'must be idempotent', 'tolerates'",
        "a listener has to bear that",
        "bear in mind",
    ),
    Phrase(
        r"\bgo(?:es)? over (?:the|a|all) (?:file|setting|default|configuration)",
        TRANSLATED,
        "'overrides'",
        "environment variables go over the file",
        "the events go over the network",
    ),
    Phrase(
        r"\bso (?:many|few)\b(?! that\b)", TRANSLATED, "'number of ...', 'up to N'", "after so many events", "as many"
    ),
    Phrase(
        r"\b(?:what|all that|that|deliveries?|messages?|everything) (?:is|are|was|were|may be|be) out\b(?! of\b)",
        DECODED,
        "'unsettled deliveries'",
        "what is out comes back",
        "time is out of range",
    ),
    Phrase(
        r"\bgoes back\b|\bgo back to the broker\b|\bgiv(?:es?|en|ing) (?:it |them |the rest |everything )?back\b",
        DECODED,
        "'is returned', 'returns'",
        "the rest goes back",
        "returns the rest",
    ),
    Phrase(
        r"\b(?:taken?|counts?|found|passes|pass) (?:for |as )?(?:dead|living|alive)\b",
        TRANSLATED,
        "'considered dead'",
        "the peer is taken for dead",
        "the peer is considered dead",
    ),
    Phrase(r"\bmend(?:s|ed|ing)?\b", OLD, "'fix', 'repair', 'restore'", "says how to mend it", "recommended"),
    Phrase(r"\bseldom(?:er)?\b", OLD, "'rarely', 'less often'", "it happens seldomer", "rarely"),
    Phrase(r"\bfor ever\b", OLD, "'forever', 'indefinitely'", "it waits for ever", "waits for every listener"),
    Phrase(
        r"(?<=\s)beside(?=\s)",
        TRANSLATED,
        "'alongside', 'in addition to', 'besides'",
        "it runs beside others",
        "besides",
    ),
    Phrase(
        r"\b(?:is|are|was|were|be|been|being) told\b|\b(?:tells?|told) of\b",
        TRANSLATED,
        "'is reported', 'reports', 'is notified'",
        "health tells of stuck runs",
        "what the broker tells its clients",
    ),
    Phrase(
        r"\b(?:is|are|was|were) warned of\b|\bwarns of\b",
        TRANSLATED,
        "'a warning is logged about', 'warns about'",
        "settings are warned of",
        "warns about them",
    ),
    Phrase(
        r"\bby hand on the (?:raw|bare)\b|\bNo price in\b",
        TRANSLATED,
        "'hand-written code on the raw client'",
        "faster than by hand on the raw clients",
        "written by hand",
    ),
    Phrase(
        r"\b(?:can|can't|cannot|could|couldn't|to|may|is to) be had\b",
        TRANSLATED,
        "'is not available', 'can't be created', 'can't be obtained'",
        "the queue can't be had",
        "we had it",
    ),
    Phrase(
        r"\b(?:comes?|came) (?:back )?again\b",
        DECODED,
        "'is redelivered', 'is delivered again'",
        "the event comes again",
        "it is delivered again",
    ),
    Phrase(
        r"\b(?:is|was|are|were|been|be|it|broker) giv(?:es?|en) (?:\w+ )?out\b",
        TRANSLATED,
        "'is delivered', 'delivers'",
        "it was given out before",
        "it was given a name",
    ),
    Phrase(r"\banew\b", OLD, "'again'", "each generation reads it anew", "a new one"),
    Phrase(r"\bstrangers?\b", TRANSLATED, "'third party', 'another sender'", "a stranger's JSON", "strange"),
    Phrase(
        r"\bhas to be (?:a|an|True) [^.]{0,60}, and is\b",
        TRANSLATED,
        "'must be a string, not of type int'",
        "name has to be a string, and is of type int",
        "it has to be a string",
    ),
    Phrase(
        r"\b(?:can't|cannot|could not) be made (?:by|anew|:)|\bqueues? (?:is|are|was|were) made\b",
        TRANSLATED,
        "'created'",
        "the listener can't be made by the injector",
        "the change can't be made",
    ),
    Phrase(
        r"\bis lacking\b|\bfor want of\b", OLD, "'is missing', 'without'", "the capability is lacking", "it lacks it"
    ),
    Phrase(r"\bwhoever\b", OLD, "name who it is", "Whoever reads them sets it", "who reads them"),
    Phrase(
        r"\bliving (?:process|server|manager|peer|predecessor)",
        TRANSLATED,
        "'a running process'",
        "a living process loses its connection",
        "a running process",
    ),
    Phrase(r"\bone's own\b", OLD, "'your own'", "a handler of one's own", "their own"),
    Phrase(
        r"\b(?:lacks?|without|missing) (?:the|a) right\b|\bright to (?:manage|send|consume|read|write)\b",
        TRANSLATED,
        "'permission'",
        "the user lacks the right to send",
        "the right queue",
    ),
    Phrase(
        r"\b(?:does|do) not cure\b|\bdoesn't cure\b|\bto bear witness\b",
        TRANSLATED,
        "'doesn't fix'",
        "waiting doesn't cure it",
        "it is secure",
    ),
    Phrase(r"\bwithout end\b", TRANSLATED, "'indefinitely'", "it is tried without end", "without ending"),
    Phrase(
        r"\b(?:which|what|that) (?:is|are) called so\b|\blets? no guests\b|\blet guests in\b",
        TRANSLATED,
        "'doesn't allow anonymous connections'",
        "the broker lets no guests in",
        "the guests",
    ),
    Phrase(r"\bBetter give\b", TRANSLATED, "'It is better to ...'", "Better give it a type", "give it a better type"),
    Phrase(
        r"\b(?:queue|it|message|copy|host|plugin|broker|connection) is(?:n't| not)? there\b",
        TRANSLATED,
        "'exists', 'is available'",
        "once the queue is there",
        "is there a queue?",
    ),
    Phrase(
        r"\bwhat becomes of\b|\bwhat became of\b",
        DECODED,
        "'the outcome of', 'what happens to'",
        "what became of the send",
        "it became clear",
    ),
    Phrase(
        r"\b(?:close|detach|stop) in order\b(?! to\b)",
        TRANSLATED,
        "'an orderly stop'",
        "a stop in order",
        "stop in order to",
    ),
    Phrase(r"(?<!there )\bis none\b", TRANSLATED, "'is not a ...'", "the class is none", "when there is none"),
    Phrase(
        r"\bis there twice\b|\bstands (?:there|several)\b",
        TRANSLATED,
        "'occurs twice'",
        "it is there twice",
        "there is",
    ),
]

#: Pages that record what was: the decisions, and the figures with the words around them.
RECORDS = ("docs/decisions/", "docs/explanation/performance.md", "docs/explanation/reliability.md")

PUBLIC = [
    "eventing_core",
    "eventing_core.errors",
    "eventing_core.hookspecs",
    "eventing_core.injector",
    "eventing_core.memory",
    "eventing_core.provider",
    "eventing_core.provider.artemis",
    "eventing_core.provider.sockets",
    "eventing_core.testing",
    "eventing_amqp",
    "eventing_stomp",
]


@dataclass(frozen=True)
class Text:
    """Something that a user reads."""

    place: str
    text: str


def flaws(text: str) -> Iterator[tuple[Phrase, str]]:
    """Each phrase that it contains, with what was found."""
    plain = " ".join(text.split())
    for phrase in PHRASES:
        for found in re.finditer(phrase.pattern, plain, re.IGNORECASE):
            yield phrase, plain[max(0, found.start() - 40) : found.end() + 40]


def report(texts: Iterator[Text]) -> str:
    return "\n".join(
        f"{one.place}: ...{found}...\n    {phrase.why}; better: {phrase.better}"
        for one in texts
        for phrase, found in flaws(one.text)
    )


def pages() -> Iterator[Text]:
    """The paragraphs of all pages, without their programs; the output that a page shows is read by users, too."""
    found = [
        ROOT / "README.md",
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("packages/*/*.md"),
        *ROOT.glob("examples/*/*.md"),
    ]
    found += ROOT.glob("packages/eventing-core/src/eventing_core/cli/templates/**/*.in")
    for path in sorted(found):
        name = path.relative_to(ROOT).as_posix()
        if name.startswith(RECORDS):
            continue
        text = re.sub(
            r"^```(?:python|toml|xml)\n.*?^```",
            _blank,
            path.read_text(encoding="utf-8"),
            flags=re.MULTILINE | re.DOTALL,
        )
        # Names, of tests for example, are not prose.
        text = re.sub(r"`[\w./:]+`", "`name`", text)
        line = 1
        for paragraph in re.split(r"(\n\n)", text):
            yield Text(f"{name}:{line}", paragraph)
            line += paragraph.count("\n")


def _blank(found: re.Match[str]) -> str:
    return "\n" * found[0].count("\n")


def docstrings() -> Iterator[Text]:
    """Those of everything that users and the authors of transports import."""
    seen: set[int] = set()
    for name in PUBLIC:
        module = importlib.import_module(name)
        yield Text(name, module.__doc__ or "")
        for exported in getattr(module, "__all__", ()) or _defined(module):
            yield from _documented(f"{name}.{exported}", getattr(module, exported), seen)


def _defined(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__]


def _documented(name: str, value: Any, seen: set[int]) -> Iterator[Text]:
    origin = getattr(value, "__module__", None) or getattr(getattr(value, "fget", None), "__module__", "") or ""
    if id(value) in seen or not origin.startswith("eventing_"):
        return
    seen.add(id(value))
    yield Text(name, getattr(value, "__doc__", None) or "")
    if inspect.isclass(value):
        for member, what in vars(value).items():
            if not member.startswith("_"):
                yield from _documented(f"{name}.{member}", getattr(what, "__func__", what), seen)


def messages() -> Iterator[Text]:
    """All texts in the code: errors and log lines, the kit's behaviours, the help of the command line."""
    for path in sorted(ROOT.glob("packages/*/src/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        is_help = "/cli/" in path.as_posix()
        skipped: set[int] = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and not is_help:
                skipped.add(id(node.value))
            if isinstance(node, ast.JoinedStr):
                skipped.update(id(inner) for inner in ast.walk(node) if inner is not node)
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):  # a row in the kit's table
                yield Text(f"{path.relative_to(ROOT).as_posix()}:{node.lineno}", node.name.replace("_", " "))
            if id(node) not in skipped and (text := _text(node)):
                yield Text(f"{path.relative_to(ROOT).as_posix()}:{getattr(node, 'lineno', 0)}", text)


def _text(node: ast.AST) -> str:
    """What a literal says; ``{}`` stands for a value in it."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.caught)
def test_a_phrase_is_found_and_what_resembles_it_is_not(phrase: Phrase):
    assert re.search(phrase.pattern, phrase.caught, re.IGNORECASE)
    assert not re.search(phrase.pattern, phrase.allowed, re.IGNORECASE)


def test_the_pages():
    assert not (found := report(pages())), found


def test_the_docstrings():
    assert not (found := report(docstrings())), found


def test_the_messages():
    assert not (found := report(messages())), found


def test_everything_is_searched():
    assert {one.place.partition(":")[0] for one in pages()} >= {"README.md", "docs/index.md", "docs/architecture.md"}
    assert {one.place for one in docstrings()} >= {"eventing_core.EventManager.send_event", "eventing_amqp.AMQProvider"}
    assert sum(1 for _ in messages()) > 1000
