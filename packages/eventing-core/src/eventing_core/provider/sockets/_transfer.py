"""Reading and writing a connected socket, into and out of memory that the engine works on."""

from __future__ import annotations

import ctypes
import os
import socket
import ssl
from collections.abc import Callable

#: Reads or writes at most so many bytes; how many it were.
Transfer = Callable[[int], int]


class Buffer:
    """Memory of a fixed size.

    Attributes:
        address: its address.
        size: its size in bytes.
        view: a view of it for Python code.
    """

    def __init__(self, size: int) -> None:
        self._memory = ctypes.create_string_buffer(size)
        self.size = size
        self.address = ctypes.addressof(self._memory)
        self.view = memoryview(self._memory).cast("B")


def reader(sock: socket.socket, buffer: Buffer) -> Transfer:
    """Reads from the socket, which doesn't block, into the buffer; 0 at the end. Raises what `socket.recv` does."""
    if isinstance(sock, ssl.SSLSocket):
        return lambda size: sock.recv_into(buffer.view, size)
    return _direct("recv", sock, buffer) or (lambda size: sock.recv_into(buffer.view, size))


def writer(sock: socket.socket, buffer: Buffer) -> Transfer:
    """Writes the beginning of the buffer to the socket, which doesn't block. Raises what `socket.send` does."""
    if isinstance(sock, ssl.SSLSocket):
        return lambda size: sock.send(buffer.view[:size])
    return _direct("send", sock, buffer) or (lambda size: sock.send(buffer.view[:size]))


def _direct(name: str, sock: socket.socket, buffer: Buffer) -> Transfer | None:
    """The system's function, called with the GIL held, as the engine is: it never blocks here.

    Python's own gives the GIL away, and beside a thread that computes it takes up to a switch interval to get it back.
    """
    try:
        function = getattr(ctypes.PyDLL(None, use_errno=True), name)
        flags = socket.MSG_DONTWAIT | getattr(socket, "MSG_NOSIGNAL", 0)
    except (AttributeError, OSError, TypeError):
        return None
    function.restype = ctypes.c_ssize_t
    function.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    descriptor, address, get_errno = sock.fileno(), buffer.address, ctypes.get_errno

    def call(size: int) -> int:
        # The function would write over whatever is behind the buffer; and this keeps the buffer as long as the call.
        if size > buffer.size:
            msg = f"{size} bytes don't fit into a buffer of {buffer.size}"
            raise ValueError(msg)
        count: int = function(descriptor, address, size, flags)
        if count < 0:
            number = get_errno()
            raise OSError(number, os.strerror(number))
        return count

    return call
