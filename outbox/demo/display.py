"""What is seen while the demo runs: bars and counters on a terminal, plain lines in a pipe."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

if TYPE_CHECKING:
    from outbox.demo.progress import Progress as Numbers
    from outbox.demo.progress import WorkerState

_EVERY = 2.0  # seconds between two plain lines
_BAR = 40


class Display:
    """Writes to `console`: what happens as lines that stay, and how far it is beneath them."""

    def __init__(self, console: Console, signups: int) -> None:
        self._console = console
        self._began_at = time.monotonic()
        self._told_at = self._began_at
        self._bars = Progress(
            TextColumn("{task.description:<18}"), BarColumn(_BAR), MofNCompleteColumn(), console=console
        )
        self._signups = self._bars.add_task("signups", total=signups)
        self._accepted = self._bars.add_task("emails accepted", total=signups)
        self._live = Live(console=console, refresh_per_second=10, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        """Take the lower part of the terminal."""
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        if self._live:
            self._live.stop()

    def tell(self, words: str, style: str = "") -> None:
        """Say what happened."""
        elapsed = time.monotonic() - self._began_at
        self._console.print(Text.assemble((f"{elapsed:5.1f} s  ", "dim"), (words, style)), soft_wrap=True)

    def show(self, numbers: Numbers, killed: set[int]) -> None:
        """Show how far it is: `killed` are process ids."""
        if self._live:
            self._bars.update(self._signups, completed=numbers.tried)
            self._bars.update(self._accepted, completed=numbers.accepted, total=max(numbers.committed, 1))
            self._live.update(self._drawn(numbers, killed))
        elif time.monotonic() - self._told_at >= _EVERY:
            self._told_at = time.monotonic()
            self.tell(
                f"{numbers.tried:,} signups, {numbers.committed:,} of them committed; "
                f"{numbers.accepted:,} emails accepted, {_counters(numbers)}"
            )

    def _drawn(self, numbers: Numbers, killed: set[int]) -> RenderableType:
        workers = [_told(worker, killed) for worker in numbers.workers]
        return Group(Text(), self._bars, Text(f"{_counters(numbers)}\n"), *workers)


def _counters(numbers: Numbers) -> str:
    return (
        f"{numbers.waiting:,} in the queue, {numbers.retries:,} retries, {numbers.ambiguous:,} in doubt, "
        f"{numbers.dead:,} dead letters"
    )


def _told(worker: WorkerState, killed: set[int]) -> Text:
    name = f"worker {worker.id} (pid {worker.pid})  "
    if worker.pid in killed:
        lease = f"; it still has {worker.in_hand} in its name, until their lease ends" if worker.in_hand else ""
        return Text.assemble(name, ("killed", "bold red"), lease)
    if worker.idle and not worker.in_hand:
        return Text.assemble(name, ("idle", "dim"))
    return Text.assemble(name, (f"{worker.in_hand} in hand", "green"))
