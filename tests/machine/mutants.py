"""The machine, with one line changed: bugs that the exploration has to find."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

_ROOM = "eventing_core.receive.machine"
_MODULES = (
    f"{_ROOM}._",
    "tests.machine.world",
    "tests.machine.pair",
    "tests.machine.exploring",
    "tests.machine.scopes",
    "tests.machine.hunt",
)


class Mutant(NamedTuple):
    """In the module, the first line that has the text ``old`` has ``new`` instead."""

    module: str
    old: str
    new: str


MUTANTS: dict[str, Mutant] = {
    "more than concurrency run": Mutant("_machine", "slots.busy < concurrency", "slots.busy <= concurrency"),
    "a void run frees no slot": Mutant("_slots", "        self.busy -= 1", "        self.busy -= run in self.runs"),
    "a void run settles": Mutant("_slots", "if run not in self.runs:", "if False:"),
    "a lease is not recalled": Mutant("_slots", "self.queue.appendleft(further.pop())", "further.pop()"),
    "a lease has what has a story": Mutant("_slots", "and not isinstance(queue[0], Case)", ""),
    "a recalled lease comes last": Mutant("_slots", "self.queue.appendleft(further.pop())", "self.queue.append(further.popleft())"),
    "lent deliveries wait for the end of the lease": Mutant("_machine", "self._flush_later(now)", "pass"),
    "a lease outlives its state": Mutant("_core", "            self._recall()", "            pass"),
    "what returned is forgotten": Mutant("_slots", "self.returned.append(run.returned.popleft())", "run.returned.popleft()"),
    "what is redelivered is never forgotten": Mutant("_core", "self._close(case, DeliveryState.ACCEPTED)", "pass"),
    "a stop flushes nothing": Mutant("_machine", "not slots.runs or self.state in STOPPING:", "False:"),
    "the old generation is settled": Mutant("_machine", "self.slots.clear()", "pass"),
    "cases outlive their generation": Mutant("_machine", "self.cases.close(case, DeliveryState.VOID)", "pass"),
    "what is late is taken": Mutant("_machine", "if generation != self.generation:", "if False:"),
    "what comes while stopping is taken": Mutant("_machine", "            if self.state in STOPPING:\n                return []", "            if False:\n                return []"),
    "what comes while paused is taken": Mutant("_machine", "if self.state is ListenerState.PAUSED:", "if False:"),
    "accepted before the copy is stored": Mutant("_core", "self._out.append(store)", "self._out.append(store); self._accept([case.delivery])"),
    "a refusal ends it": Mutant("_machine", "self._store_later(case, due)", "self._close(case, DeliveryState.LEFT)"),
    "a refused copy takes a place": Mutant("_machine", "refused = cases.refused + cases.count", "refused = 0 * cases.count"),
    "a refusal is forgotten with its generation": Mutant("_machine", "self.failing.lost(self.cases, now)", "pass"),
    "one attempt too many": Mutant("_retrying", "case.attempts >= self.rules.max_attempts", "case.attempts > self.rules.max_attempts"),
    "a pause counts": Mutant("_retrying", "counts = not (self.breaker.is_open or run.round)", "counts = True"),
    "a probe that ends late counts": Mutant("_retrying", "counts = not (self.breaker.is_open or run.round)", "counts = not self.breaker.is_open"),
    "an ordered retry goes to the end": Mutant("_retrying", "self.slots.queue.appendleft(case)", "self.slots.queue.append(case)"),
    "an ordered listener goes on during a retry": Mutant("_retrying", "                self._enter(ListenerState.BLOCKED)\n        elif fate", "                pass\n        elif fate"),
    "an ordered listener does not wait for a dead letter": Mutant("_retrying", "if self.rules.ordered and self.state not in STOPPING:", "if False:"),
    "an ordered listener passes an internal error": Mutant("_retrying", "            if self.rules.ordered:\n                self._enter(ListenerState.BLOCKED)\n        elif fault.kind in", "            if False:\n                pass\n        elif fault.kind in"),
    "the gate stays shut after a dead letter": Mutant("_machine", "if self.state is ListenerState.BLOCKED:", "if False:"),
    "an ordered retry is copied": Mutant("_failing", "if rules.ordered or not", "if not"),
    "a failure is given back": Mutant("_core", "elif not item.has_news or (stopping and self.rules.ordered):", "elif True:"),
    "what waits is left at a stop": Mutant("_machine", "self._store_retry(case, self.rules.delay(max(1, case.attempts)), now)", "self._close(case, DeliveryState.LEFT)"),
    "a failure after the cut is copied": Mutant("_retrying", "if self.state is ListenerState.CUT or (", "if ("),
    "nothing is probed": Mutant("_probing", "self.agenda.add(self.breaker.due, Due.ROUND)", "pass"),
    "a round is endless": Mutant("_probing", "breaker.budget <= 0 or not (breaker.patient", "False and not (breaker.patient"),
    "a round waits forever for what is new": Mutant("_machine", "self.breaker.patient = False", "pass"),
    "a round has no bound": Mutant("_circuit_breaker", "        self.budget -= 1", "        self.budget -= 0"),
    "a round tries one again and again": Mutant("_probing", "others is None and item.round != breaker.round", "others is None"),
    "a success does not close": Mutant("_probing", "self.breaker.close()", "pass"),
    "a success of before the pause closes": Mutant("_probing", "if run.round == self.breaker.round and self.breaker.is_open", "if self.breaker.is_open"),
    "a pause keeps the queue": Mutant("_probing", "self._release(self._put_back(now))", "pass"),
    "paused after a loss, for good": Mutant("_machine", "self.agenda.add(max(now, self.breaker.due), Due.ROUND)", "pass"),
    "paused, and consumes after a loss": Mutant("_machine", "self._enter(ListenerState.PAUSED if self.breaker.is_open else CONSUMING)", "self._enter(CONSUMING)"),
    "resumes with the window of before": Mutant("_probing", "self.window.restart(1 if self.state is ListenerState.ISOLATING else None)", "self.window.size *= 4"),
    "a suspect is not alone": Mutant("_gate", "loud = copying > 0 or (self.suspect is not None and busy > 0)", "loud = copying > 0"),
    "a suspect runs beside copies": Mutant("_gate", "loud = copying > 0 or (", "loud = ("),
    "a suspect is any other": Mutant("_crash_guard", "return Verdict.ALONE if crashes >= SUSPECT else Verdict.RUN", "return Verdict.RUN"),
    "a suspect has a wide window": Mutant("_isolating", "self.window.restart(1)", "pass"),
    "the suspect is never run": Mutant("_isolating", "self._run(suspect.delivery, suspect)", "pass"),
    "after the suspect the gate stays shut": Mutant("_core", "self._enter(ListenerState.PROBING if self.breaker.is_open else CONSUMING)", "pass"),
    "what the guard clears never ends": Mutant("_isolating", "        if suspect is None:\n            self._resume()", "        if suspect is None:\n            pass"),
    "a suspect is forgotten when it pauses": Mutant("_core", "            back.insert(0, suspect.delivery)", "            pass"),
    "what leaves comes back into the queue": Mutant("_isolating", "if case is None or case.state is DeliveryState.QUEUED]", "if True]"),
    "the window of before is believed to be known": Mutant("_machine", "self.generation = self._announced = 0", "self.generation = 0"),
    "the window is not bounded": Mutant("_window", "min(self.size * 2, self._limit)", "self.size * 2"),
    "a paused listener has a window": Mutant("_machine", "if not self.generation or state in {ListenerState.NEW, ListenerState.PAUSED}", "if not self.generation or state in {ListenerState.NEW}"),
    "more than the limit run": Mutant("_limit", "self._limit.free -= 1", "pass"),
    "who waits is overtaken": Mutant("_limit", "        following.is_kept = True", "        self._limit.free += 1"),
    "a kept slot is taken before its turn": Mutant("_limit", "return self.is_turn", "return True"),
    "a slot is kept, and nobody is told": Mutant("_machine", "self._out += map(Turn, slots.following)", "pass"),
    "a declined slot is nobody's": Mutant("_limit", "        self.is_kept = False\n        return self.give_back()", "        self.is_kept = False\n        return None"),
    "who declines passes nothing on": Mutant("_machine", "return actions if following is None else [*actions, Turn(following)]", "return actions"),
    "no turn without work": Mutant("_machine", "following = share.decline()", "following = None"),
    "a void run keeps the limit's slot": Mutant("_slots", "if self.share is not None and (following", "if run in self.runs and self.share is not None and (following"),
    "a suspect runs without a slot": Mutant("_isolating", "elif self.slots.share is None or self.slots.share.may_begin():", "else:"),
    "a copy of two generations ago is forgotten": Mutant("_failing", "DeliveryState.REFUSED, DeliveryState.QUEUED}", "DeliveryState.REFUSED}"),
    "all copies wait forever after a refusal": Mutant("_outlet", "return (self.until if self.until > now else now + _LOOK)", "return now + 1e6 + (0.0)"),
    "one copy is tried, and no other": Mutant("_outlet", "return max(now + wait, self.until + _LAST)", "return now + wait"),
    "a waived copy is waited for forever": Mutant("_machine", "outlet.under_way.discard(store)", "pass"),
    "those behind are tried before": Mutant("_outlet", "return not self.limit or (len(self.under_way) < self.limit and now >= self.until)", "return True"),
}  # fmt: skip


@contextmanager
def mutated(mutant: Mutant) -> Iterator[ModuleType]:
    """The module `tests.machine.hunt`, on a machine with that bug."""
    saved = {name: sys.modules.pop(name) for name in [*sys.modules] if name.startswith(_MODULES)}
    finder = _Finder(mutant)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("tests.machine.hunt")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name in sys.modules if name.startswith(_MODULES)]:
            del sys.modules[name]
        sys.modules.update(saved)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the module, and changes its line."""

    def __init__(self, mutant: Mutant) -> None:
        self._mutant = mutant
        self._name = f"{_ROOM}.{mutant.module}"
        spec = importlib.util.find_spec(self._name)
        assert spec is not None
        assert spec.origin is not None
        source = Path(spec.origin).read_text(encoding="utf-8")
        assert mutant.old in source, f"{spec.origin} no longer has: {mutant.old}"
        self._code = compile(source.replace(mutant.old, mutant.new, 1), spec.origin, "exec")

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self._name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(self._code, module.__dict__)  # noqa: S102
