from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from eventing_core import DeclarationError, EnvelopePipeline, declared_pipelines, envelope_pipeline
from eventing_core.declare._pipeline import PipelineDeclaration, describe_pipeline


def test_declares_in_order_of_appearance():
    before = declared_pipelines()

    @envelope_pipeline(order=5)
    class First(EnvelopePipeline): ...

    @envelope_pipeline()
    class Second(EnvelopePipeline): ...

    assert declared_pipelines() == (*before, First, Second)
    assert describe_pipeline(First) == PipelineDeclaration(First, 5)
    assert describe_pipeline(Second) == PipelineDeclaration(Second, 0)


def test_a_pipeline_that_is_not_declared_can_be_given_to_a_manager():
    class Plain(EnvelopePipeline): ...

    assert describe_pipeline(Plain) == PipelineDeclaration(Plain, 0)


def test_the_methods_that_are_not_overridden_do_nothing():
    nothing: Any = None
    assert EnvelopePipeline().send(nothing, nothing) is None
    assert EnvelopePipeline().handle(nothing, nothing) is None


def test_refuses_the_decorator_without_parentheses():
    with pytest.raises(
        DeclarationError, match=r"^@envelope_pipeline needs parentheses: write @envelope_pipeline\(\) above 'Plain'$"
    ):

        @envelope_pipeline  # type: ignore[arg-type] # the error that is tested
        class Plain(EnvelopePipeline): ...


@pytest.mark.parametrize("thing", [int, "text", EnvelopePipeline()])
def test_refuses_what_is_no_pipeline(thing: Any):
    with pytest.raises(DeclarationError, match=r"is not an EnvelopePipeline\. Derive the class from it\.$"):
        describe_pipeline(thing)


@pytest.mark.parametrize("order", ["1", 1.5, None])
def test_refuses_an_order_that_is_no_whole_number(order: Any):
    with pytest.raises(DeclarationError, match=r"^@envelope_pipeline\(order=...\) takes a whole number, not"):
        envelope_pipeline(order)


def test_a_class_that_slots_made_anew_is_the_declared_one():
    @dataclass(slots=True)
    @envelope_pipeline(3)
    class First(EnvelopePipeline):
        count: int = 0

    @envelope_pipeline(3)
    class Second(EnvelopePipeline):
        pass

    assert declared_pipelines()[-2:] == (First, Second)
    assert describe_pipeline(First).order == 3
