"""How far a command has come: a bar on a terminal; in a pipe nothing, or a line for each tenth of what takes long."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from threading import Timer
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from outbox.terminal.output import note
from outbox.terminal.setup import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


_SOON = 0.5  # seconds: what is over before is not worth a word


@contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Say what is being done, once it takes longer than a moment, where somebody looks; print nothing in the block.

    It is on standard error, and gone when the block ends.
    """
    if not sys.stderr.isatty():
        yield
        return
    status = Console(stderr=True).status(f"{doing} …")
    timer = Timer(_SOON, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()  # it may be starting it this moment
        status.stop()


@contextmanager
def bar(doing: str, total: int | None, *, shown: bool | None = None) -> Iterator[Callable[[int], None]]:
    """Show a bar as long as the block lasts; call what it yields with how much more is done. None is no known end.

    `shown` decides otherwise than a look at standard output whether anybody sees it.
    """
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    hidden = not is_terminal() if shown is None else not shown
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=hidden) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda more: progress.advance(task, more)


@contextmanager
def toward(doing: str) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar, or lines on standard error; call what it yields with how much is done, and of how much."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal()) as progress:
        task = progress.add_task(doing, total=None)
        tenth = 0

        def tell(done: int, total: int | None) -> None:
            nonlocal tenth
            progress.update(task, completed=done, total=total)
            if not is_terminal() and total and done * 10 // total > tenth:
                tenth = done * 10 // total
                note(f"{doing}: {done:,} of {total:,}")

        yield tell
