"""Events to bytes and back: JSON by pydantic. An event arrives equal to what was sent, or is not sent."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from types import UnionType
from typing import TYPE_CHECKING, Any, get_origin, get_type_hints

from pydantic import BaseModel, PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from eventing_core.codec._equality import NOT_FINITE, Equality
from eventing_core.codec._exact import decoder, encoder
from eventing_core.codec._foreign_bytes import BOM, describe_foreign
from eventing_core.codec._schema import Record, is_written_by_name, shape_of
from eventing_core.codec._structure import MISSING, Path, field_names, find_nan, values_of
from eventing_core.codec._unsendable import Findings
from eventing_core.errors import DeclarationError, DecodeError, SerializationError

if TYPE_CHECKING:
    from eventing_core.declare._event import EventDescriptor

CONTENT_TYPE = "application/json"

#: Flaws of a body that an error lists.
_SHOWN = 5

#: What a body has to hold for a number that JSON lacks: the words, or more than a float can hold.
_odd_number = re.compile(rb"[nN][aA][nN]|[iI][nN][fF]|[0-9][eE]\+?[0-9]{3}|[0-9]{309}").search


class Codec:
    """Encodes and decodes the events of one class. Thread-safe.

    A body holds what the class can be made from again, under the fields' own names: no computed fields, no aliases.
    Read are names and aliases.

    An event is encoded by code made for the class. Where the schema proves that values of exactly the annotated types
    arrive as they are, their types are checked. Of other fields, what was written is read back, and compared with what
    was to be sent. Neither touches the filters for warnings, which belong to the process.

    Any string for pydantic's ``warnings`` releases the GIL at every call: alongside a thread that computes, a sender
    gets it back after up to 5 ms. ``warnings=False`` doesn't.

    Args:
        descriptor: of the class.
        max_bytes: a larger body isn't decoded.

    Attributes:
        encode: serialises an event. Raises `SerializationError` for one that would not arrive equal, or has no JSON
            form; it names the field, without its value.
        decode: makes the event of a body. Raises `DecodeError` for one that is too large, no JSON, or no valid event;
            it names the fields, without their values.

    Raises:
        DeclarationError: the class has a field that pydantic doesn't know, or that can never arrive.
    """

    __slots__ = (
        *("_adapter", "_equality", "_event_type", "_excluded", "_max_bytes", "_name"),
        *("_to_json", "_validate_json", "decode", "encode"),
    )

    def __init__(self, descriptor: EventDescriptor, max_bytes: int = sys.maxsize) -> None:
        self._max_bytes = max_bytes
        self._event_type = descriptor.event_type
        self._name = f"{descriptor.event_type.__module__}.{descriptor.event_type.__qualname__}"
        try:
            self._adapter: TypeAdapter[Any] = TypeAdapter(descriptor.event_type)
            if not self._adapter.pydantic_complete:
                self._adapter.rebuild(raise_errors=True)
            schema: Any = self._adapter.core_schema
        except (PydanticSchemaGenerationError, PydanticUserError, NameError, AttributeError, TypeError) as error:
            msg = (
                f"the event {self._name} has a field that pydantic can't handle: {str(error).splitlines()[0]}. Give it "
                "a type that pydantic can serialise, defined at the top of a module."
            )
            raise DeclarationError(msg) from error
        findings = Findings(schema)
        if findings.flaws:
            msg = f"the event {self._name} can never arrive as it was sent: {'; '.join(findings.flaws)}."
            raise DeclarationError(msg)
        self._to_json = self._adapter.serializer.to_json
        self._validate_json = self._adapter.validator.validate_json
        self._excluded = findings.excluded
        self._equality = Equality(findings.excluded)
        shape = shape_of(schema)
        write, read, equality = self._to_json, self._validate_json, self._equality
        by_name = is_written_by_name(schema)
        self.encode: Callable[[object], bytes] = (
            encoder(shape, write, read, equality.same, self._examine, by_name=by_name)
            if isinstance(shape, Record)
            else self._encode_verified
        )
        self.decode: Callable[[bytes], Any] = decoder(shape, read, equality.is_finite, self._judge, max_bytes)

    def _encode_verified(self, event: object) -> bytes:
        try:
            body = self._to_json(event, by_alias=False, round_trip=True, warnings=False)
            if self._equality.same(event, self._validate_json(body, by_alias=True, by_name=True)):
                return body
        except Exception:  # noqa: BLE001, S110 (raised again there, where it is told)
            pass
        return self._examine(event)

    def _examine(self, event: object) -> bytes:
        """Encode what isn't certain to arrive equal, or say what is wrong with it."""
        body = b""
        try:
            body = self._to_json(event, by_alias=False, round_trip=True, warnings=False)
        except Exception as error:  # noqa: BLE001 (a user's serializer raises what it likes)
            flaw = self._unwritable(event) or f"{type(error).__name__} was raised"
        else:
            flaw = self._unequal(event, body)
        if not flaw:
            return body
        # Not from the error: it holds values.
        msg = f"{self._name} can't be serialised: {flaw}. Nothing was sent."
        raise SerializationError(msg)

    def _judge(self, body: bytes) -> Any:
        """Decode what isn't certain to be an event, or say what is wrong with it."""
        if len(body) > self._max_bytes:
            msg = f"the body has {len(body)} bytes, and {self._name} may have {self._max_bytes} (max_body_bytes)"
            raise DecodeError(msg)
        try:
            event = self._validate_json(body, by_alias=True, by_name=True)
        except ValidationError as error:
            if body.startswith(BOM):
                return self.decode(body.removeprefix(BOM))
            msg = f"the body is not a valid {self._name}: {_foreign(error, body) or _summary(error)}"
            raise DecodeError(msg) from None
        except RecursionError:
            msg = f"the body is not a valid {self._name}: it is nested too deeply"
            raise DecodeError(msg) from None
        path = find_nan(event, self._excluded)
        if path is not None and _odd_number(body):  # otherwise it is a default
            msg = f"the body is not a valid {self._name}: {_text(path)}: the number is NaN, infinite or too large"
            raise DecodeError(msg)
        return event

    def _unwritable(self, event: object) -> str:
        """Name the field that can't be serialised, without its value."""
        given = values_of(event)
        for name in field_names(type(event)):
            if name not in given:
                if not isinstance(event, BaseModel):  # which leaves it out
                    return f"the field {name!r} was never given a value. Assign one before you send the event"
                continue
            try:
                self._to_json(event, include={name}, by_alias=False, round_trip=True, warnings=False)
            except Exception:  # noqa: BLE001 (a user's serializer raises what it likes)
                return self._wrong_type(name, given[name]) or (
                    f"the field {name!r} holds a {type(given[name]).__name__} that has no JSON form. "
                    "Convert it to a type that JSON has, or give the field a serializer"
                )
        return ""

    def _unequal(self, event: object, body: bytes) -> str:
        """Say how an event differs from what its body says, if it does."""
        not_finite = find_nan(event, self._excluded)
        if not_finite is not None:
            return f"{_text(not_finite) or 'the value'} {NOT_FINITE}"
        try:
            back = self._validate_json(body, by_alias=True, by_name=True)
            difference = self._equality.difference(event, back, lambda path: self._same_bytes(event, back, path))
        except ValidationError as error:
            return self._refusal(event, error)
        except Exception as error:  # noqa: BLE001 (a user's validator raises what it likes)
            name = self._raising(body)
            where = f"reading the field {name!r} back" if name else "reading it back"
            return f"{where} raises {type(error).__name__}. Let its validator accept the serialised value"
        if difference is None:
            return ""
        path, what = difference
        wrong = self._wrong_type(path[0], values_of(event).get(path[0], MISSING)) if len(path) == 1 else ""
        return wrong or (
            f"the field {_text(path)!r} {what}. Send a value that is unchanged after it was serialised and "
            "read back, or declare the exact type"
        )

    def _refusal(self, event: object, error: ValidationError) -> str:
        """What a listener would say of the first field that it doesn't accept."""
        flaw = error.errors(include_url=False, include_context=False, include_input=False)[0]
        given = values_of(event)
        path: Path = flaw["loc"] or self._not_read(event)
        name = self._field_of(path[0]) if path else ""
        wrong = self._wrong_type(name, given[name]) if name in given else ""
        if wrong:
            return wrong
        if name and name not in given:
            return f"the field {name!r} was never given a value. Assign one before you send the event"
        where = f"the field {_text((name, *path[1:]))!r}" if path else "it"
        return f"{where} would be refused by a listener: {flaw['msg']}. Send a value that the event class accepts"

    def _not_read(self, event: object) -> Path:
        """The path to the field whose JSON is beyond what readers take, if there is one."""
        for name in field_names(type(event)):
            body = self._to_json(event, include={name}, by_alias=False, round_trip=True, warnings=False)
            try:
                from_json(body)
            except ValueError:
                return (name,)
        return ()

    def _raising(self, body: bytes) -> str:
        """The field whose validator raises what is no validation error, if it is one field's."""
        written = from_json(body)
        for name in field_names(self._event_type):
            try:
                without = {key: value for key, value in written.items() if key != name}
                self._validate_json(to_json(without), by_alias=True, by_name=True)
            except ValidationError:  # for it is missing
                return name
            except Exception:  # noqa: BLE001, S112 (still there)
                continue
            else:
                return name
        return ""

    def _field_of(self, key: str | int) -> str:
        """The field that an error means by its name or alias."""
        names = field_names(self._event_type)
        if key in names:
            return str(key)
        known = getattr(self._event_type, "__pydantic_fields__", {})
        return next((name for name, info in known.items() if key in {info.alias, info.validation_alias}), str(key))

    def _same_bytes(self, event: object, back: object, path: Path) -> bool:
        """Whether what is at a path is written the same again."""
        wanted: Any = True
        for key in reversed(path):
            wanted = {key: wanted}
        ours, theirs = (
            self._to_json(one, include=wanted, by_alias=False, round_trip=True, warnings=False) for one in (event, back)
        )
        return ours == theirs

    def _wrong_type(self, name: str, value: object) -> str:
        """What is wrong with a value that is not of its field's type."""
        annotation = _annotation(self._event_type, name)
        kind = get_origin(annotation)
        if value is MISSING or annotation in {None, Any}:
            return ""
        known = annotation if isinstance(annotation, type | UnionType) else kind
        own = hasattr(known, "__get_pydantic_core_schema__") and not hasattr(known, "__pydantic_fields__")
        try:
            if own or not isinstance(known, type | UnionType) or isinstance(value, known):
                return ""
        except TypeError:  # a union with a generic in it
            return ""
        wanted = _type_name(annotation)
        return f"the field {name!r} holds a {type(value).__name__} but its type is {wanted}. Send a value of that type"


def _foreign(error: ValidationError, body: bytes) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    return describe_foreign(body) if first["type"] == "json_invalid" and not first["loc"] else ""


def _summary(error: ValidationError) -> str:
    flaws = error.errors(include_url=False, include_context=False, include_input=False)
    shown = [f"{'.'.join(map(str, flaw['loc'])) or 'the whole'}: {flaw['msg']}" for flaw in flaws[:_SHOWN]]
    more = f" (and {len(flaws) - _SHOWN} more)" if len(flaws) > _SHOWN else ""
    return "; ".join(shown) + more


def _text(path: Iterable[Any]) -> str:
    parts = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in path]
    return "".join(parts).removeprefix(".")


def _annotation(event_type: type[Any], name: str) -> Any:
    if issubclass(event_type, BaseModel):
        field = event_type.model_fields.get(name)
        return None if field is None else field.annotation
    try:
        return get_type_hints(event_type).get(name)
    except NameError:
        return None


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")
