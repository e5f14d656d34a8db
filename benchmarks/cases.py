"""What is measured, against what, and what is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Provider = Literal["amqp", "stomp", "memory"]


@dataclass(frozen=True)
class Step:
    """One measurement, in a process of its own.

    Attributes:
        contender: a module in `benchmarks.contenders`.
        what: it is to do, of so many events.
        words: its options.
    """

    contender: str
    what: str
    count: int
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Line:
    """A figure to compare.

    Attributes:
        name: for people.
        step: which of a run's steps tells it.
        figure: its name there.
        goal: wanted of the ratio, at least; None: it is only shown.
        at_most: the goal is an upper bound, as for times.
        against: another run than the second.
        absolute: the goal is of the figure itself.
    """

    name: str
    step: int = 0
    figure: str = "rate"
    goal: float | None = None
    at_most: bool = False
    against: str = ""
    absolute: bool = False


@dataclass(frozen=True)
class Case:
    """Runs that are compared, by turns.

    Attributes:
        name: also the beginning of the addresses' names.
        runs: each its steps; the first is ours, the second the baseline.
        rounds: how often at the most.
        quick: it belongs to the quick form.
    """

    name: str
    provider: Provider
    runs: Mapping[str, tuple[Step, ...]]
    lines: tuple[Line, ...]
    rounds: int = 100
    quick: bool = False


def pair(contender: str, count: int, *words: str, receive: tuple[str, ...] = ()) -> tuple[Step, ...]:
    """Send, then receive the same events: which also tells what was lost, and what came twice."""
    return (Step(contender, "send", count, words), Step(contender, "receive", count, (*words, *receive)))


SEND, RECEIVE = "confirmed pipelined send", "receive, typed"


def cases(rounds: int) -> list[Case]:
    """All; so many ``rounds`` of computing take a millisecond."""
    return [*_amqp(rounds), *_stomp(rounds), *_memory()]


def _both_ways(
    name: str,
    provider: Provider,
    counts: tuple[int, int],
    *words: str,
    goals: tuple[float | None, float | None] = (None, None),
    quick: bool = False,
) -> Case:
    raw = {"amqp": ("Proton", "proton_handler"), "stomp": ("stomp.py", "stomp_py")}[provider]
    runs = {"Eventing": pair("eventing", counts[0], *words), raw[0]: pair(raw[1], counts[1], *words)}
    if not words and provider == "amqp":
        runs["repid (unconfirmed)"] = pair("repid_amqp", 4_000)
    if not words and provider == "stomp":
        runs["faststream-stomp"] = pair("faststream", 4_000)
    return Case(name, provider, runs, (Line(SEND, goal=goals[0]), Line(RECEIVE, 1, goal=goals[1])), quick=quick)


def _amqp(rounds: int) -> list[Case]:
    goals, counts = (2.5, 4.0), (40_000, 20_000)
    computing = ("--rounds", str(rounds))
    plain = pair("proton_handler", 20_000)
    drained = Step("eventing", "receive", 3_000)
    return [
        _both_ways("100 B", "amqp", counts, goals=goals, quick=True),
        _both_ways("not durable", "amqp", counts, "--loose"),
        *(
            _both_ways(shape, "amqp", counts, "--shape", shape, goals=goals)
            for shape in ("headers", "unicode", "nested")
        ),
        *(
            Case(
                f"{size:,} bytes of headers",
                "amqp",
                {"Eventing": pair("eventing", 40_000, "--headers", str(size)), "none": pair("eventing", 40_000)},
                (Line(SEND), Line(RECEIVE, 1, goal=goal)),
            )
            for size, goal in ((50, None), (300, 0.85), (3_000, None))
        ),
        Case(
            "with a pipeline",
            "amqp",
            {"Eventing": pair("eventing", 40_000, "--piped"), "Proton": plain},
            (Line(SEND), Line(RECEIVE, 1)),
        ),
        _both_ways("1 KB", "amqp", (30_000, 15_000), "--size", "1000"),
        _both_ways("100 KB", "amqp", (1_000, 1_000), "--size", "100000"),
        *(
            Case(
                name,
                "amqp",
                {"Eventing": pair("eventing", 40_000, receive=words), "Proton": plain},
                (Line(RECEIVE, 1),),
            )
            for name, words in (
                ("eight workers", ("--threads", "8")),
                ("async def on", ("--asynchronous",)),
                ("async def on, eight at a time", ("--asynchronous", "--threads", "8")),
            )
        ),
        *(
            Case(
                name,
                "amqp",
                {
                    "Eventing": (Step("eventing", "send_each", 3_000, words), drained),
                    "BlockingConnection": (Step("proton_blocking", "send_each", 3_000, words), drained),
                },
                (Line("confirmed one by one", goal=goal),),
            )
            for name, words, goal in (("one thread", (), 1.0), ("eight threads", ("--threads", "8"), None))
        ),
        Case(
            "1 ms of computing per event",
            "amqp",
            {
                "Eventing": pair("eventing", 2_000, receive=computing),
                "Proton": pair("proton_handler", 2_000, receive=computing),
            },
            (Line(RECEIVE, 1, goal=0.95),),
        ),
        Case(
            "beside a thread that computes",
            "amqp",
            {
                "Eventing beside": pair("eventing", 10_000, "--beside"),
                "Eventing": pair("eventing", 40_000),
                "Proton beside": pair("proton_handler", 60, "--beside"),
            },
            (Line(SEND, goal=0.4), Line(RECEIVE, 1, goal=0.15)),
            quick=True,
        ),
        _many("amqp"),
        Case(
            "both at once",
            "amqp",
            {"Eventing": (Step("eventing", "both", 60_000),), "Artemis's Java client": (Step("java", "both", 60_000),)},
            (Line("send and receive", goal=1.5),),
        ),
        Case(
            "latency at 200/s",
            "amqp",
            {
                "Eventing": (Step("eventing", "latency", 1_500, ("--pace", "0.005")),),
                "BlockingConnection": (Step("proton_blocking", "latency", 1_500, ("--pace", "0.005")),),
            },
            (
                Line("p50, ms", figure="p50", goal=1.0, at_most=True),
                Line("p95, ms", figure="p95"),
                Line("p99, ms", figure="p99", goal=1.3, at_most=True),
            ),
        ),
        Case(
            "backlog",
            "amqp",
            {f"{count:,} queued": pair("eventing", count) for count in (1_000_000, 100_000, 10_000, 1_000)},
            (Line(RECEIVE, 1),),
            rounds=2,
        ),
        Case(
            "start, one listener",
            "amqp",
            {"Eventing": (Step("eventing", "make", 1),), "Proton": (Step("proton_handler", "make", 1),)},
            (Line("ms", figure="start"),),
        ),
        Case(
            "idle, 10 listeners",
            "amqp",
            {
                "Eventing": (Step("eventing", "idle", 1, ("--listeners", "10")),),
                "Proton": (Step("proton_handler", "idle", 1, ("--listeners", "10")),),
            },
            (
                Line("share of a processor, %", figure="percent", goal=0.2, at_most=True, absolute=True),
                Line("resident memory, MiB", figure="mib"),
            ),
            rounds=3,
        ),
    ]


def _many(provider: Provider) -> Case:
    # So many that it is no matter how each listener begins.
    runs = {f"{many} listeners": pair("eventing", 240_000, "--listeners", str(many)) for many in (100, 1, 10)}
    return Case("many listeners", provider, runs, (Line(SEND), Line(RECEIVE, 1, goal=0.9)))


def _stomp(rounds: int) -> list[Case]:
    goals, counts = (1.2, 2.5), (60_000, 20_000)
    by_hand = Step("stomp_py", "send", 20_000)
    computing = ("--rounds", str(rounds))
    return [
        _both_ways("100 B", "stomp", counts, goals=goals, quick=True),
        *(
            _both_ways(shape, "stomp", counts, "--shape", shape, goals=goals)
            for shape in ("headers", "unicode", "nested")
        ),
        _both_ways("1 KB", "stomp", (45_000, 15_000), "--size", "1000"),
        Case(
            "what stomp.py sent",
            "stomp",
            {"Eventing": (by_hand, Step("eventing", "receive", 20_000)), "stomp.py": pair("stomp_py", 20_000)},
            (Line(RECEIVE, 1),),
        ),
        _both_ways("100 KB", "stomp", (1_000, 1_000), "--size", "100000"),
        Case(
            "1 ms of computing per event",
            "stomp",
            {
                "Eventing": pair("eventing", 2_000, receive=computing),
                "stomp.py": pair("stomp_py", 2_000, receive=computing),
            },
            (Line(RECEIVE, 1),),
        ),
        Case(
            "beside a thread that computes",
            "stomp",
            {"Eventing beside": pair("eventing", 5_000, "--beside"), "Eventing": pair("eventing", 20_000)},
            (Line(SEND), Line(RECEIVE, 1)),
        ),
        _many("stomp"),
    ]


def _memory() -> list[Case]:
    return [
        Case(
            "in memory",
            "memory",
            {
                "Eventing": (Step("eventing", "both", 50_000),),
                "by hand": (Step("hand_loop", "both", 50_000),),
                "bubus": (Step("bubus_loop", "both", 2_000),),
            },
            (Line("send to on", goal=0.5), Line("send to on, against bubus", goal=5.0, against="bubus")),
            quick=True,
        ),
        Case(
            "import",
            "memory",
            {
                "import eventing_core": (Step("imports", "eventing", 5),),
                "import pydantic": (Step("imports", "pydantic", 5),),
            },
            (Line("ms", figure="ms", goal=1.3, at_most=True),),
        ),
    ]
