"""The worker processes of a scenario: `python -m outbox worker`, as people start them, and killed as machines do it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from outbox.children import Child, Children

_WORKER = {"lease": "5s", "concurrency": 50, "idle_poll": "100ms"}


class Fleet:
    """Workers of one configuration. `channels` and `providers` are the sections of the file, `worker` is its [worker].

    The lease is 5 s unless `worker` says otherwise.
    """

    def __init__(
        self,
        children: Children,
        url: str,
        *,
        channels: Mapping[str, Mapping[str, Any]],
        providers: Mapping[str, Mapping[str, Any]],
        worker: Mapping[str, Any] | None = None,
    ) -> None:
        self._children = children
        self.worker = {**_WORKER, **(worker or {})}
        self.channels = tuple(channels)
        self.live: list[Child] = []
        self._config = _unused(children.folder, "outbox", ".toml")
        tables = {
            "database": {"url": url},
            **{f"channels.{name}": section for name, section in channels.items()},
            **{f'providers."{name}"': section for name, section in providers.items()},
            "worker": self.worker,
        }
        self._config.write_text("".join(_table(name, section) for name, section in tables.items()))
        self._started = 0

    def start(self, count: int = 1, *arguments: str, ready: bool = False) -> list[Child]:
        """Start so many workers; with `ready`, return when each has said that it serves."""
        named = [part for channel in self.channels for part in ("--channel", channel)]
        words = ["worker", *named, "--config", str(self._config), *arguments]
        new = []
        for _ in range(count):
            self._started += 1
            name = f"{self._config.stem} worker {self._started}"
            new.append(self._children.start(name, "outbox", words))
        self.live += new
        if ready:
            for child in new:
                self.wait_until_ready(child)
        return new

    def wait_until_ready(self, child: Child) -> None:
        """Return when a worker has said that it serves, or has ended."""
        wait_until(lambda: " serves " in child.log.read_text() or child.process.poll() is not None, timeout=60)

    def kill(self, child: Child) -> None:
        """SIGKILL to one of them."""
        child.process.kill()
        child.process.wait()
        self.live.remove(child)

    def freeze(self, child: Child) -> None:
        """SIGSTOP to one of them: it stands still, and knows nothing of it."""
        os.kill(child.pid, signal.SIGSTOP)

    def thaw(self, child: Child) -> None:
        """SIGCONT to one that was frozen."""
        os.kill(child.pid, signal.SIGCONT)

    def ended(self) -> list[Child]:
        """Return those that ended by themselves, and count them as live no more."""
        gone = [child for child in self.live if child.process.poll() is not None]
        self.live = [child for child in self.live if child not in gone]
        return gone

    def stop(self, limit: float = 40.0) -> list[int]:
        """SIGTERM to all, once each has come so far as to heed it; return the exit codes.

        One that takes longer than `limit` seconds is killed, so its code is -9.
        """
        for child in self.live:
            self.wait_until_ready(child)
        for child in self.live:
            child.process.terminate()
        deadline = time.monotonic() + limit
        codes = [_end(child, deadline) for child in self.live]
        self.live = []
        return codes

    def last_words(self) -> str:
        """Return the ends of their logs, for the report of a failure."""
        return "\n".join(f"{child.name}: {child.last_words()}" for child in self.live)


def _end(child: Child, deadline: float) -> int:
    try:
        return child.process.wait(max(deadline - time.monotonic(), 0))
    except subprocess.TimeoutExpired:
        child.process.kill()
        return child.process.wait()


def _unused(folder: Path, stem: str, suffix: str) -> Path:
    number = 1
    while (path := folder / f"{stem}{number}{suffix}").exists():
        number += 1
    return path


def _table(name: str, section: Mapping[str, Any]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in section.items() if value is not None]
    return "\n".join([f"[{name}]", *lines, "", ""])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(_value(each) for each in value)}]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
