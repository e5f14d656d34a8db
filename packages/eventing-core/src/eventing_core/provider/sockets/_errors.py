"""From what the system and TLS tell, to the errors of Eventing. Pure."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Sequence

from eventing_core.errors import (
    BrokerConnectionError,
    ConnectionRefusedByHostError,
    ConnectTimeoutError,
    HeaderError,
    HostNotFoundError,
    ProtocolMismatchError,
    TlsError,
)
from eventing_core.provider._interface import Destination, Message

#: Why the way to the host is barred, beside the refusal itself.
_BARRED = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EHOSTDOWN)

#: What TLS answers to a client that doesn't speak it: an alert, or a handshake of its own.
_TLS = (b"\x15\x03", b"\x16\x03")

_PERHAPS_TLS = "; if the port is for TLS, set tls = true"


def of_socket(error: Exception, place: str) -> BrokerConnectionError:
    """For what went wrong beneath the protocol: resolving, connecting, the TLS handshake, reading, writing."""
    if isinstance(error, BrokerConnectionError):
        return error
    if isinstance(error, socket.gaierror | UnicodeError):
        return HostNotFoundError(f"{place}: the host name can't be resolved ({_reason(error)})")
    if isinstance(error, ssl.SSLError | ssl.CertificateError):
        return TlsError(f"{place}: TLS failed: {_tls_reason(error)}")
    if isinstance(error, TimeoutError):
        return ConnectTimeoutError(f"{place}: no answer within the connect time limit")
    if isinstance(error, OSError) and error.errno in _BARRED:
        return ConnectionRefusedByHostError(f"{place}: {_reason(error)}")
    return BrokerConnectionError(f"{place}: {_reason(error)}")


def of_all(errors: Sequence[Exception]) -> Exception:
    """For several brokers of which none could be had: what each says, of their type where all have the same."""
    if len(errors) == 1:
        return errors[0]
    kinds = {type(error) for error in errors}
    kind = kinds.pop() if len(kinds) == 1 else BrokerConnectionError
    together = kind("; ".join(map(str, errors)))
    together.__cause__ = ExceptionGroup("no broker could be had", errors)
    return together


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _tls_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or str(error)
    reason = str(getattr(error, "reason", None) or error)
    if reason in {"WRONG_VERSION_NUMBER", "UNEXPECTED_EOF_WHILE_READING", "RECORD_LAYER_FAILURE"}:
        return f"{reason}; is this port one without TLS?"
    if "_ALERT_" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        # That there is none is a bad one to some brokers.
        return f"{reason}: the broker asks for a client certificate that it trusts (cert_file)"
    if "_ALERT_HANDSHAKE_FAILURE" in reason:
        # In TLS 1.2 this may be the answer to a client without a certificate.
        return f"{reason}: no version or cipher in common, or the broker asks for a client certificate (cert_file)"
    return reason


def of_silence(place: str, protocol: str, heard: bytes, *, spoken: bool, tls: bool) -> BrokerConnectionError:
    """For a handshake that was not done in time; ``spoken``: what was heard is the protocol."""
    if spoken:
        return ConnectTimeoutError(f"{place}: the broker did not finish the handshake within the connect time limit")
    return ProtocolMismatchError(
        f"{place}: connected, but nothing there speaks {protocol}: {_came(heard)} within the connect time limit"
        + ("" if tls else _PERHAPS_TLS)
    )


def of_mismatch(place: str, protocol: str, heard: bytes, *, tls: bool = True) -> ProtocolMismatchError:
    """For a connection that ended before anything of the protocol was heard; ``tls``: it was encrypted."""
    mend = "; this looks like TLS: set tls = true" if heard[:2] in _TLS else "" if heard or tls else _PERHAPS_TLS
    return ProtocolMismatchError(f"{place}: nothing there speaks {protocol}: {_came(heard)}{mend}")


def of_size(place: str, limit: int) -> BrokerConnectionError:
    """For a message that would be too large."""
    return BrokerConnectionError(f"{place}: a message came that has more than {limit} bytes (max_message_bytes)")


def of_encoding(destination: Destination, message: Message, error: UnicodeEncodeError) -> HeaderError:
    """For a message that can't be written as UTF-8: it names the header, where it is one."""
    bad = next((key for key, value in message.headers.items() if not (is_encodable(key) and is_encodable(value))), None)
    what = "an id, or the content type," if bad is None else f"the header {bad[:60]!r}"
    return HeaderError(f"{destination}: {what} can't be encoded ({error.reason}); nothing was sent")


def is_encodable(text: str) -> bool:
    """Whether UTF-8 can carry a text: it has no lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_hangup(error: Exception) -> bool:
    """Whether the peer has ended the connection; one that doesn't read what came ends it by a reset."""
    return isinstance(error, ConnectionResetError | BrokenPipeError) and not isinstance(error, ssl.SSLError)


def _came(heard: bytes) -> str:
    return f"{heard[:16]!r} came" if heard else "nothing came"
