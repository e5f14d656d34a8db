"""STOMP 1.2 frames as bytes (specification, "STOMP Frames"). Pure.

What goes out on the hot path is written here, since stomp.py escapes no header keys; what comes in is cut into frames
here, many at a time.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

_LENGTH = b"\ncontent-length:"
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_UNESCAPES = {"n": "\n", "r": "\r", "c": ":", "\\": "\\"}
_SPECIAL = re.compile(r"[\\\n\r:]")

#: No length has more digits.
_LENGTH_DIGITS = 18

#: How Artemis's messages begin.
_MESSAGE = re.compile(rb"\n*(MESSAGE\nsubscription:[^\n]*\ncontent-length:([0-9]{1,18})\n)")

#: How Artemis's texts begin; their length comes further on.
_TEXT = re.compile(rb"MESSAGE\nsubscription:[^\n]*\nmessage-id:")

#: How a message begins, of which there may be no more yet.
_BEGIN = re.compile(
    rb"[\r\n]*MESSAGE\r?\nsubscription:(?P<subscription>[^\r\n]*)\r?\n(?:content-length:[0-9]+\r?\n)?"
    rb"message-id:(?P<id>[^\r\n]*)\r?\n"
)

#: Headers of one frame may take this much, in bytes; more is no STOMP, or an attack.
_HEAD_LIMIT = 1 << 20


class BrokenFrameError(Exception):
    """What came is no STOMP frame."""


class LargeFrameError(Exception):
    """A frame is larger than it may be.

    Attributes:
        subscription: whose it is, where it is a message; else empty.
        message_id: the broker's; else empty.
    """

    def __init__(self, begin: bytes) -> None:
        super().__init__()
        found = _BEGIN.match(begin)
        self.subscription = found["subscription"].decode("latin-1") if found else ""
        self.message_id = found["id"].decode("latin-1") if found else ""


@dataclass(slots=True)
class Incoming:
    """A frame that came.

    Attributes:
        command: ``MESSAGE``, ``RECEIPT``, ...
        head: command and headers, escaped, each line ended by a line feed.
        body: as it came.
    """

    command: bytes
    head: bytes
    body: bytes

    def header(self, key: bytes) -> str:
        """The first header of that key, or an empty string; the key has nothing to escape."""
        return unescape(self.raw(b"\n%b:" % key).decode("utf-8", "replace"))

    def raw(self, before: bytes) -> bytes:
        """What stands between ``before``, a line feed, a key and a colon, and the end of the line, escaped."""
        head = self.head
        start = head.find(before)
        if start < 0:
            return b""
        start += len(before)
        return head[start : head.index(b"\n", start)]


def escape(text: str) -> str:
    """A header's key or value as it travels."""
    if _SPECIAL.search(text) is None:
        return text
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace(":", "\\c")


def unescape(text: str) -> str:
    """A header's key or value as it was meant; an escape that the specification doesn't know stays as it is."""
    if "\\" not in text:
        return text
    return _ESCAPED.sub(lambda found: _UNESCAPES.get(found[1], found[0]), text)


def lines(headers: Mapping[str, str]) -> bytes:
    """Headers as lines."""
    return "".join([f"{escape(key)}:{escape(value)}\n" for key, value in headers.items()]).encode()


def frame(command: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """A whole frame; without a length, its body is text."""
    return b"%b\n%b\n%b\0" % (command.encode(), lines(headers), body)


def receipt_of(data: bytes) -> bytes:
    """The number of the receipt that an encoded message asks for: the value of its first header."""
    start = data.index(b":") + 1
    return data[start : data.index(b"\n", start)]


def read_headers(head: bytes) -> dict[str, str]:
    """All headers of a frame; the first of a key holds (specification, "Repeated Header Entries")."""
    headers: dict[str, str] = {}
    # No byte of what isn't ASCII is a line feed or a colon: each line could as well be decoded alone.
    for line in head.decode("utf-8", "replace").split("\n")[1:]:
        key, colon, value = line.partition(":")
        if colon:
            if "\\" in line:
                key, value = unescape(key), unescape(value)
            if key not in headers:
                headers[key] = value
    return headers


class Splitter:
    """Cuts what comes into frames.

    Args:
        limit: what a frame may have, in bytes; one that isn't complete is kept up to that, and one read more.
    """

    def __init__(self, limit: int = sys.maxsize) -> None:
        self._limit = limit
        #: What came and is no whole frame yet; in pieces, since a large body is not to be copied with each of them.
        self._rest: list[bytes] = []
        self._size = 0
        #: What is waited for before it is worth while to look again.
        self._wanted = 0
        #: A body without a length has begun: only NUL ends it.
        self._endless = False

    def feed(self, data: bytes) -> list[Incoming]:
        """Take bytes in; return the frames that are complete. Heartbeats are passed over.

        Raises:
            BrokenFrameError: it is no STOMP.
            LargeFrameError: it is beyond the limit.
        """
        if self._size > self._limit:
            raise LargeFrameError(b"".join(self._rest[:8]))
        self._rest.append(data)
        self._size += len(data)
        if self._size < self._wanted or (self._endless and b"\0" not in data):
            return []
        buffer = b"".join(self._rest)
        self._wanted = 0
        self._endless = False
        found: list[Incoming] = []
        at, size = 0, len(buffer)
        # Looked for once, and not in each frame: only others than Artemis and RabbitMQ end lines by two characters.
        returns = b"\r" in buffer
        while True:
            message = None if returns else _MESSAGE.match(buffer, at)
            after = self._message(buffer, message, found) if message is not None else None
            if after is None:
                while at < size and buffer[at] in b"\n\r":
                    at += 1
                if at >= size:
                    break
                after = self._next(buffer, at, found, returns=returns)
                if after is None:
                    break
            at = after
        self._rest = [buffer[at:]] if at < size else []
        self._size = size - at
        self._wanted = max(0, self._wanted - at)
        return found

    def _message(self, buffer: bytes, begin: re.Match[bytes], found: list[Incoming]) -> int | None:
        """Read a frame that is complete and has no NUL in its body, as most; where it ends, or None for any other.

        It is measured from its end: where its length is right, the empty line there is the first, since from an earlier
        one it would lead to an earlier NUL.
        """
        stop = buffer.find(b"\0", begin.end())
        start = stop - int(begin[2])
        if start <= begin.end() or buffer[start - 2 : start] != b"\n\n" or stop - begin.start(1) > self._limit:
            return None
        found.append(Incoming(b"MESSAGE", buffer[begin.start(1) : start - 1], buffer[start:stop]))
        return stop + 1

    def _next(self, buffer: bytes, at: int, found: list[Incoming], *, returns: bool) -> int | None:
        """Read the frame that begins here; where it ends, or None while it isn't complete."""
        end = buffer.find(b"\n\n", at)
        # It may share its last byte with that: a body may begin with a line feed.
        plain = buffer.find(b"\n\r\n", at, end + 1 if end >= 0 else len(buffer)) if returns else -1
        if plain >= 0:
            head, start = buffer[at:plain].replace(b"\r\n", b"\n").rstrip(b"\r") + b"\n", plain + 3
        elif end >= 0:
            head, start = buffer[at : end + 1], end + 2
        elif len(buffer) - at > _HEAD_LIMIT:
            large = LargeFrameError(buffer[at : at + _HEAD_LIMIT])
            if large.subscription:
                raise large
            raise BrokenFrameError
        else:
            return None
        length = _content_length(head)
        if length is not None and start - at + length > self._limit:
            raise LargeFrameError(head)
        stop = buffer.find(b"\0", start) if length is None else start + length
        if stop < 0 or stop >= len(buffer):
            self._endless = length is None
            self._wanted = 0 if length is None else stop + 1
            return None
        if buffer[stop] != 0:
            # Of a SEND with a header line without colon, Artemis 2.44 makes an empty text, and hands on its length.
            if buffer[start] != 0 or not _TEXT.match(head):
                raise BrokenFrameError
            stop = start
        found.append(Incoming(head[: head.index(b"\n")], head, buffer[start:stop]))
        return stop + 1


def _content_length(head: bytes) -> int | None:
    start = head.find(_LENGTH)
    if start < 0:
        return None
    start += len(_LENGTH)
    digits = head[start : head.index(b"\n", start)].strip()
    if not digits.isdigit() or len(digits) > _LENGTH_DIGITS:
        raise BrokenFrameError
    return int(digits)
