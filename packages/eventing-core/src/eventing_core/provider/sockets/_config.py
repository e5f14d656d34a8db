"""Settings that every provider on a socket has."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, field_validator, model_validator

from eventing_core.provider._interface import ProviderConfig
from eventing_core.provider.sockets._naming import QUEUE_NAME, check_queue_name


class SocketConfig(ProviderConfig):
    """The table of a provider that reaches a broker over a socket. All times are in seconds.

    Attributes:
        host: name or address of the broker.
        port: of its protocol; the provider sets the default.
        user: empty: the broker has to let guests in, or a client certificate says who it is.
        password: of the user. It is sent as it is: use TLS outside of trusted networks.
        tls: encrypt the connection, and verify the broker's certificate.
        ca_file: PEM file with the authorities to trust; by default the system's.
        cert_file: PEM file with the client's certificate, where the broker asks for one.
        key_file: PEM file with its key; by default it is in ``cert_file``.
        verify_host_name: refuse a certificate for another host. Turn it off only where names can't be right.
        connect_timeout: for the whole way from resolving the host name to an open connection.
        heartbeat: a peer that is silent for two of them is taken for dead.
        backoff_initial: wait before the first attempt to connect again; it doubles, with jitter.
        backoff_max: the longest such wait.
        queue_name: a queue's name; ``{listener}`` by default, ``{event}.{listener}`` where events have equally named
            listeners, since queue names are unique on a broker. A per-process queue gets ``-<server>`` appended.
        member_expiry: how long a per-process queue outlives its process, at least; 0: for ever.
        server_name_timeout: how long to wait for the queue of a predecessor of the same server name that
            the broker has not yet taken for dead.
    """

    host: str = Field(default="localhost", min_length=1)
    port: int = Field(ge=1, le=65535)
    user: str = ""
    password: SecretStr = SecretStr("")
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    verify_host_name: bool = True
    connect_timeout: float = Field(default=10.0, gt=0)
    heartbeat: float = Field(default=10.0, ge=0.1)
    backoff_initial: float = Field(default=0.1, gt=0)
    backoff_max: float = Field(default=10.0, gt=0)
    queue_name: str = QUEUE_NAME
    member_expiry: float = Field(default=86_400.0, ge=0)
    server_name_timeout: float = Field(default=65.0, ge=0)

    @field_validator("queue_name")
    @classmethod
    def _is_template(cls, value: str) -> str:
        return check_queue_name(value)

    @field_validator("user", "password")
    @classmethod
    def _can_be_sent(cls, value: str | SecretStr) -> str | SecretStr:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
            # Without the value, and without its traceback: it may be the password.
            msg = "holds NUL or a lone surrogate, which no protocol can carry"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.password.get_secret_value() and not self.user:
            msg = "password is set, and user is not"
            raise ValueError(msg)
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            msg = "ca_file, cert_file and key_file need tls = true"
            raise ValueError(msg)
        if self.key_file and not self.cert_file:
            msg = "key_file needs cert_file"
            raise ValueError(msg)
        return self

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return f"{self.host}:{self.port}"
