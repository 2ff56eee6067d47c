"""The keys of a topic that say who gets it, by which channels, and what becomes of it in doubt and when it is late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from outbox import durations
from outbox.config.base import Section, listed

if TYPE_CHECKING:
    from collections.abc import Mapping

Policy = TypeVar("Policy", bound=BaseModel)
Channel = Annotated[str, Field(pattern="^[a-z][a-z0-9_]{0,62}$")]


class ConsentKeys(Section):
    """A part of `[topics.<name>]`. Durations in seconds."""

    default: Literal["opt_out", "opt_in"] = Field(default="opt_out", description='"opt_out" or "opt_in"')
    channels: Annotated[tuple[Channel, ...], BeforeValidator(listed)] | None = Field(
        default=None, description='a list of channels, such as ["email", "push"]'
    )
    delivery: Literal["at_least_once", "at_most_once"] | None = Field(
        default=None, description='"at_least_once" or "at_most_once"'
    )
    expires: Annotated[float, BeforeValidator(durations.parse), Field(gt=0)] | None = Field(
        default=None, description='a duration above zero, such as "10m"'
    )

    @field_validator("channels")
    @classmethod
    def _some_and_each_once(cls, channels: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if channels is not None and not channels:
            raise ValueError('nothing could be sent by no channel; name some, such as ["email"], or leave it out')
        if channels is not None and len(set(channels)) < len(channels):
            raise ValueError("a channel is named twice")
        return channels

    @field_validator("transactional", check_fields=False)
    @classmethod
    def _what_everybody_gets_needs_no_yes(cls, transactional: bool, info: ValidationInfo) -> bool:  # noqa: FBT001
        if transactional and info.data.get("default") == "opt_in":
            raise ValueError('what is transactional goes to everybody, and default = "opt_in" says the opposite')
        return transactional


def policies(policy: Policy, topics: Mapping[str, ConsentKeys]) -> dict[str, Policy]:
    """Return a channel's policy as it is under each topic that says itself what is done in doubt."""
    in_doubt = {"at_least_once": "retry", "at_most_once": "stop"}
    return {
        name: policy.model_copy(update={"on_ambiguous": in_doubt[topic.delivery]})
        for name, topic in topics.items()
        if topic.delivery is not None
    }
