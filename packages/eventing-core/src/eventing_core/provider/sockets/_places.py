"""Where brokers are: ``host:port``, in settings and in messages. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

_LONGEST_PORT = 65_535

#: What can't be in a host name or address, IPv6's brackets and colons aside.
_NOT_IN_NAMES = r"\x00-\x1f\x7f\s/\\@?#,;\"'<>|^`{}()=*%&!$+"

#: An IPv6 address in brackets, or anything without a colon; then perhaps a port.
_ENTRY = re.compile(rf"(?:\[(?P<address>[^][\s/@]+)]|(?P<name>[^][:{_NOT_IN_NAMES}]+))(?::(?P<port>[0-9]{{1,5}}))?")
_NAME = re.compile(rf"[^][:{_NOT_IN_NAMES}]+")

#: Schemes of addresses that mean TLS.
_ENCRYPTED = re.compile(r"(amqps|ssl|tls|https|wss|stomps|mqtts)\b|.*\+(ssl|tls)\b", re.IGNORECASE)


class Address(NamedTuple):
    """What of an address, or a thing like it, may be shown: never a user or a password."""

    host: str
    port: int | None
    encrypted: bool

    @property
    def settings(self) -> str:
        """How it is written as settings."""
        parts = [f'host = "{self.host}"' if self.host else 'host = "..."']
        if self.port is not None:
            parts.append(f"port = {self.port}")
        if self.encrypted:
            parts.append("tls = true")
        return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


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
    raise ValueError(_flaw_in_entry(entry, is_place=found is not None))


def _flaw_in_entry(entry: str, *, is_place: bool) -> str:
    if is_place:
        return f"{entry!r} has a port that isn't between 1 and {_LONGEST_PORT}"
    if not entry:
        return "an entry is empty: write host or host:port"
    if "://" in entry or "@" in entry:
        address = address_in(entry)
        example = f'"{place_of(address.host, address.port) if address.port else address.host}"' if address.host else ""
        write = f"write {example}" if example else "write host or host:port"
        return f"an entry is a URL: {write}; user, password and tls are settings of their own, the same for all brokers"
    if _is_ipv6(entry):
        return f"{entry!r} is an IPv6 address without brackets: write [{entry}] or [{entry}]:{_LONGEST_PORT}"
    if "," in entry:
        return "an entry contains more than one host: write each as an entry of its own"
    return f"{_harmless(entry)} is not a host: write host or host:port"


def flaw_in_host(host: str) -> str:
    """Why a host can't be one, and what to write instead; empty where it can. Shows nothing of a password."""
    if _NAME.fullmatch(host) or _is_ipv6(host):
        return ""
    stripped = host.strip()
    for is_so, flaw in (
        (not stripped, "this is empty: write the broker's name or address, or remove the setting for localhost"),
        ("://" in stripped or "@" in stripped, _flaw_in_url(stripped)),
        (
            "," in stripped or ";" in stripped,
            "this is more than one host: the first goes here, the others to failover",
        ),
        (
            stripped[0:1] in "/.~\\",
            "this is a path, and only TCP is supported: write the broker's name or address",
        ),
        (stripped != host, "this has white space around it: remove it"),
        (stripped[0:1] in "\"'", "this contains quotes: remove them"),
    ):
        if is_so:
            return flaw
    address = address_in(stripped)
    if "[" in stripped and _is_ipv6(address.host):
        return f"this has brackets, which an address here is written without: write {address.settings}"
    if ":" in stripped and address.host:
        rest = address.settings if address.port else f'host = "{address.host}", and port as a setting of its own'
        return f"this contains a port: write {rest}"
    if "/" in stripped and address.host:
        return f"this contains a path: write {address.settings}"
    return "this contains characters that a host can't have: write the broker's name or address alone"


def _flaw_in_url(url: str) -> str:
    what = "this is a URL" if "://" in url else "this contains a user"
    others = "; user and password are settings of their own" if "@" in url else ""
    more = "; further brokers go to failover" if url.count("://") > 1 else ""
    return f"{what}: write {address_in(url).settings}{others}{more}"


def address_in(text: str) -> Address:
    """Host and port of a URL, or of something like it; empty where more than these might be shown."""
    nowhere = Address("", None, bool(_ENCRYPTED.match(text)))
    _, separator, rest = text.partition("://")
    rest = rest if separator else text
    if "@" in rest and re.search(r"[?#]", rest):
        # What follows the last @ may be the end of a password.
        return nowhere
    rest = re.split(r"[/?#,;]", rest.rpartition("@")[2])[0]
    if _is_ipv6(rest):
        return nowhere._replace(host=rest)
    found = _ENTRY.fullmatch(rest) or _ENTRY.fullmatch(rest.partition(":")[0])
    if found is None:
        return nowhere
    port = int(found["port"] or 0)
    return nowhere._replace(host=found["address"] or found["name"], port=port if 0 < port <= _LONGEST_PORT else None)


def _harmless(entry: str) -> str:
    """As it is, unless a password may follow a user."""
    name, colon, _ = entry.partition(":")
    return f"'{name}:...'" if colon else repr(entry)


def _is_ipv6(text: str) -> bool:
    try:
        return isinstance(ipaddress.ip_address(text), ipaddress.IPv6Address)
    except ValueError:
        return False
