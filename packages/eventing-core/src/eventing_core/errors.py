"""Every error that Eventing raises.

The tree::

    EventingError
    ├── DeclarationError              a decorated class is wrong
    ├── ConfigError                   a setting is wrong or unknown
    ├── ProviderNotFoundError         no installed plugin has that name
    ├── ProviderLoadError             an installed plugin can't be used
    ├── CapabilityError               the provider doesn't support a feature
    ├── ListenerCreationError         the container can't create a listener or pipeline
    ├── HealthServerError             the health server can't listen on its port (also an OSError)
    ├── ManagerStateError             the manager is not in a state for that call
    │   └── ManagerStoppedError
    ├── PipelineError                 a pipeline broke its contract
    ├── HeaderError                   an invalid header key or value
    ├── HeaderNotFoundError           (also a KeyError)
    ├── SerializationError            an event that can't be serialised, or would arrive different
    ├── DecodeError                   a body that isn't the event; never succeeds by retrying
    │   └── UndeliverableError        a message that the transport can't hand over
    ├── HandlerTimeoutError           (also a TimeoutError)
    ├── CrashLoopError                a delivery that killed its process again and again
    ├── BrokerConnectionError         no usable connection
    │   ├── HostNotFoundError
    │   ├── ConnectionRefusedByHostError
    │   ├── ConnectTimeoutError       (also a TimeoutError)
    │   ├── AuthenticationError
    │   ├── TlsError
    │   ├── ProtocolMismatchError     something else listens on that port
    │   └── UnsupportedBrokerError    the right protocol, but an unsupported broker
    ├── SubscriptionError             a listener can't consume from its queue
    │   ├── QueueNameConflictError
    │   └── ServerNameInUseError
    └── SendError                     the broker has not confirmed
        ├── SendTimeoutError          (also a TimeoutError)
        ├── ConnectionLostError
        ├── SendRejectedError
        ├── MessageTooLargeError
        ├── UnroutedError
        └── SendEventsError           some of several events
"""

from __future__ import annotations

from collections.abc import Sequence


class EventingError(Exception):
    """Base of every error that Eventing raises."""


class DeclarationError(EventingError, TypeError):
    """A class decorated with ``@event``, ``@event_listener`` or ``@envelope_pipeline`` is wrong.

    The message names the class and says how to fix it.
    """


class ConfigError(EventingError, ValueError):
    """A setting is unknown, misspelt or of the wrong type. The message names the file or variable, and the key."""


class ProviderNotFoundError(EventingError, LookupError):
    """No installed distribution offers a provider of that name."""


class ProviderLoadError(EventingError, ImportError):
    """The provider's plugin is installed but can't be used; ``__cause__`` says why."""


class CapabilityError(EventingError):
    """A declaration requires a feature that the provider doesn't support."""


class ListenerCreationError(EventingError):
    """The application's container can't create a listener or pipeline; the message says what to register."""


class HealthServerError(EventingError, OSError):
    """The health server can't listen on its address and port; the message names key and fix. `__cause__` says why."""


class ManagerStateError(EventingError, RuntimeError):
    """The call is not allowed in the manager's current state, or on the calling thread."""


class ManagerStoppedError(ManagerStateError):
    """The manager was stopped; it cannot be restarted."""


class PipelineError(EventingError, RuntimeError):
    """A pipeline broke its contract, for example by yielding twice."""


class HeaderError(EventingError, ValueError):
    """A header has an invalid key or value, or its key is reserved."""


class HeaderNotFoundError(EventingError, KeyError):
    """The envelope has no header of that key."""

    def __str__(self) -> str:
        return f"no header {self.args[0]!r}: pass a default if it may be missing" if self.args else "no such header"


class SerializationError(EventingError, ValueError):
    """An event can't be serialised, or would not arrive equal to what was sent. Nothing was sent."""


class DecodeError(EventingError, ValueError):
    """A body is not a valid event of the listener's type. Another attempt can't help."""


class UndeliverableError(DecodeError):
    """A transport can't hand a message over to a listener, though the broker has it. Another attempt can't help."""


class HandlerTimeoutError(EventingError, TimeoutError):
    """A listener's ``async def on`` took longer than its ``timeout``, and was cancelled: a failed attempt."""


class CrashLoopError(EventingError):
    """A delivery was redelivered so often without being settled that it is considered to kill its process."""


class BrokerConnectionError(EventingError, ConnectionError):
    """There is no usable connection to the broker."""


class HostNotFoundError(BrokerConnectionError):
    """The broker's host name doesn't resolve."""


class ConnectionRefusedByHostError(BrokerConnectionError):
    """The host refused the connection: nothing listens on the port, or a firewall rejects it."""


class ConnectTimeoutError(BrokerConnectionError, TimeoutError):
    """The broker did not answer within the connect time limit."""


class AuthenticationError(BrokerConnectionError):
    """The broker refuses the credentials, or the password could not be obtained; `__cause__` may say why."""


class TlsError(BrokerConnectionError):
    """The TLS handshake failed because of a certificate or host name, or because the peer doesn't use TLS."""


class ProtocolMismatchError(BrokerConnectionError):
    """The peer does not speak the provider's protocol."""


class UnsupportedBrokerError(BrokerConnectionError):
    """The peer speaks the protocol, but the provider doesn't support its addresses."""


class SubscriptionError(EventingError):
    """A listener can't consume from its queue."""


class QueueNameConflictError(SubscriptionError):
    """The queue name belongs to another event on this broker."""


class ServerNameInUseError(SubscriptionError):
    """Another live process consumes under the same ``server_name``."""


class SendError(EventingError):
    """The broker has not confirmed a send.

    Attributes:
        in_doubt: True if the broker may have the event nevertheless: it was written to a
            connection, but no answer arrived. False if the broker certainly doesn't have it.
        permanent: True if this broker can never store the message as it is: a header is too large for it, or
            can't be encoded. Sending it again unchanged is useless. Also False if this isn't known.
    """

    permanent = False

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class SendTimeoutError(SendError, TimeoutError):
    """No confirmation within the time limit."""


class ConnectionLostError(SendError, ConnectionError):
    """The provider was closed, or lost its connection permanently, before the confirmation."""


class SendRejectedError(SendError):
    """The broker answered, and refused the message (address full, no permission, a header too large, ...).

    If the error is not `SendError.in_doubt`, send the message again only with a new ``dedup_id``: the broker may have
    recorded the refused one, and would confirm a second message with that id without storing it.
    """

    def __init__(self, message: str, *, in_doubt: bool = False, permanent: bool = False) -> None:
        super().__init__(message, in_doubt=in_doubt)
        self.permanent = permanent


class MessageTooLargeError(SendError):
    """The message exceeds what the provider can carry. Nothing was sent."""

    permanent = True


class UnroutedError(SendError):
    """The address has no queue: the broker accepted the event, but no listener will ever get it."""


class SendEventsError(SendError):
    """Some of the events given to ``send_events`` were not confirmed.

    Attributes:
        failures: (index, cause) for each event that failed, in ascending order of the index in
            the iterable.
        taken: how many events were taken from the iterable. Of these, all that are not listed are confirmed;
            later ones were not sent.
    """

    def __init__(self, failures: Sequence[tuple[int, BaseException]], taken: int) -> None:
        self.failures = tuple(failures)
        self.taken = taken
        index, cause = self.failures[0]
        try:
            first = f"{type(cause).__name__}: {cause}"
        except BaseException:  # noqa: BLE001 (a pipeline's own error may be unable to say what it is)
            first = "(its text is not available)"
        super().__init__(
            f"{len(self.failures)} of {taken} events failed; the first is number {index}: {first}",
            in_doubt=any(getattr(cause, "in_doubt", False) for _, cause in self.failures),
        )

    def __reduce__(self) -> tuple[type[SendEventsError], tuple[Sequence[tuple[int, BaseException]], int]]:
        return type(self), (self.failures, self.taken)
