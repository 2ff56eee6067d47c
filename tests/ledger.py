"""A provider for worker processes: it takes `took` seconds a message, and writes the id of each to a file."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from pydantic import BaseModel

from outbox.messages import Email, Receipt


class Settings(BaseModel):
    path: Path
    took: float = 0.0
    dies_of: str = ""


class Provider:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._file = os.open(settings.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def send(self, message: Email, key: str) -> Receipt:
        os.write(self._file, f"begun {key}\n".encode())
        await asyncio.sleep(self._settings.took)
        if message.recipient == self._settings.dies_of:
            os._exit(1)
        while message.recipient == "loop@example.org":
            pass
        if message.recipient == "thread@example.org":
            await asyncio.to_thread(time.sleep, 3_600)
        os.write(self._file, f"sent {key} {message.recipient}\n".encode())
        return Receipt()

    async def aclose(self) -> None:
        os.close(self._file)
