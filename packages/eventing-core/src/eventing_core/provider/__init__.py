"""The provider interface: what a transport implements, and what it can rely on.

The names of this package are the contract. `eventing_core.provider.sockets` and `eventing_core.provider.artemis` are
optional building blocks for transports that reach a broker over a socket.
"""

from eventing_core.declare._reserved import RESERVED_HEADERS
from eventing_core.provider._counts import REDELIVERIES, count_in
from eventing_core.provider._interface import (
    CRASH_LIMIT,
    SPI_VERSION,
    Capabilities,
    Delivery,
    Destination,
    Done,
    Handle,
    Health,
    Message,
    Observer,
    Outcome,
    Producer,
    Provider,
    ProviderConfig,
    ProviderSpec,
    Subscriber,
    Subscription,
    SubscriptionState,
)

__all__ = [
    "CRASH_LIMIT",
    "REDELIVERIES",
    "RESERVED_HEADERS",
    "SPI_VERSION",
    "Capabilities",
    "Delivery",
    "Destination",
    "Done",
    "Handle",
    "Health",
    "Message",
    "Observer",
    "Outcome",
    "Producer",
    "Provider",
    "ProviderConfig",
    "ProviderSpec",
    "Subscriber",
    "Subscription",
    "SubscriptionState",
    "count_in",
]
