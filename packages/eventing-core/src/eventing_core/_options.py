"""`Options`: the manager's own settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eventing_core._keys import hint
from eventing_core.errors import ConfigError

#: A year; longer waits overflow the timers of some platforms.
_LONGEST_WAIT = 31_536_000.0

_Seconds = Annotated[float, Field(gt=0, le=_LONGEST_WAIT, allow_inf_nan=False)]


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

    if not TYPE_CHECKING:  # whose checkers know the fields

        def __init__(self, **settings: Any) -> None:
            """Check the settings.

            Raises:
                ConfigError: one is unknown or wrong; it names the setting, and no value.
            """
            try:
                super().__init__(**settings)
            except ValidationError as error:
                flaws = [_flaw(type(self), flaw["loc"], flaw["msg"]) for flaw in error.errors(include_url=False)]
                msg = "Options: " + "; ".join(flaws)
                raise ConfigError(msg) from None


def _flaw(cls: type[BaseModel], location: tuple[int | str, ...], text: str) -> str:
    key = ".".join(map(str, location))
    return f"{key}: {text}" if key in cls.model_fields else f"unknown key {key!r}; {hint(key, cls.model_fields)}"
