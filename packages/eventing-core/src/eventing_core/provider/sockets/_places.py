"""Where brokers are: ``host:port``, in settings and in messages. Pure."""

from __future__ import annotations

import re

_LONGEST_PORT = 65_535

#: An IPv6 address in brackets, or anything without a colon; then perhaps a port.
_ENTRY = re.compile(r"(?:\[(?P<address>[^][\s/@]+)]|(?P<name>[^][:,\s/@]+))(?::(?P<port>[0-9]{1,5}))?")


def place_of(host: str, port: int) -> str:
    """Host and port, for messages."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_place(entry: str, port: int) -> tuple[str, int]:
    """Host and port of an entry ``host``, ``host:port``, ``[address]`` or ``[address]:port``.

    Args:
        entry: as it stands in the settings.
        port: where the entry names none.

    Raises:
        ValueError: it is none of that; says how to write it, and shows nothing of what may be a password.
    """
    found = _ENTRY.fullmatch(entry)
    number = int(found["port"] or port) if found else 0
    if found and 1 <= number <= _LONGEST_PORT:
        return found["address"] or found["name"], number
    msg = f"{entry.rpartition('@')[2]!r} {_flaw(entry, is_place=found is not None)}"
    raise ValueError(msg)


def _flaw(entry: str, *, is_place: bool) -> str:
    if is_place:
        return f"has a port that isn't between 1 and {_LONGEST_PORT}"
    if "://" in entry or "@" in entry:
        return "is no host: write host or host:port; user, password and tls are settings of their own"
    if entry.count(":") > 1 and "[" not in entry:
        return f"is no host: write an IPv6 address in brackets, as [::1] or [::1]:{_LONGEST_PORT}"
    if "," in entry:
        return "is more than one host: write each as an entry of its own"
    return "is no host: write host or host:port"
