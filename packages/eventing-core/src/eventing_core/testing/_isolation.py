"""Declarations of one test that the next one doesn't see."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from eventing_core import _listener, _pipeline


@contextlib.contextmanager
def isolated_declarations(*, empty: bool = False) -> Generator[None, None, None]:
    """Within its context, listeners and pipelines that are declared are forgotten at the end.

    For a fixture of pytest, say, around each test. A module that is imported for the first time within the context is
    forgotten, too, and importing it again declares nothing: name it in ``listeners=["orders.listeners"]``, which finds
    its listeners all the same, or import it outside. Not thread-safe: one context at a time.

    Args:
        empty: begin with no declarations. Otherwise those that are there already stay visible.
    """
    with (
        _listener._declarations.isolated(empty=empty),  # noqa: SLF001 (the same package)
        _pipeline._declarations.isolated(empty=empty),  # noqa: SLF001 (the same package)
    ):
        yield
