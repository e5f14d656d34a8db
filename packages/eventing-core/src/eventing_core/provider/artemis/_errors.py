"""What Artemis says, as errors of Eventing. Pure."""

from __future__ import annotations

from eventing_core.errors import QueueNameConflictError, SubscriptionError
from eventing_core.provider.artemis._address import Queue


def of_conflict(queue: Queue, owner: str) -> QueueNameConflictError:
    """For a queue name that another address owns."""
    return QueueNameConflictError(
        f"the queue name {queue.name!r}, wanted for {queue.address!r}, belongs to {owner} on this broker, where queue "
        'names are unique. Give the listener another name, or set queue_name = "{event}.{listener}".'
    )


def of_sharing(queue: Queue) -> QueueNameConflictError:
    """For a queue that is per-process for one listener, and shared for another."""
    here, there = ("per-process", "shared") if queue.single else ("shared", "per-process")
    return QueueNameConflictError(
        f"the queue {queue.name!r} of {queue.address!r} is {here} for this listener, and {there} for another one, "
        "whose name with its server's makes the same queue name. Give one of the listeners another name."
    )


def of_lossy(queue: Queue, flaw: str) -> SubscriptionError:
    """For a queue that is there, and would lose events."""
    return SubscriptionError(
        f"the queue {queue.name!r} of {queue.address!r} is there, and {flaw}: events would be lost. Empty and delete "
        "it, so that it is made anew, or give the listener another name."
    )


def of_unmanaged_order(queue: Queue) -> SubscriptionError:
    """For an ordered listener whose queue can't be made exclusive."""
    return SubscriptionError(
        f"the queue {queue.name!r} of an ordered listener has to be exclusive, which takes the broker's management: "
        "give the user the permissions 'manage' and 'send' on activemq.management."
    )


def of_unmanaged_sending(queue: Queue) -> SubscriptionError:
    """For a send to a listener's queue that nobody here consumes from."""
    return SubscriptionError(
        f"whether the queue {queue.name!r} belongs to {queue.address!r} can't be seen without the broker's management, "
        "and where it doesn't, the broker would drop what is sent: give the user the permissions 'manage' and 'send' "
        "on activemq.management."
    )


def of_unseen(queue: Queue, why: str) -> SubscriptionError:
    """For an existing queue that the broker tells nothing of."""
    return SubscriptionError(
        f"the queue {queue.name!r} is there, and whether it is as {queue.address!r} needs it can't be seen: {why}"
    )


def of_refusal(queue: Queue, name: str, description: str) -> SubscriptionError:
    """For a consumer that the broker refused, or took away."""
    if "does not exist for address" in description:
        return of_conflict(queue, "another address")
    denied = name == "amqp:unauthorized-access" or "AMQ229032" in description
    what = "the broker denies the right" if denied else "refused"
    text = ": ".join(part for part in (name, description) if part)
    return SubscriptionError(f"queue {queue.name!r} of address {queue.address!r}: {what} ({text or 'no reason given'})")


def is_permanent(description: str) -> bool:
    """Whether a refused message can never be stored as it is: its headers are larger than a journal's record."""
    return "AMQ149005" in description


def is_consumer_limit(description: str) -> bool:
    """Whether a queue has its one consumer already."""
    return "AMQ229200" in description or "Maximum Consumer Limit" in description
