"""The sections as almost all clients write them, read without building a value for each field. Pure.

Where bytes are in any other form than the ones here, each function says so, and `_message` decodes them in full.
"""

from __future__ import annotations

import functools

_NULL, _STR8, _STR32 = 0x40, 0xA1, 0xB1

#: Constructors of values that tell their size in one byte, or in four; and how those that are texts are encoded.
_SHORT, _LONG = frozenset((0xA0, _STR8, 0xA3)), frozenset((0xB0, _STR32, 0xB3))
_TEXTS = {_STR8: "utf-8", _STR32: "utf-8", 0xA3: "ascii", 0xB3: "ascii"}

_FIVE_NULLS = bytes((_NULL,)) * 5

#: How sections begin: header, annotations (delivery, message), properties, application properties; and how many bytes
#: of them tell their size (specification part 1, section 1.6), or that there are none.
_NO_SIZE = 8
_BEFORE_BODY = {
    bytes((0x00, 0x53, section, constructor)): width
    for section, constructors in (
        (0x70, {0x45: _NO_SIZE, 0xC0: 1, 0xD0: 4}),
        (0x71, {0xC1: 1, 0xD1: 4}),
        (0x72, {0xC1: 1, 0xD1: 4}),
        (0x73, {0x45: _NO_SIZE, 0xC0: 1, 0xD0: 4}),
        (0x74, {0xC1: 1, 0xD1: 4}),
    )
    for constructor, width in constructors.items()
}

_SHORT_DATA, _LONG_DATA = b"\x00\x53\x75\xa0", b"\x00\x53\x75\xb0"

#: Bytes of a value by its constructor, where they are always as many; strings, symbols and binaries tell theirs.
_WIDTHS = {
    **dict.fromkeys((0x40, 0x41, 0x42, 0x43, 0x44, 0x45), 0),
    **dict.fromkeys((0x50, 0x51, 0x52, 0x53, 0x54, 0x55, 0x56), 1),
    **dict.fromkeys((0x60, 0x61), 2),
    **dict.fromkeys((0x70, 0x71, 0x72, 0x73, 0x74), 4),
    **dict.fromkeys((0x80, 0x81, 0x82, 0x83, 0x84), 8),
    **dict.fromkeys((0x94, 0x98), 16),
}


def _size(raw: bytes, at: int, width: int) -> int:
    """Of a section of more than 255 bytes, or of none."""
    return 4 if width == _NO_SIZE else 8 + int.from_bytes(raw[at + 4 : at + 8])


def body_at(raw: bytes, at: int = 0) -> int:
    """Where the body begins: one data section, which ends with the message. -1 for all other bodies.

    What is broken in the sections before it, which begin at ``at``, isn't noticed.
    """
    try:
        while width := _BEFORE_BODY.get(start := raw[at : at + 4]):
            at += 5 + raw[at + 4] if width == 1 else _size(raw, at, width)
        if start == _SHORT_DATA:
            return at + 5 if len(raw) - at - 5 == raw[at + 4] else -1
    except IndexError:  # it ends within one of them
        return -1
    if start == _LONG_DATA and len(raw) - at - 8 == int.from_bytes(raw[at + 4 : at + 8]):
        return at + 8
    return -1


def places_in(raw: bytes) -> tuple[int, int, int] | None:
    """Where the constructors of the properties and of the application properties are, and where the body begins.

    -1 for a section that isn't there. None where one is there twice, or they are in another order, or the body is of
    another kind.

    Raises:
        IndexError: it ends within a section.
    """
    at = before = 0
    properties = application = -1
    while width := _BEFORE_BODY.get(raw[at : at + 4]):
        section = raw[at + 2]
        if section <= before:
            return None
        before = section
        if section == 0x73:  # noqa: PLR2004 (specification part 3, section 3.2.4)
            properties = at + 3
        elif section == 0x74:  # noqa: PLR2004 (specification part 3, section 3.2.5)
            application = at + 3
        at += 5 + raw[at + 4] if width == 1 else _size(raw, at, width)
    body = body_at(raw, at)
    return (properties, application, body) if body > 0 else None


def id_and_content_type(raw: bytes, at: int) -> tuple[str, str] | None:
    """The first and the seventh field of the properties, empty where there is none; None where one isn't text.

    Args:
        raw: the message.
        at: where the list's constructor is.

    Raises:
        IndexError: it ends within the list.
        UnicodeDecodeError: a text is none.
    """
    if raw[at] == 0xC0:  # noqa: PLR2004 (list8)
        end, count, at = at + 2 + raw[at + 1], raw[at + 2], at + 3
    elif raw[at] == 0xD0:  # noqa: PLR2004 (list32)
        end = at + 5 + int.from_bytes(raw[at + 1 : at + 5])
        count, at = int.from_bytes(raw[at + 5 : at + 9]), at + 9
    else:
        return "", ""
    message_id = ""
    if count and raw[at] == _STR8:
        start = at + 2
        at = start + raw[at + 1]
        message_id = raw[start:at].decode()
        count -= 1
    elif count and raw[at] == _NULL:
        at += 1
        count -= 1
    elif count:
        return None
    # What follows the id is mostly one and the same for all messages of a sender.
    rest = raw[at:end] if end <= len(raw) else b"\xff"
    content_type = _content_type(rest, count) if rest[:5] == _FIVE_NULLS else _sixth(rest, count)
    return None if content_type is None else (message_id, content_type)


def _sixth(fields: bytes, count: int) -> str | None:
    """The text of the sixth of ``count`` fields; None where it isn't text, or the fields aren't as many."""
    text: str | None = ""
    at = 0
    for index in range(count):
        code = fields[at]
        at += 1
        start, width = at, _WIDTHS.get(code)
        if width is None:
            if code in _SHORT:
                start, width = at + 1, fields[at]
            elif code in _LONG:
                start, width = at + 4, int.from_bytes(fields[at : at + 4])
            else:
                return None
        at = start + width
        if index == 5:  # noqa: PLR2004 (the content type, after the id: specification part 3, section 3.2.4)
            encoding = _TEXTS.get(code)
            text = fields[start:at].decode(encoding) if encoding else "" if code == _NULL else None
    return text if at == len(fields) else None


_content_type = functools.lru_cache(maxsize=256)(_sixth)


def strings_of(raw: bytes, at: int) -> dict[str, str] | None:
    """A map of strings to strings; None where a key or value is something else, or a key is there twice.

    Args:
        raw: the message.
        at: where the map's constructor is.

    Raises:
        IndexError: it ends within the map.
        UnicodeDecodeError: a string is none.
    """
    if raw[at] == 0xC1:  # noqa: PLR2004 (map8)
        end, count, at = at + 2 + raw[at + 1], raw[at + 2], at + 3
    else:
        end = at + 5 + int.from_bytes(raw[at + 1 : at + 5])
        count, at = int.from_bytes(raw[at + 5 : at + 9]), at + 9
    found: dict[str, str] = {}
    while at < end:
        if raw[at] != _STR8:
            return None
        middle = at + 2 + raw[at + 1]
        code = raw[middle]
        if code == _STR8:
            start = middle + 2
            after = start + raw[middle + 1]
        elif code == _STR32:
            start = middle + 5
            after = start + int.from_bytes(raw[middle + 1 : start])
        else:
            return None
        found[raw[at + 2 : middle].decode()] = raw[start:after].decode()
        at = after
    return found if at == end <= len(raw) and len(found) * 2 == count else None
