"""Print all mistakes, and what is said of each."""

from __future__ import annotations

import contextlib

from examples.artemis import Artemis
from tests.mistakes.everything import MISTAKES
from tests.mistakes.table import outcome


def main() -> None:
    """Make them all."""
    with contextlib.ExitStack() as stack:
        missing = Artemis.unavailable()
        artemis = None if missing else stack.enter_context(Artemis())
        for number, mistake in enumerate(MISTAKES, 1):
            print(f"\n{number}. {mistake.group}: {mistake.name}")  # noqa: T201 (what it is for)
            if mistake.needs_broker and artemis is None:
                print(f"   (not made: {missing})")  # noqa: T201
                continue
            told = outcome(mistake, artemis)
            kind = "log" if mistake.by_log else type(told.error).__name__
            print(f"   {kind}: " + told.message.replace("\n", "\n   "))  # noqa: T201


main()
