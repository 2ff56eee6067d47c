"""`[topics.<name>]`: what notifications about something are, and to whom, when and how they go."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from outbox.config.base import listed
from outbox.config.consent import ConsentKeys
from outbox.config.steps import InTurns
from outbox.config.throttle import ThrottleKeys
from outbox.config.times import SendingTimes

Steps = Annotated[tuple[str, ...], BeforeValidator(listed), InTurns]


class TopicConfig(SendingTimes, ThrottleKeys, ConsentKeys):
    """`[topics.<name>]`: what notifications about something are; the name is the topic that they are enqueued with."""

    transactional: bool = Field(default=False, description="true or false")
    escalation: Steps = Field(default=(), description='a list such as ["inapp", "wait 5m unless read", "email"]')
    unsubscribe: bool = Field(default=False, description="true or false")
    title: str | None = Field(
        default=None, min_length=1, max_length=200, description='what people know it by, such as "Weekly news"'
    )

    @field_validator("unsubscribe")
    @classmethod
    def _can_be_unsubscribed_from(cls, unsubscribe: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic's form
        if unsubscribe and info.data.get("transactional"):
            raise ValueError("a transactional topic goes to people who have unsubscribed: it cannot offer them to")
        return unsubscribe
