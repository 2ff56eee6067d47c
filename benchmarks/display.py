"""What is seen: a bar beneath the results on a terminal, plain lines in a pipe, and the verdicts at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import figure
from benchmarks.musts import MUSTS

if TYPE_CHECKING:
    from rich.console import Console

    from benchmarks.results import Result, Run
    from benchmarks.runner import Turn

_SHOWN = {
    "rate": "/s",
    "p50": " ms p50",
    "p99": " ms p99",
    "ratio": " last ÷ first",
    "backlog_seconds": " s of backlog",
    "claim_p99": " ms claim p99",
    "client_us": " µs client",
    "server_us": " µs server",
    "wal_with_enqueue": " B of WAL with the enqueue",
    "wal": " B of WAL",
    "dead": " dead tuples",
}


class Display:
    """Tells of each cell."""

    def __init__(self, console: Console, cells: int) -> None:
        self._console = console
        self._progress = Progress(
            TextColumn("{task.description:<44}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._cells = self._progress.add_task("", total=cells)

    def __enter__(self) -> Self:
        """Take the last line of the terminal."""
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Give it back."""
        self._progress.stop()

    def begin(self, turn: Turn) -> None:
        """Say what is being measured."""
        title = CONTENDERS[turn.system].title
        self._progress.update(self._cells, description=f"round {turn.round}, {turn.measure}, {title}")

    def end(self, result: Result) -> None:
        """Say what came out."""
        self._progress.advance(self._cells)
        head = f"{result.round}  {result.measure:<14} {CONTENDERS[result.system].title:<18} "
        words, style = _told(result)
        tail = f"  ({result.seconds:g} s, load {result.load:g})"
        for statement in result.statements:
            self._console.print(Text(statement, "dim"), soft_wrap=True)
        self._console.print(Text.assemble((head, "bold"), (words, style), (tail, "dim")), soft_wrap=True)


def show_musts(console: Console, run: Run) -> None:
    """Show how what was measured compares with what must be reached."""
    table = Table("measure", "outbox", "must", "which is", "verdict")
    for must in MUSTS:
        verdict = must.judge(run)
        if verdict.reached is not None:
            word = Text("reached", "green") if verdict.reached else Text("missed", "bold red")
            table.add_row(must.what, verdict.ours, must.must, verdict.bar, word)
    if table.row_count:
        console.print(table)


def _told(result: Result) -> tuple[str, str]:
    if result.absent:
        return f"absent: {result.absent}", "dim"
    if result.failed:
        return f"failed: {result.failed}", "red"
    values = result.values
    numbers = [f"{figure(values[name])}{unit}" for name, unit in _SHOWN.items() if values.get(name) is not None]
    if windows := values.get("windows"):
        numbers.append("windows " + " ".join(map(figure, windows)))
    return "  ".join(numbers), ""
