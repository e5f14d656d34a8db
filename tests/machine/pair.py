"""Two machines that share one limit, each in a world of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from eventing_core.receive.machine._limit import Limit, Share
from tests.machine.world import BrokenError, Choice, Scope, Seen, World


@dataclass(frozen=True)
class PairScope:
    """What the two worlds are like, and how many may run in both together."""

    one: Scope
    other: Scope
    size: int = 1


class Pair:
    """The two worlds. A choice is the number of one, and what happens there. Each has its own time."""

    def __init__(self, scope: PairScope, seen: Seen | None = None) -> None:
        self.size = scope.size
        self.limit = Limit(scope.size)
        self.shares = (Share(self.limit), Share(self.limit))
        self.worlds = (World(scope.one, seen, self.shares[0]), World(scope.other, seen, self.shares[1]))

    def choices(self) -> list[Choice]:
        """All that may happen next."""
        return [(at, choice) for at, world in enumerate(self.worlds) for choice in world.choices()]

    def act(self, choice: Choice) -> None:
        """Let it happen, and check the invariants."""
        self.repeat(choice)
        self.check()

    def repeat(self, choice: Choice) -> None:
        """Let it happen, as it did once before."""
        at, what = choice
        self.worlds[at].repeat(what)

    def check(self) -> None:
        """Raise if one of the invariants doesn't hold."""
        for world in self.worlds:
            world.check()
        busy = sum(world.machine.slots.busy for world in self.worlds)
        kept = sum(share.is_kept for share in self.shares)
        if busy > self.size:
            raise BrokenError(f"{busy} run, of {self.size}")
        if busy + kept + self.limit.free != self.size:
            raise BrokenError(f"of {self.size} slots {busy} are in use, {kept} kept, {self.limit.free} free")
        if self.limit.free and self.limit.line:
            raise BrokenError("a slot is free, and one waits for it")
        for world, share in zip(self.worlds, self.shares, strict=True):
            if share.is_kept and not world.is_its_turn:
                raise BrokenError("a slot is kept for one that is not told")

    def finish(self, limit: int = 1200) -> None:
        """Let everything go well from here on, and raise unless everything ends that can, in both worlds."""
        for world in self.worlds:
            world.have_no_more_trouble()
        for _ in range(limit):
            left = [at for at, world in enumerate(self.worlds) if not world.is_over() or world.is_its_turn]
            if not left:
                break
            # One that is over may still have a slot: of an event that fails forever, and is probed.
            choices = self._good_choices(left) or self._good_choices(range(2))
            if not choices:
                raise BrokenError(f"stands still: {self}")
            self.act(min(choices)[1])
        else:
            raise BrokenError(f"goes on forever: {self}")
        for world in self.worlds:
            world.check_end()

    def _good_choices(self, of: Iterable[int]) -> list[tuple[int, Choice]]:
        return [(order, (at, choice)) for at in of for order, choice in self.worlds[at].good_choices()]

    def __str__(self) -> str:
        return " | ".join(map(str, self.worlds))

    def key(self) -> object:
        """Equal for two pairs that behave in the same way from here on."""
        line = tuple(self.shares.index(share) for share in self.limit.line)
        sides = [
            (world.key(), share.is_kept, world.is_its_turn)
            for world, share in zip(self.worlds, self.shares, strict=True)
        ]
        return (*sides, line, self.limit.free)
