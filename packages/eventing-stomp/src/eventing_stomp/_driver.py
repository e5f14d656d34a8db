"""stomp.py, imported without what it does at import; and a transport of its that an I/O loop of ours drives."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any

_SKIP = "STOMP_SKIP_HOSTNAME_SCAN"


@cache
def load() -> Any:
    """The package. Its import would resolve the host's own name, which can take seconds."""
    before = os.environ.get(_SKIP)
    os.environ[_SKIP] = "1"
    try:
        import stomp  # noqa: PLC0415 (not before it is used)
    finally:
        if before is None:
            del os.environ[_SKIP]
        else:
            os.environ[_SKIP] = before
    return stomp


def protocol(host: str, virtual_host: str, write: Callable[[bytes], None], listener: object) -> Any:
    """A fresh stomp.py 1.2 connection: it writes frames by ``write``, and takes them by ``process``.

    Heartbeats are the loop's: stomp.py's own would take a thread for each connection.
    """
    stomp = load()

    class Transport(stomp.transport.BaseTransport):  # type: ignore[misc, name-defined]
        vhost = virtual_host

        def __init__(self) -> None:
            super().__init__(auto_decode=False)
            self.running = True
            self.current_host_and_port = (host, 0)

        def transmit(self, frame: Any) -> None:
            # The inherited one logs frames, the password's among them.
            write(stomp.utils.pack(stomp.utils.convert_frame(frame)))

        def process(self, raw: bytes) -> None:
            frame = stomp.utils.parse_frame(raw)
            if frame is not None:
                self.process_frame(frame, raw)

        def disconnect_socket(self) -> None:
            """The loop closes the socket."""

    transport = Transport()
    transport.set_listener("eventing", listener)
    return stomp.protocol.Protocol12(transport)
