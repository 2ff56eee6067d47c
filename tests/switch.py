"""A provider for worker processes that is down for as long as its file says `down`, or refuses whatever it is given."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from outbox import errors
from outbox.messages import Email, Receipt


class Settings(BaseModel):
    path: Path
    ledger: Path | None = None
    """Where the key of each message goes that was sent."""


class Provider:
    def __init__(self, settings: Settings) -> None:
        self._path = settings.path
        self._ledger = settings.ledger

    async def send(self, message: Email, key: str) -> Receipt:  # noqa: ARG002 - the interface of a provider
        state = self._path.read_text()
        if state == "down":
            raise errors.Temporary("nobody answers", code="421")
        if state == "refusing":
            raise errors.Rejected("we know no such sender", code="554")
        if self._ledger is not None:
            with self._ledger.open("a") as ledger:
                ledger.write(f"{key}\n")
        return Receipt()

    async def aclose(self) -> None:
        """Nothing to close."""
