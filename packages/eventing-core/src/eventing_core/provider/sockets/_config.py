"""Settings that every provider on a socket has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self, cast

from pydantic import Field, ModelWrapValidatorHandler, PrivateAttr, SecretStr, field_validator, model_validator

from eventing_core.errors import AuthenticationError, ConfigError
from eventing_core.provider._interface import ProviderConfig
from eventing_core.provider.sockets._naming import QUEUE_NAME, check_queue_name
from eventing_core.provider.sockets._password import ask_for_password, read_password
from eventing_core.provider.sockets._places import flaw_in_host, place_of, read_place

#: See `SocketConfig.soon`, in seconds.
_SOON = 1.0


class SocketConfig(ProviderConfig):
    """The table of a provider that reaches a broker over a socket. All times are in seconds.

    Attributes:
        host: name or address of the broker, alone: without a scheme, user, port or brackets.
        port: of its protocol; the provider sets the default.
        failover: further brokers that have the same queues, as ``host`` or ``host:port`` (an IPv6 address in brackets;
            without a port it is ``port``), with the same credentials and TLS. They are tried in that order.
        user: the name of the user. If empty, a client certificate identifies the process, or it connects anonymously.
        password: the user's password. It is sent unencrypted without TLS: use TLS outside of trusted networks. In
            Python it may be a function that returns the password. The function is called for each connection, on a
            separate thread; ``connect_timeout`` includes its run time.
        password_file: file that contains the password instead. It is read again for each connection; a line break at
            its end is ignored.
        tls: encrypt the connection, and verify the broker's certificate.
        ca_file: PEM file with the certificate authorities to trust; by default the system's.
        cert_file: PEM file with the client's certificate, if the broker requires one.
        key_file: PEM file with its key; by default it is in ``cert_file``.
        verify_host_name: refuse a certificate for another host. Set it to false only if the names in certificates can't
            be correct.
        connect_timeout: time limit of each attempt to connect, including name resolution.
        heartbeat: interval of heartbeats. A broker that is silent for two intervals is considered dead. If the broker
            requests heartbeats too, the process sends them twice as often as requested.
        backoff_initial: wait before the first attempt to reconnect; it doubles each time, with jitter.
        backoff_max: the longest such wait.
        queue_name: name of a listener's queue; by default ``{listener}``. Use ``{event}.{listener}`` if listeners of
            different events have the same name, because queue names are unique on a broker. The name of a
            ``per_process`` queue ends with ``-<server>``.
        member_expiry: how long a ``per_process`` queue outlives its process, at least; 0: forever.
        max_message_bytes: a larger received message, in bytes with its headers, ends the connection instead of filling
            the memory. It stays on the broker. Keep the limit well above the manager's ``max_body_bytes``, beyond which
            messages are dead-lettered.
        server_name_timeout: how long to wait until a previous process with the same server name is considered dead.
        protocol: the name of the protocol, used in messages. Not a setting.
    """

    protocol: ClassVar[str] = "the provider's protocol"

    host: str = "localhost"
    port: int = Field(ge=1, le=65535)
    failover: tuple[str, ...] = ()
    user: str = ""
    password: SecretStr = SecretStr("")
    password_file: Path | None = None
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
    max_message_bytes: int = Field(default=268_435_456, ge=1_048_576)
    server_name_timeout: float = Field(default=65.0, ge=0)
    _password_source: Callable[[], str] | None = PrivateAttr(default=None)

    @model_validator(mode="wrap")
    @classmethod
    def _takes_a_function(cls, settings: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        given = cast("Mapping[str, Any]", settings) if isinstance(settings, Mapping) else {}
        source: Any = given.get("password")
        if callable(source):
            made = make({key: value for key, value in given.items() if key != "password"})
            made._password_source = cast("Callable[[], str]", source)  # noqa: SLF001 (its own)
        else:
            made = make(settings)
        flaw = made._flaw_in_password()  # noqa: SLF001 (its own)
        if flaw:
            raise cls._refusal([((), "value_error", flaw)])
        return made

    @field_validator("host")
    @classmethod
    def _is_host(cls, value: str) -> str:
        flaw = flaw_in_host(value)
        if flaw:
            raise ValueError(flaw)
        return value

    @field_validator("failover")
    @classmethod
    def _are_places(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for entry in value:
            read_place(entry, 1)
        return value

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
            msg = "contains NUL or a lone surrogate, which no protocol can carry: choose another one"
            raise ValueError(msg)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            msg = "ca_file, cert_file and key_file need TLS: set tls = true"
            raise ValueError(msg)
        if self.key_file and not self.cert_file:
            msg = "key_file needs a certificate: set cert_file as well"
            raise ValueError(msg)
        return self

    def _flaw_in_password(self) -> str:
        key = "password_file" if self.password_file else "password"
        if self.password_file and (self.password.get_secret_value() or self._password_source):
            return "password and password_file are both set: remove one of them"
        if self.has_password and not self.user:
            return f"{key} is set, but user is not: set user as well"
        return ""

    @property
    def place(self) -> str:
        """Host and port, for messages."""
        return place_of(self.host, self.port)

    @property
    def soon(self) -> float:
        """The time after which a silent peer is probed for another protocol."""
        return min(_SOON, self.connect_timeout / 4)

    @property
    def has_password(self) -> bool:
        """Whether a password is sent, from any source."""
        return bool(self.password.get_secret_value() or self.password_file or self._password_source)

    @property
    def asks_for_password(self) -> bool:
        """Whether `with_password` calls a function of the application."""
        return self._password_source is not None

    def of_each_broker(self) -> tuple[Self, ...]:
        """The settings for each broker: first ``host``, then those of ``failover``, without duplicates."""
        places = [(self.host, self.port), *(read_place(entry, self.port) for entry in self.failover)]
        return tuple(
            self.model_copy(update={"host": host, "port": port, "failover": ()}) for host, port in dict.fromkeys(places)
        )

    def with_password(self) -> Self:
        """The settings for one connection, with the current password. May block.

        Raises:
            AuthenticationError: the password is not available, or the protocol can't carry it. The message doesn't show
                it.
        """
        if self.password_file:
            where = f"password_file {str(self.password_file)!r}"
            password = read_password(self.password_file, self.place)
        elif self._password_source:
            where = "the function that gives it"
            password = ask_for_password(self._password_source, self.place)
        else:
            return self
        given = {key: getattr(self, key) for key in self.model_fields_set}
        replaced = {"password": SecretStr(password), "password_file": None}
        try:
            # Whatever holds for a password that is set holds for this one.
            return self.of({**given, **replaced})
        except ConfigError as error:
            msg = f"{self.place}: {where}: {str(error).partition(': ')[2]}"
        raise AuthenticationError(msg)
