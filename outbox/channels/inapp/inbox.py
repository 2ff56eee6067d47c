"""The inbox, as a provider: what it accepts is written by the settlement itself, so exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.channels.settings import ProviderSettings
from outbox.messages import Receipt

if TYPE_CHECKING:
    from outbox.messages import InApp


class Settings(ProviderSettings):
    """There is nothing to set."""


class Provider:
    """Puts notifications into the table `inbox`, which `outbox.inbox` reads. It never fails, and opens nothing."""

    def __init__(self, settings: Settings) -> None:
        """Take no settings: there are none."""

    async def send(self, message: InApp, key: str) -> Receipt:  # noqa: ARG002 - the key is the row's
        """Return the message, for the settlement to write."""
        return Receipt(inbox=message)

    async def aclose(self) -> None:
        """There is nothing to close."""
