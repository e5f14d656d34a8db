"""One attempt to connect to one broker: from its host name until it has agreed, or to the reason why not."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable

from eventing_core.errors import BrokerConnectionError, ConnectTimeoutError, ProtocolMismatchError
from eventing_core.provider._timer import Alarm
from eventing_core.provider.sockets._config import SocketConfig
from eventing_core.provider.sockets._connecting import Connector
from eventing_core.provider.sockets._errors import of_protocol
from eventing_core.provider.sockets._generation import Generation
from eventing_core.provider.sockets._loop import Loop, quietly
from eventing_core.provider.sockets._probing import Look
from eventing_core.provider.sockets._protocols import WireProtocol
from eventing_core.provider.sockets._states import SHAKING_HANDS, AttemptInput, AttemptState, attempt_after

_log = logging.getLogger("eventing.sockets")

#: How much longer than its time limit a connector may take, in seconds, before it is left alone.
GRACE = 0.5


class Attempt:
    """Carries out what `AttemptState` names. Runs on the I/O thread.

    Args:
        config: the settings, with one broker.
        name: of the connection's thread.
        loop: that thread's.
        is_first: there was no connection before: the port may be the wrong one, so it may be asked what it speaks.
        dialed: ``dialed(socket, config)`` makes the generation; ``config`` is the one with the password that holds.
        failed: called once with the reason, unless the attempt is opened or cancelled.

    Attributes:
        state: how far it is.
    """

    def __init__(  # noqa: PLR0913 (all but three are keyword-only)
        self,
        config: SocketConfig,
        name: str,
        loop: Loop,
        *,
        is_first: bool,
        dialed: Callable[[socket.socket, SocketConfig], Generation],
        failed: Callable[[Exception], None],
    ) -> None:
        self.state = AttemptState.DIALING
        self._config = config
        self._name = name
        self._loop = loop
        self._is_first = is_first
        self._dialed = dialed
        self._failed = failed
        self._deadline = time.monotonic() + config.connect_timeout
        self._connector: Connector | None = None
        self._generation: Generation | None = None
        self._limit: Alarm | None = None
        self._look: Look | None = None
        #: What it ended with, unless the look knows better.
        self._unexplained: Exception | None = None

    @property
    def is_under_way(self) -> bool:
        """Whether it has not led to anything yet."""
        return self.state not in {AttemptState.OPEN, AttemptState.FAILED}

    def start(self) -> None:
        """Begin. Where this raises, call `fail`."""
        self._connector = Connector(
            self._config,
            self._name,
            self._deadline,
            self._hand_over_came,
            is_curious=self._is_first,
        )
        try:
            self._connector.start()
        except BaseException:  # the system has no more threads
            self.abandon()
            raise
        self._limit = self._loop.call_at(self._deadline + GRACE, self._late)

    def opened(self) -> None:
        """The broker has agreed."""
        self._advance(AttemptInput.OPENED)
        self._stop_waiting()

    def fail(self, error: Exception, heard: bytes = b"") -> None:
        """The connection ended before it was open; ``heard``: what had come."""
        before = self.state
        is_silent = self._is_first and not heard and isinstance(error, ProtocolMismatchError)
        self._advance(AttemptInput.HUNG_UP if is_silent and before in SHAKING_HANDS else AttemptInput.FAILED)
        self._stop_waiting()
        self._cancel_connector()
        if self.state is AttemptState.UNEXPLAINED:
            self._unexplained = error
            if before is AttemptState.HANDSHAKE:
                self._begin_look()
        else:
            if self._look is not None:
                self._look.end()
            self._failed(error)

    def end(self) -> None:
        """Nobody wants it any more: leave nothing behind. Blocks for a moment where a thread is still to end."""
        self._advance(AttemptInput.CANCELLED)
        self._stop_waiting()
        connector = self._cancel_connector()
        if connector is not None:
            connector.join(GRACE)
        if self._look is not None:
            self._look.end()
            self._look.join(GRACE)

    def abandon(self) -> None:
        """Close the descriptors: nothing runs, as in a forked child."""
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.abandon()

    def _advance(self, happened: AttemptInput) -> None:
        self.state = attempt_after(self.state, happened)

    def _cancel_connector(self) -> Connector | None:
        """What it comes with is thrown away."""
        connector, self._connector = self._connector, None
        if connector is not None:
            connector.cancel()
        return connector

    def _stop_waiting(self) -> None:
        if self._limit is not None:
            self._limit.cancel()

    # -- dialing ------------------------------------------------------------------------------------------------------

    def _hand_over_came(self, result: tuple[Connector, socket.socket | None, BrokerConnectionError | None]) -> None:
        self._loop.hand_over(self._came, result)

    def _late(self) -> None:
        """The resolver hangs, or who is asked for the password; nothing can interrupt it."""
        config = self._config
        what = "not resolved, or the password not obtained," if config.asks_for_password else "not resolved"
        self.fail(ConnectTimeoutError(f"{config.place}: the host name is {what} within the connect time limit"))

    def _came(self, result: tuple[Connector, socket.socket | None, BrokerConnectionError | None]) -> None:
        connector, sock, error = result
        if connector is not self._connector:
            if sock is not None:
                sock.close()
            return
        # It is about to end.
        connector.join(GRACE)
        self._connector = None
        self._stop_waiting()
        if sock is None:
            self.fail(error or ConnectTimeoutError(f"{self._config.place}: given up"))
            return
        try:
            self._generation = generation = self._dialed(sock, connector.config)
        except Exception as problem:  # noqa: BLE001 (whatever it is: whoever waits for the connection has to be told)
            sock.close()
            self.fail(BrokerConnectionError(f"{self._config.place}: internal error: {type(problem).__name__}"))
            with quietly:
                _log.exception("%s: the connection can't be used", self._config.place)
            return
        self._advance(AttemptInput.DIALED)
        self._limit = self._loop.call_at(self._deadline, generation.silent)
        if self._is_first:
            self._loop.call_in(connector.config.soon, lambda: self._doubt(generation))

    # -- asking the port what it speaks -------------------------------------------------------------------------------

    def _doubt(self, generation: Generation) -> None:
        """Nothing came soon: see whether the port speaks something else."""
        if self.state is AttemptState.HANDSHAKE and not (generation.heard or generation.is_open or generation.failure):
            self._advance(AttemptInput.QUIET)
            self._begin_look()

    def _begin_look(self) -> None:
        until = max(self._deadline, time.monotonic() + self._config.soon)
        self._look = Look(self._config, until, self._hand_over_looked)
        self._look.start()

    def _hand_over_looked(self, look: Look, protocol: WireProtocol | None) -> None:
        self._loop.hand_over(self._looked, (look, protocol))

    def _looked(self, found: tuple[Look, WireProtocol | None]) -> None:
        look, protocol = found
        before = self.state
        self._advance(AttemptInput.ANSWERED)
        # It is about to end.
        look.join(GRACE)
        wanted = self._config.protocol
        better = None
        if protocol is not None and not protocol.is_for(wanted):
            better = of_protocol(self._config.place, wanted, protocol)
        if before is AttemptState.UNEXPLAINED and self._unexplained is not None:
            self._failed(better or self._unexplained)
        elif before is AttemptState.DOUBTED and better is not None:
            generation = self._generation
            if generation is not None and not (generation.heard or generation.is_open):
                generation.fail(better)
