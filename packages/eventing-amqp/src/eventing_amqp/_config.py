"""Settings of the AMQP provider."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from eventing_core.provider.sockets import SocketConfig


class AmqpConfig(SocketConfig):
    """The table ``[amqp]``: the settings of every provider on a socket, with AMQP's port.

    Attributes:
        port: the broker's AMQP port.
    """

    protocol: ClassVar[str] = "AMQP 1.0"

    port: int = Field(default=61616, ge=1, le=65535)

    @property
    def mechanism(self) -> str:
        """The SASL mechanism to use. Named, because otherwise Proton connects anonymously if it can."""
        if self.user:
            return "PLAIN"
        return "EXTERNAL" if self.cert_file else "ANONYMOUS"
