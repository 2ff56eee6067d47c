"""What all web APIs for SMS need: a limit on what one message may cost."""

from __future__ import annotations

from pydantic import Field

from outbox.channels.settings import HttpSettings
from outbox.channels.sms.segments import Parts, count_parts
from outbox.errors import Rejected


class SmsSettings(HttpSettings):
    """The base for the settings of SMS providers: a message of more than `max_parts` parts is refused before the call.

    Each part is paid for, and a loop in a template has no end of its own.
    """

    max_parts: int = Field(default=10, ge=1, le=255, description="parts that a message may take, 1 to 255")


def measured(text: str, settings: SmsSettings) -> Parts:
    """Return what a text takes.

    Raises:
        Rejected: that is more than the settings allow.
    """
    taken = count_parts(text)
    if taken.parts > settings.max_parts:
        raise Rejected(
            f"the text takes {taken.parts} parts ({taken.units} units of {taken.encoding}); "
            f"max_parts is {settings.max_parts}"
        )
    return taken
