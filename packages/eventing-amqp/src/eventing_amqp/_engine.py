"""Proton's C engine, called with the GIL held.

Proton's Python package calls its engine through cffi, which gives the GIL away at every call. Beside one thread that
computes, each call then waits up to a switch interval (5 ms) to get it back, and a loop of a few calls per message
crawls. Called through `ctypes.PyDLL`, the same extension module keeps the GIL; no function used here blocks.

Pointers are plain integers, and None for NULL. Nothing here is thread-safe: one thread per connection.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import logging
import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Literal

_log = logging.getLogger("eventing.amqp")

#: Functions of Proton's ``proton/*.h``: what they return, then what they take. ``p`` pointer, ``c`` C string or bytes,
#: ``z`` size_t, ``y`` ssize_t, ``i`` int, ``u`` uint32, ``t`` uint64, ``l`` int64, ``b`` bool, ``v`` nothing,
#: ``B`` pn_bytes_t. Only functions that Proton's cffi module knows as well, so that the fallback has them all.
SIGNATURES = {
    "pn_connection": "p",
    "pn_connection_close": "vp",
    "pn_connection_collect": "vpp",
    "pn_connection_condition": "pp",
    "pn_connection_open": "vp",
    "pn_connection_release": "vp",
    "pn_connection_remote_condition": "pp",
    "pn_connection_remote_properties": "pp",
    "pn_connection_set_container": "vpc",
    "pn_connection_set_hostname": "vpc",
    "pn_connection_set_password": "vpc",
    "pn_connection_set_user": "vpc",
    "pn_collector": "p",
    "pn_collector_free": "vp",
    "pn_collector_peek": "pp",
    "pn_collector_pop": "bp",
    "pn_condition_get_description": "cp",
    "pn_condition_get_name": "cp",
    "pn_condition_is_set": "bp",
    "pn_data_decode": "ypcz",
    "pn_data_encode": "yppz",
    "pn_data_encoded_size": "yp",
    "pn_data_rewind": "vp",
    "pn_decref": "ip",
    "pn_delivery": "ppB",
    "pn_delivery_aborted": "bp",
    "pn_delivery_link": "pp",
    "pn_delivery_partial": "bp",
    "pn_delivery_remote": "pp",
    "pn_delivery_remote_state": "tp",
    "pn_delivery_settle": "vp",
    "pn_delivery_settled": "bp",
    "pn_delivery_update": "vpt",
    "pn_disposition_condition": "pp",
    "pn_event_context": "pp",
    "pn_event_type": "ip",
    "pn_link_advance": "bp",
    "pn_link_close": "vp",
    "pn_link_credit": "ip",
    "pn_link_current": "pp",
    "pn_link_flow": "vpi",
    "pn_link_free": "vp",
    "pn_link_open": "vp",
    "pn_link_recv": "yppz",
    "pn_link_remote_condition": "pp",
    "pn_link_remote_max_message_size": "tp",
    "pn_link_remote_source": "pp",
    "pn_link_remote_target": "pp",
    "pn_link_send": "ypcz",
    "pn_link_source": "pp",
    "pn_link_target": "pp",
    "pn_receiver": "ppc",
    "pn_sasl": "pp",
    "pn_sasl_allowed_mechs": "vpc",
    "pn_sasl_set_allow_insecure_mechs": "vpb",
    "pn_sender": "ppc",
    "pn_session": "pp",
    "pn_session_open": "vp",
    "pn_session_remote_condition": "pp",
    "pn_terminus_capabilities": "pp",
    "pn_terminus_filter": "pp",
    "pn_terminus_get_type": "ip",
    "pn_terminus_set_address": "ipc",
    "pn_transport": "p",
    "pn_transport_bind": "ipp",
    "pn_transport_close_tail": "ip",
    "pn_transport_condition": "pp",
    "pn_transport_get_remote_idle_timeout": "up",
    "pn_transport_peek": "yppz",
    "pn_transport_pending": "yp",
    "pn_transport_pop": "vpz",
    "pn_transport_push": "yppz",
    "pn_transport_set_idle_timeout": "vpu",
    "pn_transport_tick": "lpl",
    "pn_transport_trace": "vpi",
    "pn_transport_unbind": "ip",
}


_SELECTOR = b"apache.org:selector-filter:string"


class Event:
    """``pn_event_type_t``: those that matter here."""

    CONNECTION_REMOTE_OPEN = 9
    CONNECTION_REMOTE_CLOSE = 11
    SESSION_REMOTE_OPEN = 15
    SESSION_REMOTE_CLOSE = 17
    LINK_REMOTE_OPEN = 21
    LINK_REMOTE_CLOSE = 23
    LINK_REMOTE_DETACH = 25
    LINK_FLOW = 26
    DELIVERY = 28
    TRANSPORT_ERROR = 31
    TRANSPORT_CLOSED = 34


class State:
    """Delivery states of AMQP 1.0 (specification part 3, section 3.4)."""

    RECEIVED = 0x23
    ACCEPTED = 0x24
    REJECTED = 0x25
    RELEASED = 0x26
    MODIFIED = 0x27


class Bytes(ctypes.Structure):
    """``pn_bytes_t``."""

    _fields_ = (("size", ctypes.c_size_t), ("start", ctypes.c_void_p))


class Engine:
    """The functions, and what is built from several of them.

    Attributes:
        lib: the functions of `SIGNATURES` by their names.
        mode: ``ctypes``: called with the GIL held; ``cffi``: each call gives it away.
    """

    def __init__(self, lib: Any, mode: Literal["ctypes", "cffi"]) -> None:
        self.lib = lib
        self.mode = mode

    def condition(self, pointer: int | None) -> tuple[str, str] | None:
        """Name and description of a ``pn_condition_t``; None when it isn't set."""
        lib = self.lib
        if not pointer or not lib.pn_condition_is_set(pointer):
            return None
        name, description = lib.pn_condition_get_name(pointer), lib.pn_condition_get_description(pointer)
        return (name or b"").decode("utf-8", "replace"), (description or b"").decode("utf-8", "replace")

    def read_data(self, data: int) -> bytes:
        """What a ``pn_data_t`` holds, encoded."""
        lib = self.lib
        lib.pn_data_rewind(data)
        size: int = lib.pn_data_encoded_size(data)
        if size <= 0:
            return b""
        buffer = ctypes.create_string_buffer(size)
        count: int = lib.pn_data_encode(data, ctypes.addressof(buffer), size)
        return buffer.raw[: max(count, 0)]

    def set_capability(self, terminus: int, symbol: str) -> None:
        """Give a terminus one capability."""
        encoded = b"\xa3" + bytes((len(symbol),)) + symbol.encode("ascii")
        self.lib.pn_data_decode(self.lib.pn_terminus_capabilities(terminus), encoded, len(encoded))

    def set_selector(self, source: int, selector: str) -> None:
        """Give a source a filter (registered as ``apache.org:selector-filter:string``, in the syntax of JMS)."""
        name = b"\xa3" + bytes((len(_SELECTOR),)) + _SELECTOR
        text = selector.encode()
        fields = name + b"\x00" + name + b"\xb1" + len(text).to_bytes(4) + text
        encoded = b"\xd1" + (4 + len(fields)).to_bytes(4) + (2).to_bytes(4) + fields
        self.lib.pn_data_decode(self.lib.pn_terminus_filter(source), encoded, len(encoded))

    def tagger(self) -> Callable[[int], Bytes]:
        """A function that makes delivery tags of numbers; a tag is valid until the next one is made."""
        buffer = ctypes.create_string_buffer(8)
        tag = Bytes(8, ctypes.addressof(buffer))
        pack_into = struct.Struct(">Q").pack_into

        def make(number: int) -> Bytes:
            pack_into(buffer, 0, number)
            return tag

        return make


@functools.cache
def load() -> Engine:
    """The engine, by the fast way where Proton's extension module exports its symbols."""
    module = importlib.import_module("cproton_ffi")
    try:
        return Engine(_by_ctypes(str(module.__file__)), "ctypes")
    except (OSError, AttributeError) as error:
        _log.warning(
            "Proton's functions can't be called directly (%s): AMQP is slower while other threads compute", error
        )
        return load_by_cffi()


def load_by_cffi() -> Engine:
    """The engine, by the way that always works."""
    return Engine(_by_cffi(importlib.import_module("cproton_ffi")), "cffi")


def _by_ctypes(path: str) -> SimpleNamespace:
    types = {
        "p": ctypes.c_void_p,
        "c": ctypes.c_char_p,
        "z": ctypes.c_size_t,
        "y": ctypes.c_ssize_t,
        "i": ctypes.c_int,
        "u": ctypes.c_uint32,
        "t": ctypes.c_uint64,
        "l": ctypes.c_int64,
        "b": ctypes.c_bool,
        "v": None,
        "B": Bytes,
    }
    library = ctypes.PyDLL(path)
    functions = SimpleNamespace()
    for name, signature in SIGNATURES.items():
        result, arguments = signature[0], signature[1:]
        function = getattr(library, name)
        function.restype = types[result]
        function.argtypes = [types[argument] for argument in arguments]
        setattr(functions, name, function)
    return functions


def _by_cffi(module: Any) -> SimpleNamespace:
    return SimpleNamespace(**{name: _wrap(module.ffi, module.lib, name) for name in SIGNATURES})


def _wrap(ffi: Any, lib: Any, name: str) -> Callable[..., Any]:
    """A cffi function that takes and returns what the one of ctypes does."""
    function = getattr(lib, name)
    result, letters = SIGNATURES[name][0], SIGNATURES[name][1:]
    types = [argument.cname for argument in ffi.typeof(function).args]

    def convert(letter: str, type_: str, value: Any) -> Any:
        if letter == "p":
            return ffi.cast(type_, value or 0)
        if letter == "B":
            return ffi.new("pn_bytes_t *", (value.size, ffi.cast("char *", value.start)))[0]
        return ffi.NULL if value is None else value

    def call(*values: Any) -> Any:
        answer = function(*map(convert, letters, types, values))
        if result == "p":
            return int(ffi.cast("uintptr_t", answer)) or None
        if result == "c":
            return ffi.string(answer) if answer else None
        return answer

    return call
