"""Events to bytes and back: JSON by pydantic."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from types import UnionType
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from eventing_core.errors import DeclarationError, DecodeError, SerializationError

if TYPE_CHECKING:
    from eventing_core._event import EventDescriptor

CONTENT_TYPE = "application/json"

#: Flaws of a body that an error lists.
_SHOWN = 5

#: Kinds of pydantic core schemas whose values may be NaN or infinite, as they appear in a schema's text.
_FLOAT = "'float'"
_MAY_HOLD_NAN = (_FLOAT, "'decimal'", "'any'", "'complex'", "'function-plain'", "behavior': 'allow'")

_LOWEST, _HIGHEST = -math.inf, math.inf

_MISSING: Any = object()

#: Our warning filter, which comes first until somebody adds another one.
_strict: list[object] = [None]


def _be_strict() -> None:
    """Make pydantic's warnings about values of a wrong type errors, where it is called from this module.

    Its own ``warnings="error"`` does the same, and gives the GIL away at every call, as any string for ``warnings``
    does: beside a thread that computes, a sender gets it back after up to 5 ms, and sends a fifth.
    """
    warnings.filterwarnings("error", "Pydantic serializer warnings", UserWarning, rf"{re.escape(__name__)}\Z")
    _strict[:] = warnings.filters[:1]


class Codec:
    """Encodes and decodes the events of one class. Thread-safe.

    A body holds what the class can be made from again, under the fields' own names: no computed fields, no aliases.
    Read are names and aliases.

    Args:
        descriptor: of the class.
        max_bytes: a larger body isn't decoded.
    """

    __slots__ = (
        *("_adapter", "_event_type", "_floats", "_max_bytes", "_may_hold_nan"),
        *("_name", "_to_json", "_validate_json"),
    )

    def __init__(self, descriptor: EventDescriptor, max_bytes: int = sys.maxsize) -> None:
        self._max_bytes = max_bytes
        self._event_type = descriptor.event_type
        self._name = f"{descriptor.event_type.__module__}.{descriptor.event_type.__qualname__}"
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(descriptor.event_type)
            if not self._adapter.pydantic_complete:
                self._adapter.rebuild(raise_errors=True)
            schema = repr(self._adapter.core_schema)
        except (PydanticSchemaGenerationError, PydanticUserError, NameError, AttributeError, TypeError) as error:
            msg = (
                f"the event {self._name} has a field that pydantic can't handle: {str(error).splitlines()[0]}. Give it "
                "a type that pydantic can serialise, defined at the top of a module."
            )
            raise DeclarationError(msg) from error
        self._to_json = self._adapter.serializer.to_json
        self._validate_json = self._adapter.validator.validate_json
        kinds = [kind for kind in _MAY_HOLD_NAN if kind in schema]
        #: Fields to look into; or else the body has to be.
        self._floats = _floats_of(descriptor.event_type) if kinds == [_FLOAT] else []
        only_there = kinds == [_FLOAT] and schema.count(_FLOAT) == len(self._floats)
        self._may_hold_nan = bool(kinds) and not only_there

    def encode(self, event: object) -> bytes:
        """Serialise an event.

        Raises:
            SerializationError: a field of a wrong type, or without a JSON form, or NaN, or infinite.
        """
        try:
            filters = warnings.filters
            if filters and filters[0] is _strict[0]:
                body = self._to_json(event, by_alias=False, round_trip=True)
            else:  # it was never there, or somebody's newer filter might let a warning pass
                _be_strict()
                body = self._adapter.dump_json(event, by_alias=False, round_trip=True, warnings="error")
        except (PydanticSerializationError, UserWarning, ValueError, TypeError, RecursionError) as error:
            flaw = self._flaw(event) or f"{type(error).__name__} was raised"
        else:
            if self._may_hold_nan:
                # By each word, one by one: a loop over them takes ten times as long.
                if not (b"null" in body or b"NaN" in body or b"Infinity" in body):
                    return body
            else:
                for name in self._floats:
                    number = getattr(event, name, None)
                    if not (number is None or _LOWEST < number < _HIGHEST):
                        break
                else:
                    return body
            flaw = self._not_finite(event)
            if not flaw:
                return body
        # Not from the error: it holds values.
        msg = f"{self._name} can't be serialised: {flaw}. Nothing was sent."
        raise SerializationError(msg)

    def decode(self, body: bytes) -> Any:
        """Make the event of a body.

        Raises:
            DecodeError: too large, no JSON, or no valid event. It names the fields and holds none of their values.
        """
        if len(body) > self._max_bytes:
            msg = f"the body has {len(body)} bytes, and {self._name} may have {self._max_bytes} (max_body_bytes)"
            raise DecodeError(msg)
        try:
            return self._validate_json(body, by_alias=True, by_name=True)
        except ValidationError as error:
            msg = f"the body is no valid {self._name}: {_summary(error)}"
            raise DecodeError(msg) from None
        except RecursionError:
            msg = f"the body is no valid {self._name}: it is nested too deeply"
            raise DecodeError(msg) from None

    def _flaw(self, event: object) -> str:
        """Name the field that can't be serialised, without its value."""
        for name, value in _fields(event):
            if value is _MISSING:
                if not isinstance(event, BaseModel):  # which leaves it out
                    return f"the field {name!r} was never given a value"
                continue
            try:
                self._adapter.dump_json(event, include={name}, by_alias=False, round_trip=True, warnings="error")
            except (PydanticSerializationError, UserWarning, ValueError, TypeError, RecursionError):
                annotation = _annotation(self._event_type, name)
                return f"the field {name!r} holds a {type(value).__name__} {_mismatch(value, annotation)}"
        return ""

    def _not_finite(self, event: object) -> str:
        sent = self._adapter.dump_python(event, by_alias=False, round_trip=True)
        # There, JSON within JSON is text, in which NaN has become null already.
        path = _find_nan(self._adapter.dump_python(event, by_alias=False), sent, "")
        return "" if path is None else f"{path} is NaN or infinite, which JSON lacks"


def _summary(error: ValidationError) -> str:
    flaws = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, flaw['loc'])) or 'the whole'}: {flaw['msg']}" for flaw in flaws[:_SHOWN]]
    more = f" (and {len(flaws) - _SHOWN} more)" if len(flaws) > _SHOWN else ""
    return "; ".join(shown) + more


def _floats_of(event_type: type[Any]) -> list[str]:
    """The fields that are numbers themselves."""
    return [name for name in _names(event_type) if _annotation(event_type, name) in (float, float | None)]


def _names(event_type: type[Any]) -> list[str]:
    return [*(event_type.model_fields if issubclass(event_type, BaseModel) else event_type.__dataclass_fields__)]


def _fields(event: object) -> list[tuple[str, object]]:
    return [(name, getattr(event, name, _MISSING)) for name in _names(type(event))]


def _annotation(event_type: type[Any], name: str) -> Any:
    if issubclass(event_type, BaseModel):
        return event_type.model_fields[name].annotation
    try:
        return get_type_hints(event_type, include_extras=True).get(name)
    except NameError:
        return None


def _mismatch(value: object, annotation: Any) -> str:
    """What is wrong with a value that can't be serialised."""
    kind = get_origin(annotation)
    if isinstance(kind, type) and kind is not UnionType and isinstance(value, kind):
        return f"with something in it that its type {_type_name(annotation)} doesn't allow"
    if annotation in {None, Any} or (isinstance(annotation, type | UnionType) and isinstance(value, annotation)):
        return "that has no JSON form"
    return f"where its type is {_type_name(annotation)}"


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


def _find_nan(value: object, sent: object, path: str) -> str | None:
    """The path of the first number that is not finite, or None. A key that ``sent`` lacks is a computed field's."""
    match value:
        case float() | complex():
            finite = math.isfinite(value.real) and math.isfinite(value.imag)
            return None if finite else path or "the value"
        case Mapping():
            at = sent if isinstance(sent, Mapping) else dict.fromkeys(value)
            items = [(str(key), item, at[key]) for key, item in value.items() if key in at]
        case str() | bytes():
            return None
        case Sequence() | set() | frozenset():
            rest = sent if isinstance(sent, Sequence) and not isinstance(sent, str) else ()
            items = [(f"[{index}]", *pair) for index, pair in enumerate(zip_longest(value, rest))]
        case _:
            is_finite = getattr(value, "is_finite", None)  # Decimal
            return path or "the value" if is_finite is not None and not is_finite() else None
    for key, item, its_sent in items:
        found = _find_nan(item, its_sent, f"{path}.{key}" if path and not key.startswith("[") else path + key)
        if found is not None:
            return found
    return None
