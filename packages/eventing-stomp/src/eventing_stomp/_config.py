"""Settings of the STOMP provider."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from eventing_core.provider.sockets import SocketConfig


class StompConfig(SocketConfig):
    """The table ``[stomp]``: the settings of every provider on a socket, and STOMP's own.

    Attributes:
        port: the broker's STOMP port.
        broker: ``artemis`` or ``rabbitmq``. On RabbitMQ, queue names must contain the event's name, and begin with it
            by default.
        virtual_host: the broker's virtual host. If empty, the host's name, or ``/`` on RabbitMQ.
        prefetch_bytes: on Artemis, how many bytes may be in flight to a listener, in addition to the limit in messages.
            Messages that are larger than this divided by the listener's concurrency don't use the full concurrency.
    """

    protocol: ClassVar[str] = "STOMP 1.2"

    port: int = Field(default=61613, ge=1, le=65535)
    broker: Literal["artemis", "rabbitmq"] = "artemis"
    virtual_host: str = ""
    prefetch_bytes: int = Field(default=8_388_608, ge=1)

    @property
    def host_header(self) -> str:
        """The virtual host in the CONNECT frame."""
        return self.virtual_host or ("/" if self.broker == "rabbitmq" else self.host)

    @model_validator(mode="after")
    def _names_can_be_had(self) -> Self:
        if self.broker == "rabbitmq" and "queue_name" in self.model_fields_set and "{event}" not in self.queue_name:
            msg = 'queue_name must contain {event} on RabbitMQ, or events would share a queue: set "{event}.{listener}"'
            raise ValueError(msg)
        return self

    @field_validator("user", "password", "virtual_host")
    @classmethod
    def _is_one_line(cls, value: str | SecretStr) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if any(character in text for character in "\r\n\0"):
            # It would add headers. Without the value: it may be the password.
            msg = "contains a line break or NUL, which STOMP can't carry in its first frame"
            raise ValueError(msg)
        return value
