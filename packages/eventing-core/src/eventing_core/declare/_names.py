"""What may name an event, a listener or a server. Strict enough for the addresses of every transport."""

from __future__ import annotations

import unicodedata

from eventing_core.errors import DeclarationError

_FORBIDDEN = ("::", "?", "#", "*", ",")
_PREFIXES = ("topic://", "queue://")


def flaw_in_name(name: str) -> str | None:
    """Say what is wrong with a name, or None."""
    if not name:
        return "it is empty"
    for part in _FORBIDDEN:
        if part in name:
            return f"it contains {part!r}"
    ends = [f"it begins with {prefix!r}" for prefix in _PREFIXES if name.startswith(prefix)]
    if name.endswith(":"):  # before "::" it would be a part of that
        ends.append("it ends with ':'")
    if ends:
        return ends[0]
    for character in name:
        if character.isspace():
            return f"it contains white space ({character!r})"
        if unicodedata.category(character) in ("Cc", "Cf", "Cs"):
            return f"it contains the control character {character!r}"
    return None


def check_name(what: str, name: str, mend: str) -> str:
    """Return the name, or raise `DeclarationError` with ``what`` it names and the ``mend``."""
    flaw = flaw_in_name(name)
    if flaw:
        msg = f"{what}: {name!r} is not a valid name: {flaw}. {mend}"
        raise DeclarationError(msg)
    return name
