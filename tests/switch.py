"""A provider for worker processes that is down for as long as its file says `down`."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel

from outbox import errors
from outbox.messages import Email, Receipt


class Settings(BaseModel):
    path: Path


class Provider:
    def __init__(self, settings: Settings) -> None:
        self._path = settings.path

    async def send(self, message: Email, key: str) -> Receipt:  # noqa: ARG002 - the interface of a provider
        if self._path.read_text() == "down":
            raise errors.Temporary("nobody answers", code="421")
        return Receipt()

    async def aclose(self) -> None:
        """Nothing to close."""
