"""The types of AMQP 1.0 (specification part 1, section 1.6), from and to bytes. Pure.

The decoder takes whatever comes: it never reads beyond its input, never recurses deeper than `MAX_DEPTH`, and never
makes more values than its input has bytes, apart from `MAX_EMPTY` of those that take no bytes.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Mapping
from typing import Any, TypeGuard

#: How deeply lists, maps, arrays and described values may be nested.
MAX_DEPTH = 32

#: How many values without bytes of their own (``null`` in an array) one input may have.
MAX_EMPTY = 65_536


class BrokenEncodingError(ValueError):
    """Bytes that are no AMQP 1.0 value."""


class Symbol(str):
    """An AMQP symbol."""

    __slots__ = ()


class Described:
    """A value with a descriptor, other than a message's section."""

    __slots__ = ("descriptor", "value")

    def __init__(self, descriptor: Any, value: Any) -> None:
        self.descriptor = descriptor
        self.value = value


# -- to bytes ---------------------------------------------------------------------------------------------------------


def string(text: str) -> bytes:
    """A string. Raises `UnicodeEncodeError` for lone surrogates, which UTF-8 can't carry."""
    raw = text.encode()
    size = len(raw)
    return (b"\xa1" + size.to_bytes(1) if size < 256 else b"\xb1" + size.to_bytes(4)) + raw


def symbol(text: str) -> bytes:
    """A symbol; what isn't ASCII becomes a question mark."""
    raw = text.encode("ascii", "replace")
    size = len(raw)
    return (b"\xa3" + size.to_bytes(1) if size < 256 else b"\xb3" + size.to_bytes(4)) + raw


def binary(raw: bytes) -> bytes:
    """A binary."""
    size = len(raw)
    return (b"\xa0" + size.to_bytes(1) if size < 256 else b"\xb0" + size.to_bytes(4)) + raw


def ulong(number: int) -> bytes:
    """An unsigned 64-bit number."""
    return b"\x80" + number.to_bytes(8)


def string_map(items: Mapping[str, str]) -> bytes:
    """A map of strings to strings."""
    return compound_map(strings(items), 2 * len(items))


def strings(items: Mapping[str, str]) -> bytes:
    """What such a map holds."""
    return b"".join([string(text) for item in items.items() for text in item])


def compound_map(body: bytes, count: int) -> bytes:
    """A map of so many encoded keys and values."""
    size = len(body)
    if size < 255 and count < 256:
        return b"\xc1" + bytes((size + 1, count)) + body
    return b"\xd1" + (size + 4).to_bytes(4) + count.to_bytes(4) + body


def compound_list(body: bytes, count: int) -> bytes:
    """A list of so many encoded fields."""
    size = len(body)
    if size < 255 and count < 256:
        return b"\xc0" + bytes((size + 1, count)) + body
    return b"\xd0" + (size + 4).to_bytes(4) + count.to_bytes(4) + body


# -- from bytes -------------------------------------------------------------------------------------------------------

_FLOAT = struct.Struct(">f")
_DOUBLE = struct.Struct(">d")

#: Values without bytes of their own.
_EMPTY: dict[int, Any] = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0}

_UNSIGNED = frozenset((0x50, 0x52, 0x53, 0x60, 0x70, 0x80))
_SIGNED = frozenset((0x51, 0x54, 0x55, 0x61, 0x71, 0x81, 0x83))

#: Bytes of a fixed-width value, by the constructor's upper half.
_WIDTHS = {0x4: 0, 0x5: 1, 0x6: 2, 0x7: 4, 0x8: 8, 0x9: 16}


class Decoder:
    """Reads values one after the other.

    Attributes:
        at: where the next value begins.
    """

    __slots__ = ("_empty", "_raw", "at")

    def __init__(self, raw: bytes, at: int = 0) -> None:
        self._raw = raw
        self.at = at
        self._empty = MAX_EMPTY

    def value(self, depth: int = MAX_DEPTH) -> Any:
        """Read a value.

        Raises:
            BrokenEncodingError: there is none.
        """
        code = self._byte()
        if code == 0:
            if depth <= 0:
                raise BrokenEncodingError
            descriptor = self.value(depth - 1)
            return Described(descriptor, self.value(depth - 1))
        return self._content(code, depth)

    def skip(self) -> None:
        """Pass over a value, without looking into lists, maps and arrays."""
        code = self._byte()
        if code == 0:
            self.value()
            self.value()
        elif code >= 0xA0:
            self._take(int.from_bytes(self._take(4 if code & 0x10 else 1)))
        else:
            self._take(_width(code))

    def _byte(self) -> int:
        try:
            byte = self._raw[self.at]
        except IndexError:
            raise BrokenEncodingError from None
        self.at += 1
        return byte

    def _take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self._raw):
            raise BrokenEncodingError
        taken = self._raw[self.at : end]
        self.at = end
        return taken

    def _content(self, code: int, depth: int) -> Any:
        """What follows a constructor."""
        category = code >> 4
        if category in {0xA, 0xB}:
            return _variable(code & 0xF, self._take(int.from_bytes(self._take(1 if category == 0xA else 4))))
        if category >= 0xC:
            return self._compound(code, depth)
        if code == 0x45:  # list0
            return []
        if code in _EMPTY:
            return _EMPTY[code]
        return _fixed(code, self._take(_width(code)))

    def _compound(self, code: int, depth: int) -> Any:
        if depth <= 0:
            raise BrokenEncodingError
        width = 4 if code & 0x10 else 1
        size = int.from_bytes(self._take(width))
        end = self.at + size
        if end > len(self._raw) or size < width:
            raise BrokenEncodingError
        count = int.from_bytes(self._take(width))
        kind = code & 0xEF
        if kind == 0xE0:
            values = self._array(count, end, depth - 1)
        elif kind in {0xC0, 0xC1} and count <= end - self.at:
            values = [self.value(depth - 1) for _ in range(count)]
        else:
            raise BrokenEncodingError
        if self.at != end:
            raise BrokenEncodingError
        return values if kind != 0xC1 else _mapping(values)

    def _array(self, count: int, end: int, depth: int) -> list[Any]:
        if not count and self.at == end:
            return []
        descriptors: list[Any] = []
        while (code := self._byte()) == 0:
            if depth <= len(descriptors):
                raise BrokenEncodingError
            descriptors.append(self.value(depth))
        if code >> 4 == 0x4:
            self._empty -= count
            if self._empty < 0:
                raise BrokenEncodingError
        elif count > end - self.at:
            raise BrokenEncodingError
        values = [self._content(code, depth) for _ in range(count)]
        for descriptor in reversed(descriptors):
            values = [Described(descriptor, value) for value in values]
        return values


def _width(code: int) -> int:
    try:
        return _WIDTHS[code >> 4]
    except KeyError:
        raise BrokenEncodingError from None


def _variable(kind: int, raw: bytes) -> Any:
    try:
        if kind == 0:
            return raw
        if kind == 1:
            return raw.decode()
        if kind == 3:
            return Symbol(raw.decode("ascii"))
    except UnicodeDecodeError:
        pass
    raise BrokenEncodingError


def _fixed(code: int, raw: bytes) -> Any:
    if code in _UNSIGNED:
        return int.from_bytes(raw)
    if code in _SIGNED:
        return int.from_bytes(raw, signed=True)
    return _rare(code, raw)


def _rare(code: int, raw: bytes) -> Any:
    if code == 0x56 and raw[0] < 2:
        return raw[0] == 1
    if code == 0x72:
        return _FLOAT.unpack(raw)[0]
    if code == 0x82:
        return _DOUBLE.unpack(raw)[0]
    if code == 0x98:
        return uuid.UUID(bytes=raw)
    if code == 0x73:
        return _character(int.from_bytes(raw))
    if code in {0x74, 0x84, 0x94}:  # decimals: nobody's standard library reads them
        return raw
    raise BrokenEncodingError


def _character(number: int) -> str:
    try:
        return chr(number)
    except (ValueError, OverflowError):
        raise BrokenEncodingError from None


def _mapping(values: list[Any]) -> dict[Any, Any]:
    if len(values) % 2:
        raise BrokenEncodingError
    keys = [_hashable(key) for key in values[::2]]
    return dict(zip(keys, values[1::2], strict=True))


def as_list(value: Any) -> list[Any]:
    """The value, where it is a list; else an empty one."""
    return value if _is_list(value) else []


def as_dict(value: Any) -> dict[Any, Any]:
    """The value, where it is a map; else an empty one."""
    return value if _is_dict(value) else {}


def _is_list(value: Any) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _is_dict(value: Any) -> TypeGuard[dict[Any, Any]]:
    return isinstance(value, dict)


def _hashable(key: Any) -> Any:
    return key if isinstance(key, str | int | float | bytes | uuid.UUID | None) else str(key)
