"""The mail server's own record: one JSON object a line, written before the client hears the answer."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One thing that the mail server did. `at` is in seconds since 1970."""

    event: Literal["accepted", "refused", "dropped"]
    recipient: str
    at: float
    id: str | None = None
    """The notification's id, as in the Message-ID; only of what was accepted."""
    reply: str | None = None
    """What the client was told; None where it was hung up on instead."""


class LedgerWriter:
    """Appends entries to a file; each is in the kernel's hands when `record` returns."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")

    def record(
        self,
        event: Literal["accepted", "refused", "dropped"],
        recipient: str,
        *,
        id: str | None = None,  # noqa: A002 - the name of the column
        reply: str | None = None,
    ) -> None:
        """Write one entry down, with the time."""
        entry = Entry(event=event, recipient=recipient, at=time.time(), id=id, reply=reply)
        self._file.write(json.dumps(asdict(entry)) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class LedgerReader:
    """Reads a file that is being written; `entries` has all that `catch_up` found so far."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.entries: list[Entry] = []

    def catch_up(self) -> list[Entry]:
        """Read the lines that were added, and return all entries."""
        with self._path.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        self.entries += [Entry(**json.loads(line)) for line in whole.splitlines()]
        return self.entries
