"""A provider that costs nothing: it accepts what it is given, and remembers when, where that is wanted."""

from __future__ import annotations

import time
from array import array
from typing import TYPE_CHECKING

from outbox.channels.settings import ProviderSettings
from outbox.messages import Receipt

if TYPE_CHECKING:
    from outbox.messages import Notification

_RECEIPT = Receipt()


class Begun:
    """Which notifications were with the provider, and when, by the monotonic clock."""

    def __init__(self) -> None:
        self.wanted = False
        self.numbers = array("q")
        self.moments = array("d")


begun = Begun()
"""Those of this process."""


class Settings(ProviderSettings):
    """There is nothing to set."""


class Provider:
    """Accepts everything."""

    def __init__(self, settings: Settings) -> None:
        """Take no settings: there are none."""

    async def send(self, message: Notification, key: str) -> Receipt:  # noqa: ARG002 - the interface
        """Accept."""
        if begun.wanted:
            begun.moments.append(time.monotonic())
            begun.numbers.append(message.payload["n"])
        return _RECEIPT

    async def aclose(self) -> None:
        """There is nothing to close."""
