"""The keys of a topic that say how much of it a recipient is sent, and what becomes of the rest."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from outbox import durations
from outbox.config.base import Section

Quota = Annotated[durations.Quota, BeforeValidator(durations.parse_quota)]


class ThrottleKeys(Section):
    """A part of `[topics.<name>]`."""

    throttle: Quota | None = Field(default=None, description='so many in so long, such as "3/d", "10/7d" or "1/30m"')
    throttle_policy: Literal["drop", "defer", "digest"] = Field(
        default="defer", description='"drop", "defer" or "digest"'
    )
    throttle_template: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="the name of a template"
    )

    @field_validator("throttle_policy")
    @classmethod
    def _of_a_throttle(cls, policy: str, info: ValidationInfo) -> str:
        if info.data.get("throttle", policy) is None:
            raise ValueError('there is no throttle that it is the policy of; write one, such as throttle = "3/d"')
        return policy

    @field_validator("throttle_template")
    @classmethod
    def _of_a_digest(cls, template: str | None, info: ValidationInfo) -> str | None:
        if template is not None and info.data.get("throttle_policy", "digest") != "digest":
            raise ValueError('it is the template of what a throttle gathers, so it needs throttle_policy = "digest"')
        return template

    @field_validator("transactional", check_fields=False)
    @classmethod
    def _what_must_arrive_is_not_dropped(cls, transactional: bool, info: ValidationInfo) -> bool:  # noqa: FBT001
        if transactional and info.data.get("throttle_policy") == "drop":
            raise ValueError('what is transactional must not be dropped; throttle_policy may be "defer" or "digest"')
        return transactional
