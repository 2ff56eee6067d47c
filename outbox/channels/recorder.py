"""A provider for any channel that only remembers, for the tests of an application: what would have been sent."""

from __future__ import annotations

from typing import Any, NamedTuple

from outbox.channels.settings import ProviderSettings
from outbox.messages import Receipt


class Recorded(NamedTuple):
    """One message, as its provider is given it, and the id of its notification."""

    message: Any
    key: str


recorded: list[Recorded] = []
"""All that was sent in this process, in order. Clear it between tests."""


class Settings(ProviderSettings):
    """There is nothing to set."""


class Provider:
    """Appends each message to `recorded`."""

    def __init__(self, settings: Settings) -> None:
        """Take no settings: there are none."""

    async def send(self, message: Any, key: str) -> Receipt:
        """Remember a message."""
        recorded.append(Recorded(message, key))
        return Receipt(f"recorded {len(recorded)}")

    async def aclose(self) -> None:
        """There is nothing to close."""
