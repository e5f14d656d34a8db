"""The password of one connection: set, or asked for anew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from eventing_core.errors import AuthenticationError


def read_password(file: Path, place: str) -> str:
    """The content of a file, without the line break at its end.

    Raises:
        AuthenticationError: it can't be read, or is empty. Names the file, and shows nothing of it.
    """
    try:
        text = file.read_bytes().decode()
    except OSError as error:
        flaw = f"can't be read: {error.strerror or type(error).__name__}. Check its path and permissions"
    except ValueError:
        flaw = "isn't UTF-8: save it as that"
    else:
        # One, as editors and `echo` write it: what else is there belongs to the password.
        text = text.removesuffix("\r\n" if text.endswith("\r\n") else "\n")
        if text:
            return text
        flaw = "is empty: write the password into it"
    # Outside: the error of a decoder holds what it could not decode.
    msg = f"{place}: password_file {str(file)!r} {flaw}"
    raise AuthenticationError(msg)


def ask_for_password(source: Callable[[], str], place: str) -> str:
    """What the application says now.

    Raises:
        AuthenticationError: from its error, or it is no password.
    """
    try:
        password = source()
    except BaseException as error:
        # Its text may hold anything, and goes into logs.
        msg = f"{place}: the password function raised {type(error).__name__}"
        raise AuthenticationError(msg) from error
    if isinstance(password, str) and password:
        return password
    what = "an empty string" if isinstance(password, str) else type(password).__name__
    msg = f"{place}: the password function returned {what} instead of a password"
    raise AuthenticationError(msg)
