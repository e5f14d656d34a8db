"""`Envelope`: body and headers of an event on its way, as pipelines see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, overload

from eventing_core.declare._reserved import RESERVED_HEADERS, RESERVED_PREFIXES
from eventing_core.errors import DecodeError, HeaderError, HeaderNotFoundError

D = TypeVar("D")

_MISSING = object()


def check_header(key: str, value: str) -> None:
    """Refuse a header that some transport can't carry as it is.

    Raises:
        HeaderError: the key is empty, reserved or holds control characters, or the value is no
            string, or holds NUL or a lone surrogate.
    """
    if not isinstance(key, str) or not key or not key.isprintable() or key != key.strip():
        msg = f"{key!r} is not a valid header key: choose a non-empty printable string without spaces around it"
        raise HeaderError(msg)
    if key in RESERVED_HEADERS or key.startswith(RESERVED_PREFIXES):
        msg = f"the header key {key!r} is reserved for the transports; choose another, for example {'x-' + key!r}"
        raise HeaderError(msg)
    if not isinstance(value, str):
        msg = (
            f"the header {key!r} has a value of type {type(value).__name__}; headers are strings: convert it with str()"
        )
        raise HeaderError(msg)
    if "\0" in value:
        msg = f"the value of header {key!r} contains NUL, which STOMP can't carry"
        raise HeaderError(msg)
    try:
        value.encode()
    except UnicodeEncodeError:
        msg = f"the value of header {key!r} contains a lone surrogate, which UTF-8 can't carry"
        raise HeaderError(msg) from None


class Envelope:
    """Body and headers of an event that is being sent or handled. Belongs to one send or attempt; not thread-safe."""

    __slots__ = ("_body", "_headers")

    def __init__(self, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._body = body
        self._headers = dict(headers) if headers else {}

    def get_body(self) -> str:
        """The serialised event, as text.

        Raises:
            DecodeError: the body, sent by another program, isn't UTF-8. The event is dead-lettered immediately.
        """
        try:
            return self._body.decode()
        except UnicodeDecodeError as error:
            msg = f"the body isn't UTF-8, at byte {error.start}"
        raise DecodeError(msg)

    def set(self, key: str, value: str) -> None:
        """Set a header. Headers that a failed attempt has set are discarded before the next attempt.

        Raises:
            HeaderError: the key is reserved, or the key or value is invalid.
        """
        check_header(key, value)
        self._headers[key] = value

    @overload
    def get(self, key: str) -> str: ...
    @overload
    def get(self, key: str, default: D) -> str | D: ...
    def get(self, key: str, default: object = _MISSING) -> object:
        """The value of a header, or ``default``, if given, when the header is missing.

        Raises:
            HeaderNotFoundError: the header is missing and no default was given.
        """
        value = self._headers.get(key, default)
        if value is _MISSING:
            raise HeaderNotFoundError(key)
        return value

    @property
    def headers(self) -> Mapping[str, str]:
        """A copy of all headers."""
        return dict(self._headers)

    def __repr__(self) -> str:
        return f"Envelope({len(self._body)} bytes, headers: {', '.join(sorted(self._headers)) or 'none'})"
