"""A provider for any channel that only prints: to see what would be sent, while you develop."""

from __future__ import annotations

import json
import sys
from typing import Any

from outbox.channels.settings import ProviderSettings
from outbox.messages import Receipt

_NOT_SAID = {"digests"}  # of the template's parts: bytes, which nobody gets


class Settings(ProviderSettings):
    """There is nothing to set."""


class Provider:
    """Prints each message on standard output, whole: it is no place for secrets."""

    def __init__(self, settings: Settings) -> None:
        """Take no settings: there are none."""

    async def send(self, message: Any, key: str) -> Receipt:
        """Print a message: its kind, its notification's id, and every field that has something to say."""
        said = {name: value for name, value in message._asdict().items() if name not in _NOT_SAID}
        fields = {name: value for name, value in said.items() if value not in (None, "", {}, ())}
        lines = [f"{type(message).__name__} {key}", *(f"  {name}: {_told(value)}" for name, value in fields.items())]
        sys.stdout.write("\n".join(lines) + "\n\n")
        sys.stdout.flush()
        return Receipt()

    async def aclose(self) -> None:
        """There is nothing to close."""


def _told(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text.strip().replace("\n", "\n    ")
