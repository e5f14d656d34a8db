from __future__ import annotations

import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, cast
from uuid import UUID

import pytest
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field, Json, computed_field, field_serializer
from pydantic.alias_generators import to_camel

from eventing_core import DeclarationError, DecodeError, SerializationError, event
from eventing_core.codec._codec import Codec
from eventing_core.declare._event import describe_event


class Colour(Enum):
    RED = "red"


@dataclass
class Line:
    sku: str
    price: float


@event()
@dataclass
class Order:
    number: int
    lines: list[Line] = field(default_factory=list)
    note: str | None = None


@event()
class Model(BaseModel):
    name: str
    size: float = 1.0


def codec_of(cls: type[Any]) -> Codec:
    return Codec(describe_event(cls))


def test_a_round_trip_keeps_every_field_of_a_nested_dataclass() -> None:
    codec = codec_of(Order)
    order = Order(7, [Line("ä-1", 2.5), Line("ẞ\n2", 0.1)], "ünïcode \N{GRINNING FACE}")
    assert codec.decode(codec.encode(order)) == order


def test_a_round_trip_keeps_a_pydantic_model() -> None:
    codec = codec_of(Model)
    assert codec.decode(codec.encode(Model(name="x", size=3))) == Model(name="x", size=3)


def test_rich_types_survive() -> None:
    @event()
    @dataclass
    class Rich:
        at: datetime
        id: UUID
        amount: Decimal
        colour: Colour
        tags: frozenset[str]

    codec = codec_of(Rich)
    rich = Rich(
        datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), UUID(int=5), Decimal("12.30"), Colour.RED, frozenset({"a", "b"})
    )
    assert codec.decode(codec.encode(rich)) == rich


def test_the_body_is_plain_json() -> None:
    assert codec_of(Order).encode(Order(1)) == b'{"number":1,"lines":[],"note":null}'


def test_unknown_fields_are_ignored_and_missing_ones_take_their_defaults() -> None:
    assert codec_of(Order).decode(b'{"number": 3, "colour": "red"}') == Order(3)


@pytest.mark.parametrize(
    ("wrong", "name"),
    [
        (Order("3"), "'number'"),  # type: ignore[arg-type]
        (Order(1, note=5), "'note'"),  # type: ignore[arg-type]
        (Order(1, lines=[Line("a", "b")]), r"'lines\[0\]\.price'"),  # type: ignore[arg-type]
        (Order(1, lines=[object()]), "'lines'"),  # type: ignore[list-item]
    ],
)
def test_a_field_of_a_wrong_type_is_named_and_its_value_is_not_shown(wrong: Order, name: str) -> None:
    with pytest.raises(SerializationError, match=name) as caught:
        codec_of(Order).encode(wrong)
    assert "Nothing was sent" in str(caught.value)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_json_lacks_are_refused_with_their_path(number: float) -> None:
    with pytest.raises(SerializationError, match=r"lines\[1\]\.price is NaN or infinite"):
        codec_of(Order).encode(Order(1, [Line("a", 1.0), Line("b", number)]))
    with pytest.raises(SerializationError, match="size is NaN or infinite"):
        codec_of(Model).encode(Model.model_construct(name="x", size=number))


def test_a_missing_value_is_no_nan() -> None:
    assert b"null" in codec_of(Order).encode(Order(1, [Line("a", 1.0)], None))


@event()
@dataclass
class Reading:
    unit: str | None
    low: float
    high: float | None = None


@event()
class ReadingModel(BaseModel):
    unit: str | None
    low: float
    high: float | None = None


@pytest.mark.parametrize("kind", [Reading, ReadingModel])
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_fields_that_are_numbers_themselves_are_looked_into(kind: Any, number: float) -> None:
    codec = codec_of(kind)
    for fields in ({"low": number}, {"low": 1.0, "high": number}):
        with pytest.raises(SerializationError, match="is NaN or infinite"):
            codec.encode(kind(unit=None, **fields))
    whole = kind(unit="NaN or null", low=1.0)
    assert codec.decode(codec.encode(whole)) == whole


def test_a_field_that_was_never_given_is_refused_where_it_has_no_default() -> None:
    with pytest.raises(SerializationError, match="'low' was never given a value"):
        codec_of(ReadingModel).encode(ReadingModel.model_construct(unit="x"))
    body = codec_of(ReadingModel).encode(ReadingModel.model_construct(unit="x", low=1.0))
    assert body == b'{"unit":"x","low":1.0,"high":null}'


def test_nan_beside_numbers_that_are_fields_themselves_is_found() -> None:
    class Mixin:
        other: float = 1.0

    @event()
    @dataclass
    class Both(Mixin):
        low: float
        more: list[float]

    with pytest.raises(SerializationError, match=r"more\[0\] is NaN or infinite"):
        codec_of(Both).encode(Both(1.0, [float("nan")]))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b"[]",
        b'{"number": "many"}',
        b'{"number": 1, "lines": [{"sku": 1}]}',
        b"[" * 100_000,
    ],
)
def test_a_body_that_is_no_event_is_a_decode_error(body: bytes) -> None:
    with pytest.raises(DecodeError, match=r"not a valid .*Order"):
        codec_of(Order).decode(body)


def test_a_decode_error_names_fields_and_holds_no_values() -> None:
    with pytest.raises(DecodeError, match=r"lines\.0\.price") as caught:
        codec_of(Order).decode(b'{"number": 1, "lines": [{"sku": "s3cret", "price": "s3cret"}]}')
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


class Odd:
    pass


@event()
@dataclass
class WithOdd:
    odd: Odd


def test_a_field_that_pydantic_does_not_know_is_refused_with_the_class() -> None:
    with pytest.raises(DeclarationError, match="WithOdd"):
        codec_of(WithOdd)


def test_a_type_that_is_not_found_is_refused_with_the_class() -> None:
    class Local:
        pass

    @event()
    @dataclass
    class WithLocal:
        local: Local

    with pytest.raises(DeclarationError, match=r"WithLocal.*Local"):
        codec_of(WithLocal)


@pytest.mark.parametrize(
    "disturb",
    [
        warnings.resetwarnings,
        lambda: warnings.simplefilter("ignore"),
        lambda: warnings.simplefilter("always"),
        lambda: warnings.filterwarnings("ignore", module="eventing_core"),
    ],
    ids=["reset", "ignored", "always", "module"],
)
def test_strictness_does_not_depend_on_warning_filters(disturb: Callable[[], None]):
    codec = Codec(describe_event(Order))
    with warnings.catch_warnings(record=True) as caught:
        for _ in range(2):
            disturb()
            for _ in range(2):
                with pytest.raises(SerializationError, match="'number' holds a str"):
                    codec.encode(Order(cast("Any", "secret")))
            assert codec.encode(Order(1)) == b'{"number":1,"lines":[],"note":null}'
            with pytest.raises(SerializationError, match="'number' holds a str"):
                codec.encode(Order(cast("Any", "secret")))
    # They would hold values.
    assert not caught


@event()
@dataclass
class Verified:
    length: timedelta


@pytest.mark.parametrize("sent", [Order(1, [Line("a", 1.0)], "x"), Verified(timedelta(1))])
def test_encoding_keeps_the_gil(sent: Any):
    """Any string for pydantic's ``warnings`` releases it; alongside a thread that computes, sending then crawls."""
    codec = codec_of(type(sent))
    go = threading.Lock()
    ran: list[bool] = []

    def run() -> None:
        with go:
            ran.append(True)

    interval = sys.getswitchinterval()
    go.acquire()
    waiting = threading.Thread(target=run)
    waiting.start()
    try:
        sys.setswitchinterval(100)  # so that the other thread runs only where the GIL is released
        go.release()
        for _ in range(20_000):
            codec.encode(sent)
        ran_meanwhile = bool(ran)
    finally:
        sys.setswitchinterval(interval)
        waiting.join()
    assert not ran_meanwhile


class Aliased(BaseModel):
    order_id: int = Field(alias="orderId")


class ReadAliased(BaseModel):
    order_id: int = Field(validation_alias="oid")


class WrittenAliased(BaseModel):
    model_config = ConfigDict(serialize_by_alias=True)
    order_id: int = Field(serialization_alias="oid")


class Generated(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="forbid")
    order_id: int


class Choosing(BaseModel):
    order_id: int = Field(validation_alias=AliasChoices("oid", AliasPath("ids", 0)))


class Nesting(BaseModel):
    order_id: Aliased


@pytest.mark.parametrize(
    ("cls", "foreign"),
    [
        (Aliased, b'{"orderId":7}'),
        (ReadAliased, b'{"oid":7}'),
        (WrittenAliased, b'{"order_id":7}'),
        (Generated, b'{"orderId":7}'),
        (Choosing, b'{"ids":[7]}'),
        (Nesting, b'{"order_id":{"orderId":7}}'),
    ],
)
def test_names_are_sent_and_both_names_and_aliases_are_read(cls: type[BaseModel], foreign: bytes) -> None:
    codec = codec_of(event()(cls))
    made = codec.decode(foreign)
    body = codec.encode(made)
    assert b'"order_id":7' in body
    assert b"orderId" not in body
    assert b"oid" not in body
    assert codec.decode(body) == made


def test_an_aliased_field_of_a_dataclass_survives() -> None:
    @event()
    @dataclass
    class Order:
        order_id: int = Field(alias="orderId")

    codec = codec_of(Order)
    assert codec.decode(codec.encode(Order(7))) == Order(7)


def test_json_in_a_field_survives() -> None:
    @event()
    class WithJson(BaseModel):
        numbers: Json[list[int]]

    codec = codec_of(WithJson)
    made = WithJson.model_validate({"numbers": "[1, 2]"})
    assert codec.decode(codec.encode(made)) == made


def test_computed_fields_stay_off_the_wire() -> None:
    class Price(BaseModel):
        model_config = ConfigDict(extra="forbid")
        net: float | None

        @computed_field  # type: ignore[prop-decorator]
        @property
        def gross(self) -> float:
            return float("nan")

    @event()
    class Offer(BaseModel):
        model_config = ConfigDict(extra="forbid")
        prices: list[Price]

    codec = codec_of(Offer)
    made = Offer(prices=[Price(net=None)])
    body = codec.encode(made)
    assert body == b'{"prices":[{"net":null}]}'
    assert codec.decode(body) == made


def test_nan_in_json_in_a_field_is_refused() -> None:
    @event()
    class WithJson(BaseModel):
        numbers: Json[list[float]]

    with pytest.raises(SerializationError, match=r"numbers\[0\] is NaN or infinite"):
        codec_of(WithJson).encode(WithJson.model_validate({"numbers": "[NaN]"}))


def test_nan_in_a_field_beyond_those_of_the_class_is_refused() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        size: int

    @event()
    class Outer(BaseModel):
        inner: Open

    with pytest.raises(SerializationError, match=r"inner\.more is NaN or infinite"):
        codec_of(Outer).encode(Outer(inner=Open.model_validate({"size": 1, "more": float("nan")})))


class Inner(BaseModel):
    key: int


class Custom(BaseModel):
    value: int

    @field_serializer("value")
    def _write(self, value: int) -> int:
        raise KeyError(value)


@dataclass
class Kinds:
    raw: bytes
    text: str = ""
    many: list[Inner] = field(default_factory=list)
    maybe: Kinds | None = None
    anything: Any = None


def cyclic() -> Kinds:
    kinds = Kinds(b"")
    kinds.maybe = kinds
    return kinds


@pytest.mark.parametrize(
    ("wrong", "flaw"),
    [
        (Kinds(b"\xff s3cret"), "the field 'raw' holds a bytes that has no JSON form"),
        (Kinds(b"", "s3cret\ud800"), "the field 'text' holds a str that has no JSON form"),
        (
            Kinds(b"", many=[Inner.model_construct(key="s3cret")]),
            "unable to parse string as an integer",
        ),
        (Kinds(b"", many=cast("Any", "s3cret")), "holds a str but its type is list[tests.unit.test_codec.Inner]"),
        (cyclic(), "the field 'maybe' holds a Kinds that has no JSON form"),
        (Kinds(b"", anything=object()), "the field 'anything' holds a object that has no JSON form"),
        (object.__new__(Kinds), "the field 'raw' was never given a value"),
        (Custom(value=5), "the field 'value' holds a int that has no JSON form"),
    ],
)
def test_what_can_not_be_serialised_is_named_with_its_reason_and_no_value(wrong: object, flaw: str) -> None:
    cls = type(wrong)
    with pytest.raises(SerializationError) as caught:
        codec_of(event()(cls)).encode(wrong)
    assert f"{flaw}. " in str(caught.value)
    assert str(caught.value).endswith(". Nothing was sent.")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    assert caught.value.__context__ is None
