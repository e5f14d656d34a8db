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
    """What the broker says of a right that the user lacks, and how to give it; empty where it is about none."""
    found = _LACKING.search(description)
    if found is None:
        return ""
    right = _RIGHTS.get(found["right"], found["right"].lower())
    return of_right(found["user"], right, found["address"], found["queue"] or "")


def of_right(user: str, right: str, address: str, queue: str = "") -> str:
    """That a user lacks a right, and how to give it."""
    on = f"{address!r}, for the queue {queue!r}" if queue and queue != address else repr(address)
    return (
        f"the user {user!r} lacks the right {right!r} on {on}: give it to one of the user's roles in the broker's "
        "security-settings"
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
        f"the queue {queue.name!r} of {queue.address!r} is there, and {difference.effect}: events, or their order, "
        f"would be lost. It has {difference}{source}. Empty and delete it, so that it is made anew, or give the "
        "listener another name."
    )


def of_unmanaged_order(queue: Queue) -> SubscriptionError:
    """For an ordered listener whose queue can't be made exclusive."""
    return SubscriptionError(
        f"the queue {queue.name!r} of an ordered listener has to be exclusive, which takes the broker's management: "
        "give the user the permissions 'manage' and 'send' on activemq.management."
    )


def of_unmanaged(names: Collection[str]) -> str:
    """The warning for queues that management can't make or see."""
    known = sorted(names)
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    listed = ", ".join(map(repr, known[:_NAMED])) + more
    return (
        "the broker's management is closed to this user (it needs the permissions 'manage' and 'send' on "
        f"activemq.management): the queues of this process, {listed}, are used as the broker makes or has them, and "
        "none of their attributes can be checked or set: AMQP and STOMP have no place for that. Where address settings "
        "say so (purge-on-no-consumers, ring-size, last-value, non-destructive, auto-delete-queues, "
        "consumers-before-dispatch, max-consumers, expiry-delay, address-full-policy DROP, max-delivery-attempts), "
        "events are lost or held up. Two processes of one server name share events unnoticed, and names that belong to "
        "another event are noticed late. Give the user these permissions, or have the settings checked by who may"
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


def of_refusal(queue: Queue, name: str, description: str, *, why: str = "") -> SubscriptionError:
    """For a consumer that the broker refused, or took away; ``why``: where more is known than it says."""
    if "does not exist for address" in description:
        return of_conflict(queue, "another address")
    text = ": ".join(part for part in (name, description) if part)
    what = why or missing_right(description) or f"refused ({text or 'no reason given'}): see the broker's log"
    return SubscriptionError(f"the queue {queue.name!r} of {queue.address!r} can't be had: {what}")


def is_permanent(description: str) -> bool:
    """Whether a refused message can never be stored as it is: its headers are larger than a journal's record."""
    return "AMQ149005" in description


def is_consumer_limit(description: str) -> bool:
    """Whether a queue has its one consumer already."""
    return "AMQ229200" in description or "Maximum Consumer Limit" in description
