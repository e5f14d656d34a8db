"""Pipelines put together: what stands around one send or one attempt."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from types import GeneratorType, TracebackType
from typing import TYPE_CHECKING, Any, Literal

from eventing_core.declare._pipeline import EnvelopePipeline
from eventing_core.errors import DeclarationError, PipelineError

if TYPE_CHECKING:
    from eventing_core.declare._envelope import Envelope

_Step = Callable[["Envelope", Any], object]


class Chain:
    """The ``send`` or the ``handle`` methods of several pipelines, the outermost first. Thread-safe."""

    __slots__ = ("_steps",)

    def __init__(self, pipelines: Sequence[EnvelopePipeline], side: Literal["send", "handle"]) -> None:
        base = getattr(EnvelopePipeline, side)
        overridden = [pipeline for pipeline in pipelines if getattr(type(pipeline), side) is not base]
        for pipeline in overridden:
            method = getattr(type(pipeline), side)
            if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
                msg = f"{_name(pipeline, side)} is async; write a plain method, or a generator that yields once."
                raise DeclarationError(msg)
        self._steps: list[_Step] = [getattr(pipeline, side) for pipeline in overridden]

    def __bool__(self) -> bool:
        return bool(self._steps)

    def around(self, envelope: Envelope, descriptor: object) -> _Around:
        """A context manager: entering runs the pipelines up to their ``yield``, leaving the rest, inside out."""
        return _Around(self._steps, envelope, descriptor)


class _Around:
    __slots__ = ("_descriptor", "_entered", "_envelope", "_steps")

    def __init__(self, steps: list[_Step], envelope: Envelope, descriptor: object) -> None:
        self._steps = steps
        self._envelope = envelope
        self._descriptor = descriptor
        self._entered: list[GeneratorType[Any, Any, Any]] = []

    def __enter__(self) -> None:
        try:
            for step in self._steps:
                result = step(self._envelope, self._descriptor)
                if result is not None:
                    self._enter_generator(step, result)
        except BaseException as error:
            self._leave(error)
            raise

    def _enter_generator(self, step: _Step, result: object) -> None:
        if not inspect.isgenerator(result):
            msg = f"{_step_name(step)} returned a {type(result).__name__}; it has to return nothing, or be a generator."
            raise PipelineError(msg)
        try:
            next(result)
        except StopIteration:
            msg = f"{_step_name(step)} ended without a yield. Let it yield exactly once on every path."
            raise PipelineError(msg) from None
        self._entered.append(result)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._entered:
            self._leave(error)

    def _leave(self, error: BaseException | None) -> None:
        """Run the rest of each generator. Raises where one of them raised something of its own."""
        current = error
        while self._entered:
            generator = self._entered.pop()
            try:
                if current is None:
                    next(generator)
                else:
                    generator.throw(current)
            except StopIteration:  # finished; an exception that it caught goes on all the same
                continue
            except BaseException as raised:  # noqa: BLE001 (whatever it is, the outer pipelines have to see it)
                current = raised
                continue
            generator.close()
            current = PipelineError(f"{generator.__qualname__} yielded twice. Let it yield exactly once on every path.")
            current.__cause__ = error
        if current is not None and current is not error:
            raise current


def _name(pipeline: EnvelopePipeline, side: str) -> str:
    return f"{type(pipeline).__module__}.{type(pipeline).__qualname__}.{side}"


def _step_name(step: _Step) -> str:
    return f"{getattr(step, '__module__', '')}.{getattr(step, '__qualname__', step)}"
