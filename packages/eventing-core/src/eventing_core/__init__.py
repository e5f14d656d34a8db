"""Typed events between Python services, over the message broker that you already run."""

import importlib
import typing

from eventing_core.declare._envelope import Envelope
from eventing_core.declare._event import EventDescriptor, EventLike, event
from eventing_core.declare._listener import (
    EventListener,
    EventListenerDescriptor,
    ListenerFunction,
    declared_listeners,
    event_listener,
)
from eventing_core.declare._pipeline import EnvelopePipeline, declared_pipelines, envelope_pipeline
from eventing_core.declare._retry import Retry
from eventing_core.errors import (
    AuthenticationError,
    BrokerConnectionError,
    CapabilityError,
    ConfigError,
    ConnectionLostError,
    ConnectionRefusedByHostError,
    ConnectTimeoutError,
    CrashLoopError,
    DeclarationError,
    DecodeError,
    EventingError,
    HandlerTimeoutError,
    HeaderError,
    HeaderNotFoundError,
    HealthServerError,
    HostNotFoundError,
    ListenerCreationError,
    ManagerStateError,
    ManagerStoppedError,
    MessageTooLargeError,
    PipelineError,
    ProtocolMismatchError,
    ProviderLoadError,
    ProviderNotFoundError,
    QueueNameConflictError,
    SendError,
    SendEventsError,
    SendRejectedError,
    SendTimeoutError,
    SerializationError,
    ServerNameInUseError,
    SubscriptionError,
    TlsError,
    UndeliverableError,
    UnroutedError,
    UnsupportedBrokerError,
)

if typing.TYPE_CHECKING:
    from eventing_core.configure._options import HealthOptions, Options
    from eventing_core.inject._environment import Environment
    from eventing_core.manager._manager import EventManager
    from eventing_core.runtime._health import ListenerHealth, ManagerHealth, SendingHealth, StuckRun

__all__ = [
    "AuthenticationError",
    "BrokerConnectionError",
    "CapabilityError",
    "ConfigError",
    "ConnectTimeoutError",
    "ConnectionLostError",
    "ConnectionRefusedByHostError",
    "CrashLoopError",
    "DeclarationError",
    "DecodeError",
    "Envelope",
    "EnvelopePipeline",
    "Environment",
    "EventDescriptor",
    "EventLike",
    "EventListener",
    "EventListenerDescriptor",
    "EventManager",
    "EventingError",
    "HandlerTimeoutError",
    "HeaderError",
    "HeaderNotFoundError",
    "HealthOptions",
    "HealthServerError",
    "HostNotFoundError",
    "ListenerCreationError",
    "ListenerFunction",
    "ListenerHealth",
    "ManagerHealth",
    "ManagerStateError",
    "ManagerStoppedError",
    "MessageTooLargeError",
    "Options",
    "PipelineError",
    "ProtocolMismatchError",
    "ProviderLoadError",
    "ProviderNotFoundError",
    "QueueNameConflictError",
    "Retry",
    "SendError",
    "SendEventsError",
    "SendRejectedError",
    "SendTimeoutError",
    "SendingHealth",
    "SerializationError",
    "ServerNameInUseError",
    "StuckRun",
    "SubscriptionError",
    "TlsError",
    "UndeliverableError",
    "UnroutedError",
    "UnsupportedBrokerError",
    "declared_listeners",
    "declared_pipelines",
    "envelope_pipeline",
    "event",
    "event_listener",
]

#: What a manager needs is imported when it is first asked for: modules that only declare events are there sooner.
_LATER = {
    "Environment": "inject._environment",
    "EventManager": "manager._manager",
    "HealthOptions": "configure._options",
    "ListenerHealth": "runtime._health",
    "ManagerHealth": "runtime._health",
    "Options": "configure._options",
    "SendingHealth": "runtime._health",
    "StuckRun": "runtime._health",
}

if not typing.TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        module = _LATER.get(name)
        if module is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg)
        value = globals()[name] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
