"""The path to the broker is cut, at random frames of connect, send, settle and close."""

from __future__ import annotations

import re
import statistics
import threading
import time
from collections import Counter
from datetime import datetime

from tests.faults.cutting import Cut, CuttingProxy, random_cut
from tests.faults.stage import EVENT, Stage, resources
from tests.faults.terms import Figures, Terms
from tests.faults.wire import POINTS, Record
from tests.support.processes import Numbers, Worker
from tests.support.waiting import until

TITLE = "The path to the broker is cut"

CUTS = 500

#: Of the process, in seconds; a silent peer is noticed after two of them.
HEARTBEAT = 0.5

#: Seconds between two sends; a listener that computes for 1 ms keeps up.
PACE = 0.002

#: Within so many seconds of the path's return, or of the detection, events flow again: backoff is at most 1 s.
RESUMES = 3.0

#: A silent peer is noticed after two heartbeats, and what a busy machine takes to notice, in seconds.
SLACK = 1.0

#: Over STOMP Artemis 2.44 can take ten seconds to notice a loss.
_PATIENCE = 30.0

#: What the broker's log says, and when, once it has noticed that a connection is lost.
_NOTICED = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}) .*connection failure .*has been detected", re.IGNORECASE)


class Newest:
    """The highest number in a file so far."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers
        self._highest = -1

    def has_reached(self, number: int) -> bool:
        """Whether one at least as high is there."""
        self._highest = max([self._highest, *self._numbers.more()])
        return self._highest >= number


class Path:
    """A process whose connections are cut, and how long it takes to recover. Not thread-safe."""

    def __init__(self, stage: Stage, proxy: CuttingProxy, worker: Worker) -> None:
        self._stage = stage
        self._proxy = proxy
        self._worker = worker
        self._states = stage.numbers("states")
        self._newest = [Newest(stage.numbers(name)) for name in ("confirmed", *stage.queues)]
        self.counts: Counter[str] = Counter()
        #: From the path's return, or when the process has noticed a loss; and when the broker has noticed its own, too.
        self.delays: list[float] = []
        self.delays_after_both: list[float] = []
        self.noticed: list[float] = []
        #: Where nothing came from the peer any more.
        self.silences: list[float] = []

    def cut(self, cut: Cut) -> bool:
        """Cut, wait, mend, and measure until events flow; False when no frame fitted."""
        self.wait_for_flow()
        self._proxy.arm(cut)
        if cut.point == "connect":
            self._proxy.reset()
        elif cut.point == "close":
            self._worker.tell("again")
        if not self._proxy.strike(5.0) and not self._proxy.disarm():
            self.counts["missed"] += 1
            if cut.point == "close":
                self._worker.expect("ready")
            return False
        if cut.kind != "reset":
            # How long the fault lasts; nothing is waited for.
            threading.Event().wait(cut.seconds)
        mended = self._proxy.mend()
        if cut.point == "close":
            self._worker.expect("ready")
            mended = time.monotonic()
        self.wait_for_flow()
        flows = time.monotonic()
        losses = [
            time_ for time_, connected in self._changes() if not connected and self._proxy.struck <= time_ <= flows
        ]
        self.delays.append(flows - max([mended, *losses]))
        # What a lost connection had comes to no other before the broker has noticed.
        by_both = [mended, *losses]
        if self.delays[-1] > RESUMES:
            by_both += [time_ for time_ in self._broker_noticed() if self._proxy.struck <= time_ <= flows]
        self.delays_after_both.append(flows - max(by_both))
        noticed = [time_ - self._proxy.struck for time_ in losses[:1]]
        self.noticed += noticed
        if cut.kind in {"silence", "silence to the client"} and cut.point != "close":
            self.silences += noticed
        self.counts[cut.kind] += 1
        self.counts[cut.point] += 1
        return True

    def wait_for_flow(self) -> None:
        """Wait until an event that is sent from now on is confirmed and handled."""
        number = len(self._stage.submitted)
        until(
            lambda: all(newest.has_reached(number) for newest in self._newest),
            lambda: f"events flow; the log:\n{self._worker.log[-5000:]}",
            _PATIENCE,
        )

    def _broker_noticed(self) -> list[float]:
        """When the broker noticed that connections were lost, by `time.monotonic`."""
        ahead = time.time() - time.monotonic()
        log = self._stage.broker.log.read_text(encoding="utf-8")
        times = [datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f") for text in _NOTICED.findall(log)]
        return [time_.astimezone().timestamp() - ahead for time_ in times]

    def _changes(self) -> list[tuple[float, bool]]:
        return [(line // 2 / 1e9, bool(line % 2)) for line in self._states.read()]


def run(terms: Terms) -> Figures:
    """Cut, measure how long it takes until events flow again, and compare threads and descriptors."""
    cuts = terms.count(CUTS, 10)
    with Stage(terms) as stage:
        record = Record(stage.handled[0] if terms.listeners == 1 else None)
        with CuttingProxy(stage.broker.port, record) as proxy:
            words: tuple[str, ...] = ("--rounds", str(terms.rounds), "--concurrency", str(terms.concurrency))
            words += ("--beside",) if terms.beside else ()
            # What a listener that computes keeps up with, beside another thread that does.
            slower = max(4 if terms.beside else 1, terms.listeners // 4)
            pace = ("--pace", str(PACE * slower))
            worker = stage.worker(
                "traffic",
                *words,
                *pace,
                EVENT,
                terms.folder,
                *stage.queues,
                program="tests.faults.traffic",
                port=proxy.port,
                heartbeat=HEARTBEAT,
            )
            path = Path(stage, proxy, worker)
            path.wait_for_flow()
            before = resources(worker)
            points = [POINTS[at % len(POINTS)] for at in range(cuts)]
            terms.random.shuffle(points)
            for point in points:
                while not path.cut(random_cut(terms.random, point, HEARTBEAT)):
                    assert path.counts["missed"] <= cuts, "cuts miss"
            path.wait_for_flow()
            after = before

            def no_more() -> bool:
                nonlocal after
                after = resources(worker)
                return all(now <= then for now, then in zip(after[:2], before[:2], strict=True))

            until(no_more, lambda: f"{before} became {after}", 30)
            worker.tell("quiet")
            stage.drain()
            worker.end()
        figures = stage.account()
    assert not record.flaws, record.flaws[:10]
    assert not record.early, record.early[:10]
    late, late_after_both = (sum(delay > RESUMES for delay in each) for each in (path.delays, path.delays_after_both))
    figures = {
        **{f"cuts: {what}": count for what, count in sorted(path.counts.items())},
        "until events flow again, in s: median": round(statistics.median(path.delays), 2),
        "until events flow again, in s: longest": round(max(path.delays), 2),
        "until a loss is noticed, in s: longest": round(max(path.noticed, default=0.0), 2),
        "until a silent peer is noticed, in s: longest": round(max(path.silences, default=0.0), 2),
        f"until events flow again: over {RESUMES:g} s": late,
        "since the broker has noticed, too, in s: longest": round(max(path.delays_after_both), 2),
        f"since the broker has noticed, too: over {RESUMES:g} s": late_after_both,
        "threads before and after": [before[0], after[0]],
        "descriptors before and after": [before[1], after[1]],
        "settlements seen on the wire": record.settlements,
        "of those acceptances": record.accepted,
        "settlements of another connection's deliveries": len(record.flaws),
        "acceptances without a run of `on` or a copy that was seen": len(record.early),
        **figures,
    }
    assert len(path.delays) == cuts, figures
    assert max(path.silences, default=0.0) <= 2 * HEARTBEAT + SLACK, figures
    # Over STOMP Artemis 2.44 can take ten seconds to notice a loss (see the page): seldom, and no longer.
    assert late <= (max(3, cuts // 20) if terms.over == "stomp" else 0), figures
    assert late_after_both <= (max(1, cuts // 100) if terms.over == "stomp" else 0), figures
    assert max(path.delays) <= _PATIENCE / 2, figures
    return figures
