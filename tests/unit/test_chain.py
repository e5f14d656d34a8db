from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar

import pytest

from eventing_core import DeclarationError, Envelope, EnvelopePipeline, EventDescriptor, PipelineError
from eventing_core.pipeline._chain import Chain

calls: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    calls.clear()


class Plain(EnvelopePipeline):
    def __init__(self, name: str = "plain") -> None:
        self.name = name

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
        calls.append(self.name)


class Around(EnvelopePipeline):
    def __init__(self, name: str = "around") -> None:
        self.name = name

    def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
        calls.append(f"{self.name} in")
        try:
            yield
        except BaseException as error:
            calls.append(f"{self.name} saw {error}")
            raise
        finally:
            calls.append(f"{self.name} out")


def run(*pipelines: EnvelopePipeline, work: BaseException | None = None) -> None:
    with Chain(pipelines, "send").around(Envelope(b"{}"), None):
        calls.append("work")
        if work is not None:
            raise work


def test_the_first_pipeline_is_the_outermost() -> None:
    run(Around("a"), Plain("b"), Around("c"))
    assert calls == ["a in", "b", "c in", "work", "c out", "a out"]


def test_an_exception_of_the_work_is_seen_inside_out_and_goes_on() -> None:
    with pytest.raises(ValueError, match="broken"):
        run(Around("a"), Around("b"), work=ValueError("broken"))
    assert calls == ["a in", "b in", "work", "b saw broken", "b out", "a saw broken", "a out"]


def test_a_pipeline_can_not_swallow_the_exception() -> None:
    class Swallow(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            try:
                yield
            except ValueError:
                calls.append("swallowed")

    with pytest.raises(ValueError, match="broken"):
        run(Around("a"), Swallow(), work=ValueError("broken"))
    assert calls == ["a in", "work", "swallowed", "a saw broken", "a out"]


def test_what_was_entered_is_left_when_a_later_pipeline_fails_on_the_way_in() -> None:
    class Failing(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:
            msg = "no way in"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="no way in"):
        run(Around("a"), Failing(), Around("c"))
    assert calls == ["a in", "a saw no way in", "a out"]


def test_an_exception_on_the_way_out_replaces_the_work_and_the_outer_ones_still_run() -> None:
    class FailsAfter(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            yield
            msg = "afterwards"
            raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="afterwards"):
        run(Around("a"), FailsAfter())
    assert calls == ["a in", "work", "a saw afterwards", "a out"]


def test_a_generator_has_to_yield_exactly_once() -> None:
    class Never(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            yield from ()

    class Twice(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            yield
            yield

    with pytest.raises(PipelineError, match=r"Never\.send ended without a yield\. Let it yield exactly once"):
        run(Never())
    assert calls == []
    with pytest.raises(PipelineError, match=r"Twice\.send yielded twice\. Let it yield exactly once"):
        run(Twice())


def test_a_method_that_returns_something_else_is_refused() -> None:
    class Odd(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            return iter(())

    with pytest.raises(PipelineError, match=r"Odd\.send returned"):
        run(Odd())


def test_an_async_method_is_refused_when_the_chain_is_made() -> None:
    class Async(EnvelopePipeline):
        async def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> None:  # type: ignore[override]
            """Not allowed."""

    with pytest.raises(DeclarationError, match=r"Async\.send is async"):
        Chain([Async()], "send")


def test_a_pipeline_that_overrides_only_the_other_side_costs_nothing() -> None:
    assert not Chain([Plain(), Around()], "handle")
    assert Chain([Plain()], "send")


def test_a_context_variable_is_open_for_the_work_and_closed_after_it() -> None:
    session: ContextVar[str] = ContextVar("session", default="none")

    class Session(EnvelopePipeline):
        def send(self, envelope: Envelope, event_descriptor: EventDescriptor) -> Iterator[None]:
            token = session.set(envelope.get("session-id"))
            try:
                yield
            finally:
                session.reset(token)

    chain = Chain([Session()], "send")
    with pytest.raises(ValueError, match="s1"), chain.around(Envelope(b"", {"session-id": "s1"}), None):
        raise ValueError(session.get())
    assert session.get() == "none"
