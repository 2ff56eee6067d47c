"""A bar that shows how far a command has come, on a terminal and nowhere else."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from outbox.terminal.setup import is_terminal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def bar(doing: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar as long as the block lasts; call what it yields with how much more is done. None is no known end."""
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not is_terminal()) as progress:
        task = progress.add_task(doing, total=total)
        yield lambda more: progress.advance(task, more)
