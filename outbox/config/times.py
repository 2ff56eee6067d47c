"""The keys that say at which times of day something may be sent: the same for a channel and for a topic."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, ValidationInfo, field_validator

from outbox.week import Spans, Week, merged, others, parse_week
from outbox.zones import zone

_Week = Annotated[Week, BeforeValidator(parse_week)]


def _zone(name: object) -> object:
    if isinstance(name, str):
        zone(name)
    return name


class SendingTimes(BaseModel):
    """When notifications may be sent, by the clocks of their recipients' time zones."""

    quiet_hours: _Week | None = Field(default=None, description='hours such as "22:00-08:00"')
    send_window: _Week | None = Field(default=None, description='hours such as "Mon-Fri 09:00-17:00"')
    time_zone: Annotated[str, BeforeValidator(_zone)] | None = Field(
        default=None, description='a name such as "Europe/Berlin"'
    )

    @property
    def closed(self) -> Spans:
        """The hours of the week in which nothing is sent."""
        quiet = self.quiet_hours.spans if self.quiet_hours else ()
        return merged([*quiet, *(others(self.send_window.spans) if self.send_window else ())])

    def never_open_with(self, other: SendingTimes) -> bool:
        """Tell whether what comes under both would never be sent."""
        return not others(merged([*self.closed, *other.closed]))

    @field_validator("quiet_hours")
    @classmethod
    def _end(cls, quiet_hours: Week | None) -> Week | None:
        if quiet_hours is not None and not others(quiet_hours.spans):
            raise ValueError(f"{quiet_hours.text!r} is the whole week: nothing would ever be sent")
        return quiet_hours

    @field_validator("send_window")
    @classmethod
    def _opens(cls, send_window: Week | None, info: ValidationInfo) -> Week | None:
        quiet: Week | None = info.data.get("quiet_hours")
        if send_window and quiet and not others(merged([*quiet.spans, *others(send_window.spans)])):
            raise ValueError(
                f"{send_window.text!r} lies within quiet_hours, {quiet.text!r}: nothing would ever be sent"
            )
        return send_window
