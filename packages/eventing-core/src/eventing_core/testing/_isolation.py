"""Declarations of one test that the next one doesn't see."""

from __future__ import annotations

import contextlib
from collections.abc import Generator

from eventing_core.declare import _listener, _pipeline


@contextlib.contextmanager
def isolated_declarations(*, empty: bool = False) -> Generator[None, None, None]:
    """Remove the listeners and pipelines that are declared within its context, at its end.

    Use it in a pytest fixture around each test, for example. If a module is imported for the first time within the
    context, its declarations are removed, too, and importing it again doesn't restore them: import it outside of the
    context, or name it in ``listeners=["orders.listeners"]``, which finds its listeners in any case. Not thread-safe:
    use one context at a time.

    Args:
        empty: start without any declarations. Otherwise existing declarations stay visible.
    """
    with (
        _listener._declarations.isolated(empty=empty),  # noqa: SLF001 (the same package)
        _pipeline._declarations.isolated(empty=empty),  # noqa: SLF001 (the same package)
    ):
        yield
