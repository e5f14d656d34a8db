"""What a body seems to be that is not JSON in UTF-8: said in the error, so that its sender can be found."""

from __future__ import annotations

import codecs

BOM = codecs.BOM_UTF8

#: First bytes by which a compression is recognised.
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x04\x22\x4d\x18": "lz4",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
    b"\x78\x01": "deflate (zlib)",
    b"\x78\x5e": "deflate (zlib)",
    b"\x78\x9c": "deflate (zlib)",
    b"\x78\xda": "deflate (zlib)",
}

#: Byte order marks; that of UTF-32 begins with that of UTF-16.
_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32 (little endian)",
    codecs.BOM_UTF32_BE: "UTF-32 (big endian)",
    codecs.BOM_UTF16_LE: "UTF-16 (little endian)",
    codecs.BOM_UTF16_BE: "UTF-16 (big endian)",
}

#: Characters that no text has.
_CONTROLS = frozenset(range(0x20)) - frozenset(b"\t\n\r")

#: Which of the first four bytes are NUL, where the first two characters are ASCII.
_NULS: dict[tuple[bool, ...], str] = {
    (False, True, True, True): "UTF-32 (little endian)",
    (True, True, True, False): "UTF-32 (big endian)",
    (False, True, False, True): "UTF-16 (little endian)",
    (True, False, True, False): "UTF-16 (big endian)",
}


def describe_foreign(body: bytes) -> str:
    """Say what a body seems to be, or nothing where it is text in UTF-8."""
    if not body:
        return "it is empty"
    for start, name in _COMPRESSED.items():
        if body.startswith(start):
            return f"it seems to be compressed with {name}, and only uncompressed JSON is read"
    charset = _charset_of(body)
    if charset:
        return f"it seems to be text in {charset}, and only UTF-8 is read"
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        is_text = body.lstrip()[:1] in {b"{", b"["} and not _CONTROLS.intersection(body)
        charset = "text in another charset, such as ISO-8859-1 or Windows-1252"
        seems = f"it seems to be {charset if is_text else 'binary data'}"
        return f"{seems}: the byte at {error.start} is not UTF-8"
    return "it seems to be XML, and only JSON is read" if text.lstrip().startswith("<") else ""


def _charset_of(body: bytes) -> str:
    for mark, name in _MARKS.items():
        if body.startswith(mark):
            return name
    return _NULS.get(tuple(byte == 0 for byte in body[:4]), "")
