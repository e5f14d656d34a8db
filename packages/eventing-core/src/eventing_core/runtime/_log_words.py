"""How logs, health and dead letters name an error. Never raises, whatever the error's own methods do."""

from __future__ import annotations

from types import TracebackType

#: Characters of an exception's text, and of its type's name, that a dead letter keeps.
_MESSAGE_LIMIT, _TYPE_LIMIT = 1000, 200

_PACKAGE = __name__.partition(".")[0] + "."


def describe_error(error: BaseException) -> str:
    """Type and text of an error, for a log line. Never raises, whatever the error's own methods do."""
    kind, text = _qualname_of(error), text_of(error)
    return f"{kind}: {text}" if text else kind


def traceback_of(error: BaseException) -> tuple[type[BaseException], BaseException, TracebackType | None]:
    """For a log line's ``exc_info``: the traceback from where the user's own code begins."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_globals.get("__name__", "").startswith(_PACKAGE):
        trace = trace.tb_next
    return type(error), error, trace or error.__traceback__


def type_of(error: BaseException) -> str:
    try:
        module = type.__dict__["__module__"].__get__(type(error))
    except AttributeError:
        module = None
    name = _qualname_of(error)
    return f"{sound(module, _TYPE_LIMIT)}.{name}".removeprefix("builtins.") if isinstance(module, str) else name


def _qualname_of(error: BaseException) -> str:
    # A metaclass may have one of its own, which may raise.
    return sound(type.__dict__["__qualname__"].__get__(type(error)), _TYPE_LIMIT)


def text_of(error: BaseException) -> str:
    try:
        return sound(str(error), _MESSAGE_LIMIT)
    except BaseException:  # noqa: BLE001 (a broken __str__ must not keep an event from its dead-letter queue)
        return "(its text is not available)"


def sound(text: str, limit: int | None = None) -> str:
    """The text, or its beginning, as every transport can carry it: no NUL, no lone surrogates."""
    # It may be of a class of the user's, whose methods may do anything.
    short = str.__getitem__(text, slice(limit)).encode("utf-8", "replace").decode()
    return short.replace("\0", "\N{REPLACEMENT CHARACTER}")
