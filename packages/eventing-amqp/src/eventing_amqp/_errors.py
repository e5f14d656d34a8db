"""From what AMQP tells to the errors of Eventing. Pure."""

from __future__ import annotations

from eventing_amqp._config import AmqpConfig
from eventing_core.errors import AuthenticationError, BrokerConnectionError
from eventing_core.provider.sockets import of_mismatch, of_silence

#: What it begins with, with and without SASL (specification part 2, section 2.2, and part 5, section 5.3.2).
_BEGINNINGS = (b"AMQP\x03\x01\x00\x00", b"AMQP\x00\x01\x00\x00")
_UNAUTHORIZED = "amqp:unauthorized-access"

#: "Unable to validate user": how Artemis names a login that has become invalid.
_INVALID_LOGIN = "AMQ229031"


def of_unanswered(place: str, heard: bytes, *, tls: bool) -> BrokerConnectionError:
    """For a handshake that was not done in time."""
    return of_silence(place, AmqpConfig.protocol, heard, spoken=heard[:8] in _BEGINNINGS, tls=tls)


def of_handshake(
    place: str, heard: bytes, condition: tuple[str, str] | None, *, tls: bool = True
) -> BrokerConnectionError:
    """For a connection that ended before it was open."""
    if heard[:8] in _BEGINNINGS:
        return of_loss(place, condition)
    return of_mismatch(place, AmqpConfig.protocol, heard, tls=tls)


def of_loss(place: str, condition: tuple[str, str] | None) -> BrokerConnectionError:
    """For a connection that ended."""
    name, description = condition or ("", "")
    if name == _UNAUTHORIZED:
        return AuthenticationError(f"{place}: {_refusal(description)}")
    text = ": ".join(part for part in (name, description) if part)
    return BrokerConnectionError(f"{place}: the connection ended: {text}" if text else f"{place}: the connection ended")


def of_login(place: str, condition: tuple[str, str] | None) -> AuthenticationError | None:
    """For a refusal that isn't about what was asked for: the broker takes the connection's login no more.

    Artemis looks at it again every 10 s (``security-invalidation-interval``), and refuses everything from then on, but
    leaves the connection open.
    """
    name, description = condition or ("", "")
    if name == _UNAUTHORIZED and _INVALID_LOGIN in description:
        return AuthenticationError(
            f"{place}: the broker no longer accepts user or password: check both ({description})"
        )
    return None


def _refusal(description: str) -> str:
    if "mech=none" in description:
        return "the broker offers no suitable SASL mechanism: with a user, PLAIN is needed; without one, ANONYMOUS"
    if "mech=PLAIN" in description:
        return "the broker refuses user or password: check both"
    if "mech=EXTERNAL" in description:
        return "the broker refuses the client certificate: check cert_file, or set user and password"
    return f"the broker doesn't allow anonymous connections: set user and password ({description})"
