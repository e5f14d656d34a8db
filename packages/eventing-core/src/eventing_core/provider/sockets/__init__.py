"""Building blocks for transports that reach a broker over a socket.

They provide one I/O thread for each connection, start a new generation after every loss, send again what is in doubt,
and attach subscriptions again. A transport derives from `Connection`, `Generation`, `SocketProducer`, `SocketConsumer`
and `SocketProvider`, and adds its protocol. Using them is optional.
"""

from eventing_core.provider._timer import Alarm
from eventing_core.provider.sockets._apart import Apart, ApartHandle
from eventing_core.provider.sockets._backoff import Backoff
from eventing_core.provider.sockets._carrier import Carrier
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._connection import Connection
from eventing_core.provider.sockets._consumer import SocketConsumer, next_number
from eventing_core.provider.sockets._errors import is_hangup, of_encoding, of_mismatch, of_silence, of_size, of_socket
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._loop import Loop, quietly
from eventing_core.provider.sockets._naming import QUEUE_NAME, check_queue_name, queue_name
from eventing_core.provider.sockets._producer import SocketProducer
from eventing_core.provider.sockets._provider import SocketProvider
from eventing_core.provider.sockets._pulse import Pulse
from eventing_core.provider.sockets._quarantine import Quarantine, Standing, quoted_list
from eventing_core.provider.sockets._send import Send, SendOwner
from eventing_core.provider.sockets._session import Session
from eventing_core.provider.sockets._transfer import Buffer, Transfer, reader, writer
from eventing_core.provider.sockets._undeliverable import Undeliverable
from eventing_core.provider.sockets._wire import CHUNK, WireGeneration

__all__ = [
    "CHUNK",
    "QUEUE_NAME",
    "Alarm",
    "Apart",
    "ApartHandle",
    "Backoff",
    "Buffer",
    "Carrier",
    "Connection",
    "Generation",
    "Loop",
    "Pulse",
    "Quarantine",
    "Send",
    "SendOwner",
    "Session",
    "SocketConfig",
    "SocketConsumer",
    "SocketProducer",
    "SocketProvider",
    "Standing",
    "Transfer",
    "Undeliverable",
    "WireGeneration",
    "check_queue_name",
    "is_hangup",
    "next_number",
    "of_encoding",
    "of_mismatch",
    "of_silence",
    "of_size",
    "of_socket",
    "queue_name",
    "quietly",
    "quoted_list",
    "reader",
    "writer",
]
