"""Conformance: descriptors, threads and processes: nothing is left over, and nobody else's is touched."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from pathlib import Path

import pytest

from eventing_core.errors import BrokerConnectionError, EventingError
from eventing_core.provider import Provider
from eventing_core.testing._kit import Kit, topic_of
from eventing_core.testing._network import Network, needs
from eventing_core.testing._outage import GRACE, wait_lost
from eventing_core.testing._probe import LIMIT, Log, until

#: How often a provider connects anew before it is looked what that left.
RECONNECTS = 4

_DESCRIPTORS = Path("/proc/self/fd")


class LifeTests:
    """See the module. Descriptors are counted where the system has ``/proc``."""

    @needs("network")
    def test_reconnects_leave_no_descriptor_and_no_thread(self, kit: Kit, network: Network) -> None:
        """After many of them there are as many as after the first."""
        _, queue = kit.filled("")
        observed: Log[tuple[bool, Exception | None]] = Log()
        provider = kit.provider(config=network.config, observer=observed)
        kit.listen(provider, queue, window=1)

        def reconnect() -> None:
            network.cut()
            wait_lost(observed)
            network.restore()
            observed.until(lambda told: told[-1][0], "a provider connects again")
            kit.put(provider, topic_of(queue), kit.messages("a"))

        reconnect()
        before = descriptors()
        threads = threading.active_count()
        for _ in range(RECONNECTS):
            reconnect()
        until(
            lambda: len(descriptors()) <= len(before),
            f"{RECONNECTS} reconnects leave no descriptor: a process that leaks one each can't open files some day",
        )
        until(lambda: threading.active_count() <= threads, f"{RECONNECTS} reconnects leave no thread")

    def test_closing_leaves_no_descriptor(self, kit: Kit) -> None:
        """Of several providers, used and closed."""
        provider, queue = kit.filled("a")
        provider.close(LIMIT)
        before = descriptors()
        for _ in range(3):
            provider = kit.provider()
            recorder = kit.listen(provider, queue, window=1)
            recorder.wait(1)
            kit.put(provider, topic_of(queue), kit.messages("b"))
            provider.close(LIMIT)
        until(lambda: len(descriptors()) <= len(before), "closing a provider leaves no descriptor")

    @needs("network")
    def test_a_provider_that_could_not_open_can_be_opened_again(self, kit: Kit, network: Network) -> None:
        """As if it had never been tried: a service that waits for its broker starts when that is there."""
        _, queue = kit.filled("")
        network.cut()
        provider = kit.new_provider(network.config)
        with pytest.raises(BrokerConnectionError):
            provider.open(lambda _, __: None)
        network.restore()
        again = "a provider that could not open can be opened again: otherwise a service has to be restarted for it"
        try:
            provider.open(lambda _, __: None)
        except EventingError as error:
            raise AssertionError(again) from error
        kit.put(provider, topic_of(queue), kit.messages("a"))
        assert [message.body for message in kit.read(queue)] == [b"a"], again

    @needs("network")
    def test_closing_ends_an_open_that_nobody_answers(self, kit: Kit, network: Network) -> None:
        """Where connections are taken and nothing is said: a service that is told to stop doesn't hang."""
        network.silence()
        provider = kit.new_provider(network.config)

        def open_it() -> None:
            with contextlib.suppress(EventingError):
                provider.open(lambda _, __: None)

        opening = threading.Thread(target=open_it, daemon=True)
        opening.start()
        deadline = time.monotonic() + GRACE
        while opening.is_alive() and time.monotonic() < deadline:
            provider.close(0.2)
            opening.join(0.05)
        assert not opening.is_alive(), f"closing ends an open that nobody answers: not within {GRACE} s"

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
    def test_a_forked_child_abandons_and_the_parent_goes_on(self, kit: Kit) -> None:
        """Its descriptors are closed in the child; the parent's connection doesn't notice."""
        before = {*descriptors()}
        provider, queue = kit.filled("")
        recorder = kit.listen(provider, queue, window=10)
        kit.put(provider, topic_of(queue), kit.messages("a"))
        recorder.wait(1, "a message is delivered")
        sockets = sorted(number for number in descriptors() if number not in before and is_socket(number))
        left = abandon_in_child(provider, sockets)
        assert left is not None, f"abandoning in a forked child ends in time: not within {GRACE} s"
        assert left != _RAISED, "abandoning in a forked child raises nothing"
        assert left == 0, (
            f"abandoning closes the child's descriptors: {left} of {len(sockets)} sockets are left, "
            "and the broker never sees the parent go"
        )
        kit.put(provider, topic_of(queue), kit.messages("b"))
        recorder.wait(2, "the parent goes on when its child has abandoned: otherwise a fork stops its listeners")
        assert provider.health().generation == 1, "a child that abandons doesn't disturb the parent's connection"
        assert recorder.bodies() == ["a", "b"], "the parent keeps what it had, and nothing is redelivered"


_RAISED = 99


def descriptors() -> list[int]:
    """The process's open descriptors, where the system tells."""
    if not _DESCRIPTORS.exists():
        return []
    return sorted(int(entry.name) for entry in _DESCRIPTORS.iterdir())


def is_socket(number: int) -> bool:
    """Whether a descriptor is open, and a socket."""
    try:
        return str((_DESCRIPTORS / str(number)).readlink()).startswith("socket:")
    except OSError:
        return False


def abandon_in_child(provider: Provider, sockets: list[int]) -> int | None:
    """Fork, and abandon there; how many of these sockets are open in the child then. None: it hung."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads: that is what is tried
        child = os.fork()
    if child == 0:
        status = _RAISED
        try:
            provider.abandon()
            status = min(sum(map(is_socket, sockets)), _RAISED - 1)
        finally:
            os._exit(status)
    deadline = time.monotonic() + GRACE
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None
        threading.Event().wait(0.01)
