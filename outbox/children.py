"""Processes of ours that die with the command that started them, however it ends; and a folder that goes with them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from outbox.errors import OutboxError, clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TAIL = 15  # lines

# The leader of the children's process group waits for the end of the pipe, which is when the command closes it, or dies
# of whatever; then it takes the files and the whole group with it. No process outside the group can be hit.
_WATCHDOG = 'read -r _; rm -rf -- "$0"; kill -KILL 0'


class ChildFailed(OutboxError):
    """A process ended before its time, or not well: the message says how, with what it had to say."""


class Child:
    """One process, with a log."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.process = process
        self.log = log

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def check(self) -> None:
        """Raise `ChildFailed` if it ended, which it should not have."""
        if self.process.poll() is not None:
            raise ChildFailed(
                f"{self.name} ended by itself, with status {self.process.returncode}; {self.last_words()}"
            )

    def stop(self, limit: float) -> None:
        """Ask it to stop, and wait for it.

        Raises:
            ChildFailed: it took longer than `limit` seconds, or did not end well.
        """
        self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(limit)
        except subprocess.TimeoutExpired:
            raise ChildFailed(f"{self.name} did not stop within {limit:g} s; {self.last_words()}") from None
        if status:
            raise ChildFailed(f"{self.name} stopped with status {status}; {self.last_words()}")

    def last_words(self) -> str:
        """Return the last lines of its log."""
        lines = [clean(line, 500) for line in self.log.read_text(errors="replace").splitlines()[-_TAIL:]]
        return "\n  ".join(["the end of its log:", *lines]) if lines else "its log is empty"


class Children:
    """A folder for files, and the processes that work in it; both are gone at the end of the `with` block."""

    def __init__(self, purpose: str) -> None:
        self.folder = Path()
        self._purpose = purpose
        self._started: list[Child] = []
        self._watchdog: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Make the folder, and start the watchdog over it."""
        self.folder = Path(tempfile.mkdtemp(prefix=f"outbox-{self._purpose}-"))
        self._watchdog = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHDOG, self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,  # out of reach of a Ctrl-C, which is meant for the command
        )
        return self

    def __exit__(self, *_: object) -> None:
        """Kill what still runs, and remove the folder."""
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None and watchdog.stdin is not None:
            watchdog.stdin.close()
            watchdog.wait()
        for child in self._started:
            child.process.wait()

    def start(self, name: str, module: str, arguments: Sequence[str], descriptors: Iterable[int] = ()) -> Child:
        """Run a module of ours with this Python; what it says goes to a log in the folder."""
        log = self.folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=Path(__file__).parents[1],  # so that a checkout that is not installed is found, too
                env={key: value for key, value in os.environ.items() if not key.startswith(("OUTBOX_", "SENTRY_"))},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=self._watchdog.pid if self._watchdog else None,
                pass_fds=tuple(descriptors),
            )
        child = Child(name, process, log)
        self._started.append(child)
        return child
