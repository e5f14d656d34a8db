"""`Options`: the manager's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from eventing_core.errors import ConfigError
from eventing_core.provider._keys import hint

#: A year; longer waits overflow the timers of some platforms.
_LONGEST_WAIT = 31_536_000.0


def _host(host: str) -> str:
    if not host or "/" in host or "@" in host or host.startswith("[") or host.count(":") == 1:
        msg = "it has to be an address or a host's name, without scheme, port and brackets, such as 0.0.0.0"
        raise ValueError(msg)
    return host


_Seconds = Annotated[float, Field(gt=0, le=_LONGEST_WAIT, allow_inf_nan=False)]


class HealthOptions(BaseModel):
    """The health server: the table ``[health]`` of the configuration. Immutable.

    Attributes:
        port: where to answer ``/live`` and ``/ready`` over HTTP, from the begin of `EventManager.start` to the end of
            `EventManager.stop`; 0 for any free port, which `EventManager.health_url` names. None for no server.
        host: the address to listen on. Only this machine by default; ``0.0.0.0`` for all addresses, as probes of
            Kubernetes need it, and ``::`` for those of IPv6 as well.
        details: whether there is ``/health``, with the names of listeners and the texts of errors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    port: int | None = Field(default=None, ge=0, le=65_535)
    host: Annotated[str, AfterValidator(_host)] = "127.0.0.1"
    details: bool = False

    @model_validator(mode="after")
    def _need_a_port(self) -> Self:
        if self.port is None and self.model_fields_set - {"port"}:
            msg = "there is no health server without a port: set port, for example to 8081 (EVENTING_HEALTH__PORT)"
            raise ValueError(msg)
        return self


class Options(BaseModel):
    """The manager's own settings; also the top-level keys of the configuration. Immutable.

    The constructor raises `ConfigError` for an unknown or invalid setting.

    Attributes:
        workers: number of threads that run plain listeners, fixed regardless of the number of listeners and events. A
            listener still handles one event at a time, unless it has a higher ``concurrency``.
        send_timeout: seconds that a send waits for the broker's confirmation, unless the call has its own ``timeout``.
        start_timeout: time limit of `EventManager.start` in seconds, until all listeners have their queues.
        stop_timeout: seconds that `EventManager.stop` waits for running listeners and for sends in flight.
        stuck_after: seconds after which `EventManager.health` reports a run of ``on`` as stuck, if the listener has no
            ``timeout``.
        max_in_flight: maximum number of unconfirmed events of ``submit_event``; further calls wait.
        max_body_bytes: a received event with a larger body, in bytes, is dead-lettered without being decoded.
        unrouted: what happens if an event has no queue and the broker can report it: ``warn`` logs a warning, ``error``
            raises `UnroutedError`, ``ignore`` does nothing.
        warn_not_durable: whether `EventManager.start` warns about events that aren't durable on a broker that could
            keep them.
        strict: whether a feature that the provider lacks raises `CapabilityError` at start instead of a warning.
        health: the health server; none by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    workers: int = Field(default=8, ge=1, le=1024)
    send_timeout: _Seconds = 30.0
    start_timeout: _Seconds = 90.0
    stop_timeout: float = Field(default=30.0, ge=0, le=_LONGEST_WAIT, allow_inf_nan=False)
    stuck_after: _Seconds = 300.0
    max_in_flight: int = Field(default=10_000, ge=1)
    max_body_bytes: int = Field(default=67_108_864, ge=1)
    unrouted: Literal["warn", "error", "ignore"] = "warn"
    warn_not_durable: bool = True
    strict: bool = False
    health: HealthOptions = HealthOptions()

    if not TYPE_CHECKING:  # whose checkers know the fields

        def __init__(self, **settings: Any) -> None:
            """Check the settings.

            Raises:
                ConfigError: one is unknown or wrong; it names the setting, and no value.
            """
            try:
                super().__init__(**settings)
            except ValidationError as error:
                flaws = [_flaw(type(self), flaw["loc"], flaw["type"], flaw["msg"]) for flaw in error.errors()]
                msg = "Options: " + "; ".join(flaws)
                raise ConfigError(msg) from None


def _flaw(cls: type[BaseModel], location: tuple[int | str, ...], kind: str, text: str) -> str:
    key = ".".join(map(str, location))
    if kind != "extra_forbidden":
        return f"{key}: {text.removeprefix('Value error, ')}"
    known = cls.model_fields if len(location) == 1 else HealthOptions.model_fields
    return f"unknown key {key!r}; {hint(str(location[-1]), known)}"
