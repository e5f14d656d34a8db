"""What Artemis says, as errors of Eventing. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection

from eventing_core.errors import QueueNameConflictError, SubscriptionError
from eventing_core.provider.artemis._address import Queue
from eventing_core.provider.artemis._attributes import Difference

#: So many queues are named in one warning.
_NAMED = 20

#: How Artemis says that the user lacks a right (AMQ229032, AMQ229213).
_LACKING = re.compile(
    r"User:? (?P<user>.+?) does not have permission='(?P<right>\w+)'(?: for queue (?P<queue>\S+))? on address "
    r"(?P<address>[^\s)]+)"
)

#: Rights as broker.xml names them, by how errors name them, where that isn't the same in lower case.
_RIGHTS = {
    "CREATE_ADDRESS": "createAddress",
    "DELETE_ADDRESS": "deleteAddress",
    "CREATE_DURABLE_QUEUE": "createDurableQueue",
    "DELETE_DURABLE_QUEUE": "deleteDurableQueue",
    "CREATE_NON_DURABLE_QUEUE": "createNonDurableQueue",
    "DELETE_NON_DURABLE_QUEUE": "deleteNonDurableQueue",
}


def missing_right(description: str) -> str:
    """The missing permission that the broker's text names, with how to grant it; empty if it names none."""
    found = _LACKING.search(description)
    if found is None:
        return ""
    right = _RIGHTS.get(found["right"], found["right"].lower())
    return of_right(found["user"], right, found["address"], found["queue"] or "")


def of_right(user: str, right: str, address: str, queue: str = "") -> str:
    """The text for a missing permission, with how to grant it."""
    on = f"{address!r}, for the queue {queue!r}" if queue and queue != address else repr(address)
    return (
        f"the user {user!r} lacks the permission {right!r} on {on}: grant it to one of the user's roles in the "
        "broker's security-settings"
    )


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


def of_lossy(queue: Queue, difference: Difference) -> SubscriptionError:
    """For a queue that is there, and breaks a promise."""
    setting = difference.attribute.setting
    source = f", which may come from the address setting {setting}" if setting else ""
    return SubscriptionError(
        f"the queue {queue.name!r} of {queue.address!r} exists, but {difference.effect}: events or their order would "
        f"be lost. It has {difference}{source}. Empty and delete it, so that it is created again, or give the "
        "listener another name."
    )


def of_unmanaged_order(queue: Queue) -> SubscriptionError:
    """For an ordered listener whose queue can't be made exclusive."""
    return SubscriptionError(
        f"the queue {queue.name!r} of an ordered listener must be exclusive, which requires the broker's management: "
        "give the user the permissions 'manage' and 'send' on activemq.management."
    )


def of_unmanaged(names: Collection[str]) -> str:
    """The warning for queues that management can't make or see."""
    known = sorted(names)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    listed = ", ".join(map(repr, known[:_NAMED])) + more
    return (
        "the broker's management is closed to this user (it needs the permissions 'manage' and 'send' on "
        f"activemq.management): the attributes of this process's queues, {listed}, can't be checked or set, because "
        "AMQP and STOMP can't carry them. Depending on the broker's address settings (purge-on-no-consumers, "
        "ring-size, last-value, non-destructive, auto-delete-queues, consumers-before-dispatch, max-consumers, "
        "expiry-delay, address-full-policy DROP, max-delivery-attempts), events may be lost or delayed. Two processes "
        "with one server name would share events unnoticed, and a queue name that belongs to another event is noticed "
        "late. Give the user these permissions, or have an administrator "
        "check the settings"
    )


def of_unmanaged_sending(queue: Queue) -> SubscriptionError:
    """For a send to a listener's queue that nobody here consumes from."""
    return SubscriptionError(
        f"without the broker's management it can't be checked whether the queue {queue.name!r} belongs to "
        f"{queue.address!r}. If it doesn't, the broker would drop what is sent. Give the user the permissions "
        "'manage' and 'send' on activemq.management."
    )


def of_unseen(queue: Queue, why: str) -> SubscriptionError:
    """For an existing queue that the broker tells nothing of."""
    return SubscriptionError(
        f"the queue {queue.name!r} of {queue.address!r} exists, but its attributes can't be checked: {why}"
    )


def of_refusal(queue: Queue, name: str, description: str, *, why: str = "") -> SubscriptionError:
    """For a consumer that the broker refused or removed; ``why``: the reason, if more is known."""
    if "does not exist for address" in description:
        return of_conflict(queue, "another address")
    text = ": ".join(part for part in (name, description) if part)
    what = why or missing_right(description) or f"refused ({text or 'no reason given'}): see the broker's log"
    return SubscriptionError(f"the queue {queue.name!r} of {queue.address!r} is not available: {what}")


def is_permanent(description: str) -> bool:
    """Whether a refused message can never be stored as it is: its headers are larger than a journal's record."""
    return "AMQ149005" in description


def is_consumer_limit(description: str) -> bool:
    """Whether the queue already has its only consumer."""
    return "AMQ229200" in description or "Maximum Consumer Limit" in description
