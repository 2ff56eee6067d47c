"""Worker processes as people start them, of one configuration, and the ledger that their provider writes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent


class Fleet:
    """Lives in `folder` as long as the `with` block; a delivery takes `took` seconds."""

    def __init__(self, folder: Path, url: str, took: float = 0.0) -> None:
        self._config = folder / "outbox.toml"
        self._ledger = folder / "ledger"
        self._log = folder / "log"
        self._url = url
        self._ledger.touch()
        self._config.write_text(f"""
            [channels.email]
            providers = ["tests.ledger"]
            [providers."tests.ledger"]
            path = "{self._ledger}"
            took = {took}
            dies_of = "killer@example.org"
            [log]
            format = "text"
            [worker]
            lease = "1s"
            idle_poll = "100ms"
        """)
        self.processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `outbox worker --channel email` with these arguments besides."""
        command = [
            sys.executable,
            "-m",
            "outbox",
            "worker",
            "--channel",
            "email",
            "--config",
            str(self._config),
            *arguments,
        ]
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=os.environ | {"OUTBOX_DATABASE_URL": self._url}, stderr=log
            )
        self.processes.append(process)
        return process

    def log(self) -> str:
        return self._log.read_text()

    def lines(self, word: str) -> list[str]:
        """The ids that the ledger has under `begun` or `sent`."""
        return [line.split()[1] for line in self._ledger.read_text().splitlines() if line.startswith(word)]
