"""How far `outbox bench` is, on standard error: a bar on a terminal, a line for each round in a pipe."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from outbox.terminal.output import note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from outbox.bench.plan import Plan

_A_SECOND = 2  # times: who draws it measures nothing, and still uses the machine


@contextmanager
def showing(plan: Plan) -> Iterator[Callable[[str], None]]:
    """Show how many of the steps are done: call what it yields with what each is, as it begins."""
    if not sys.stderr.isatty():
        yield _Lines().tell
        return
    columns = (BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, refresh_per_second=_A_SECOND) as progress:
        task = progress.add_task("", total=plan.steps, completed=-1)
        yield lambda what: progress.update(task, description=what, advance=1)


class _Lines:
    """Tells the first of each group of things: `round 2 of 3` once."""

    def __init__(self) -> None:
        self._told = ""

    def tell(self, what: str) -> None:
        group = what.partition(":")[0]
        if group != self._told:
            self._told = group
            note(group)
