"""A provider of one's own, by its dotted path: it accepts what it is given, after the pause that the shift wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel

from benchmarks.systems.shift import Shift
from outbox import Receipt

if TYPE_CHECKING:
    from outbox import Notification

_RECEIPT = Receipt()

shift = Shift()


class Settings(BaseModel):
    """It has none."""


class Provider:
    """Accepts everything."""

    def __init__(self, settings: Settings) -> None:
        """Take no settings."""

    async def send(self, message: Notification, key: str) -> Receipt:  # noqa: ARG002 - the interface
        """Begin the job, and accept."""
        await shift.handle(message.payload["n"])
        return _RECEIPT

    async def aclose(self) -> None:
        """Nothing to close."""
