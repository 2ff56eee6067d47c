"""What the sections of the configuration have in common: their base, and how lists and durations are given."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from outbox import durations

Seconds = Annotated[float, BeforeValidator(durations.parse)]


def listed(value: object) -> object:
    """Split a text on commas: lists come so from the environment."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Section(BaseModel):
    """The base of every section: frozen, refuses keys that it does not know, and keeps values out of pydantic's errors.

    A field's description completes the sentence "it must be …" when a value is refused.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)
