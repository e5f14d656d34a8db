"""The settings of a provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from eventing_core.errors import ConfigError
from eventing_core.provider._keys import hint


class ProviderConfig(BaseModel):
    """Base of a provider's settings: its table in the configuration file.

    Unknown keys are refused. Use ``pydantic.SecretStr`` for secrets.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    @model_validator(mode="wrap")
    @classmethod
    def _keep_nothing_of_the_input(cls, settings: Any, make: ModelWrapValidatorHandler[Self]) -> Self:
        """Pydantic's errors hold what was put in, a password among it: hand on what is wrong without that."""
        try:
            return make(settings)
        except ValidationError as error:
            flaws = error.errors(include_input=False, include_url=False, include_context=False)
        raise cls._refusal([(flaw["loc"], flaw["type"], flaw["msg"]) for flaw in flaws])

    @classmethod
    def _refusal(cls, flaws: Iterable[tuple[tuple[int | str, ...], Any, str]]) -> ValidationError:
        """An error of pydantic that holds nothing of what was put in: for each flaw where it is, its type and text."""
        return ValidationError.from_exception_data(
            cls.__name__,
            [
                {"type": PydanticCustomError(kind, "{text}", {"text": text}), "loc": location, "input": None}
                for location, kind, text in flaws
            ],
            hide_input=True,
        )

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """Create the settings from the arguments of a constructor.

        Raises:
            ConfigError: a setting is unknown or invalid. The message contains none of the values.
        """
        try:
            return cls(**settings)
        except ValidationError as error:
            flaws = error.errors(include_input=False, include_url=False, include_context=False)
        # Outside, as an error of pydantic keeps what was put in.
        raise ConfigError(f"{cls.__name__}: " + "; ".join(cls._flaw(flaw["loc"], flaw["msg"]) for flaw in flaws))

    @classmethod
    def _flaw(cls, location: tuple[int | str, ...], text: str) -> str:
        key = ".".join(map(str, location))
        if key and key not in cls.model_fields:
            return f"unknown key {key!r}; {hint(key, cls.model_fields)}"
        text = text.removeprefix("Value error, ")
        return f"{key}: {text}" if key else text
