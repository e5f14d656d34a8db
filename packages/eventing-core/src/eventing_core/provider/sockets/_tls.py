"""TLS as the settings want it."""

from __future__ import annotations

import ssl

from eventing_core.errors import TlsError
from eventing_core.provider.sockets._config import SocketConfig


def tls_context(config: SocketConfig) -> ssl.SSLContext:
    """What the settings say of TLS.

    Raises:
        TlsError: a file can't be used.
    """
    try:
        context = ssl.create_default_context(cafile=str(config.ca_file) if config.ca_file else None)
        context.check_hostname = config.verify_host_name
        if config.cert_file:
            # Without a password: OpenSSL would otherwise ask for one at the terminal.
            context.load_cert_chain(config.cert_file, config.key_file, password="")
    except (OSError, ValueError) as error:
        files = ", ".join(str(file) for file in (config.ca_file, config.cert_file, config.key_file) if file)
        reason = getattr(error, "strerror", None) or getattr(error, "reason", None) or type(error).__name__
        msg = (
            f"{config.place}: ca_file, cert_file or key_file can't be used ({files}): {reason}. Each must be a "
            "readable PEM file, and the key must not have a password."
        )
        raise TlsError(msg) from None
    return context
