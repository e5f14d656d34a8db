"""The pipelines of one manager, made once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from eventing_core.declare._pipeline import EnvelopePipeline, declared_pipelines, describe_pipeline
from eventing_core.errors import ManagerStateError


class MadePipelines:
    """Makes a manager's pipelines for the first who wants them. Thread-safe.

    No lock is held meanwhile: containers have locks of their own, which the thread that wants the pipelines may
    hold, and the one that makes them may need. So two threads that come at the same time both make them, and the
    manager keeps those of the first that is ready.
    """

    def __init__(
        self,
        given: Sequence[EnvelopePipeline | type[EnvelopePipeline]] | None,
        make: Callable[[type[EnvelopePipeline]], EnvelopePipeline],
    ) -> None:
        self._given = given
        self._make = make
        self._made: Sequence[EnvelopePipeline] | None = None
        # Guards `_made`, which is set once, and read without it.
        self._lock = threading.Lock()
        self._making = threading.local()

    def get(self, more: Sequence[EnvelopePipeline]) -> Sequence[EnvelopePipeline]:
        """All pipelines, the outermost first; ``more`` are ready already.

        Raises:
            DeclarationError: a class is no pipeline.
            ListenerCreationError: the container can't make one.
            ManagerStateError: the constructor of one of them wants them.
        """
        if self._made is None:
            made = [*self._make_given(), *more]
            made.sort(key=lambda pipeline: describe_pipeline(type(pipeline)).order)
            with self._lock:
                if self._made is None:
                    self._made = made
        return self._made

    def _make_given(self) -> list[EnvelopePipeline]:
        if getattr(self._making, "now", False):
            msg = "a pipeline's constructor can't send, because the pipelines are still being created"
            raise ManagerStateError(msg)
        self._making.now = True
        try:
            given = declared_pipelines() if self._given is None else self._given
            return [
                one if isinstance(one, EnvelopePipeline) else self._make(describe_pipeline(one).pipeline_type)
                for one in given
            ]
        finally:
            self._making.now = False
