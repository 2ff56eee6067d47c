"""A driver as a process: its JSON lines, its CPU time, and its end at the latest when its time is up."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.errors import Absent, Failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).parents[1]
_ABSENT = 77
_TAIL = 2_000  # characters
_LEFT_OUT = ("OUTBOX_", "PG", "PYTHONDONTWRITEBYTECODE")
_GRACE = 2.0  # seconds between the request to end and the end
# Of malloc in large pages, where the kernel gives them to who asks: a processor knows where more of it is. Python's
# programs have a fortieth less to do, those of Node, which has a heap of its own, as much as before.
_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}


def environment() -> dict[str, str]:
    """Return what a driver or a worker inherits: nothing that configures it, and compiled modules may be kept.

    A program that is installed has its modules compiled; one that compiles them at every start, because the shell that
    runs the benchmarks forbids to keep them, spends two seconds of CPU that its users never see.
    """
    return _MALLOC | {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}


@dataclass(frozen=True)
class Ended:
    """How a driver ended: its last line, and the CPU seconds of the whole process with all its children."""

    line: Mapping[str, Any]
    cpu: float


class Process:
    """One run of a driver, in a process group of its own. Leaving the `with` block ends whatever still runs in it."""

    def __init__(self, command: Sequence[str], *, limit: float) -> None:
        self._command = command
        self._limit = limit
        self._late = False

    def __enter__(self) -> Self:
        """Start it."""
        self._errors = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            process_group=0,
            text=True,
        )
        self._watch = threading.Timer(self._limit, self._expire)
        self._watch.daemon = True
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End it, and what it started."""
        self._watch.cancel()
        self._signal(signal.SIGTERM)
        if self._process.returncode is None:
            try:
                self._process.wait(_GRACE)
            except subprocess.TimeoutExpired:
                self._signal(signal.SIGKILL)
                self._process.wait()
        self._signal(signal.SIGKILL)
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream:
                with contextlib.suppress(OSError):
                    stream.close()

    def wait_until_ready(self) -> None:
        """Return when it has said that it is ready."""
        line = self._line()
        if not line.get("ready"):
            self._finish(line)
            raise Failed(f"{self._named()} said {line!r} instead of being ready")

    def go(self) -> None:
        """Let it begin."""
        if self._process.stdin:
            self._process.stdin.write("go\n")
            self._process.stdin.flush()

    def result(self) -> Ended:
        """Wait for its end, and return how it ended.

        Raises:
            Absent: the system, or this part of it, is not there.
            Failed: it took too long, or did not end well.
        """
        line = self._line()
        return Ended(line, self._finish(line))

    def _line(self) -> dict[str, Any]:
        words = self._process.stdout.readline() if self._process.stdout else ""
        try:
            line: dict[str, Any] = json.loads(words) if words else {}
        except ValueError:
            raise Failed(f"{self._named()} printed {words[:200]!r}, which is not JSON") from None
        return line

    def _finish(self, line: Mapping[str, Any]) -> float:
        _, status, usage = os.wait4(self._process.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if self._late:
            raise Failed(f"{self._named()} took longer than {self._limit:g} s; {self._last_words()}")
        if self._process.returncode == _ABSENT:
            raise Absent(str(line.get("absent", "no reason given")))
        if self._process.returncode or not line:
            raise Failed(f"{self._named()} ended with status {self._process.returncode}; {self._last_words()}")
        return usage.ru_utime + usage.ru_stime

    def _expire(self) -> None:
        self._late = True
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # The group lives as long as a member does, and its number is not given away before.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _named(self) -> str:
        end = self._command.index("--url") if "--url" in self._command else len(self._command)
        driver, action = self._command[end - 2 : end]
        return f"{action} of {Path(driver).name.removeprefix('benchmarks.systems.')}"

    def _last_words(self) -> str:
        self._errors.seek(0)
        words = self._errors.read().decode(errors="replace").strip()[-_TAIL:]
        return f"it said: {words}" if words else "it said nothing"


def call(command: Sequence[str], *, limit: float) -> Ended:
    """Run a driver from beginning to end."""
    with Process(command, limit=limit) as process:
        return process.result()
