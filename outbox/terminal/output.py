"""Tables, facts and JSON on standard output, and notes beside them on standard error.

What is printed may have been written by anybody: it is cleaned of what a terminal would obey, and never read as markup.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from uuid import UUID

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from outbox.errors import clean
from outbox.terminal.setup import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# What json.dumps leaves as it is, and a terminal obeys: DEL, C1, line separators, bidirectional marks.
_OBEYED = re.compile(r"[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_ENDLESS = 10_000
_out = Console(highlight=False)
_notes = Console(stderr=True, highlight=False)


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column. `whole` is never wrapped, `cut` ends in … where the terminal does, `number` is set right."""

    title: str
    kind: Literal["text", "whole", "cut", "number"] = "text"


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table: drawn on a terminal, plain aligned text in a pipe, one line a row."""
    cells = [[clean(cell) for cell in row] for row in rows]
    if is_terminal():
        _out.print(_drawn(columns, cells))
        return
    lines = [[column.title.upper() for column in columns], *cells]
    widths = [max(cell_len(line[place]) for line in lines) for place in range(len(columns))]
    for line in lines:
        padded = (_padded(*each) for each in zip(line, widths, columns, strict=True))
        sys.stdout.write("  ".join(padded).rstrip() + "\n")


def _padded(cell: str, width: int, column: Column) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if column.kind == "number" else cell + space


def fits(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> bool:
    """Tell whether `print_table` has room for every cell; there is room without end in a pipe."""
    table = _drawn(columns, [[clean(cell) for cell in row] for row in rows])
    return not is_terminal() or _out.measure(table, options=_out.options.update(width=_ENDLESS)).maximum <= width()


def print_blocks(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print each row as lines, a cell a line under the first one, for terminals that a table does not fit on."""
    longest = max(len(column.title) for column in columns)
    for first, *cells in rows:
        say(clean(first), "bold")
        for column, cell in zip(columns[1:], cells, strict=True):
            say(Text.assemble((f"  {column.title:<{longest}}  ", "dim"), clean(cell)))


def _drawn(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.kind == "number" else "left",
            no_wrap=column.kind in {"whole", "number"},
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(_cell(cell, column) for cell, column in zip(row, columns, strict=True)))
    return table


def _cell(cell: str, column: Column) -> Text:
    # Where the terminal is too narrow, rich narrows the columns that may wrap, and those alone. So a column that is cut
    # is one of these, and it is its cells that do not wrap.
    return Text(cell, no_wrap=True, overflow="ellipsis") if column.kind == "cut" else Text(cell)


def print_facts(facts: Iterable[tuple[str, str | None]]) -> None:
    """Print labels and what they stand for, a line each; what stands for nothing is left out."""
    there = [(label, value) for label, value in facts if value is not None]
    width = max((len(label) for label, _ in there), default=0)
    for label, value in there:
        say(Text.assemble((f"{label:<{width}}  ", "dim"), clean(value)))


def print_json(value: object) -> None:
    """Print a value as JSON; UUIDs as texts, moments in ISO 8601 and UTC."""
    say(json_text(value))


def json_or_text(text: str) -> object:
    """Return what JSON says, or the text where nobody can read that: nested thousands deep, or a number as long."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def json_laid_out(text: str) -> str:
    """Return JSON as `json_text` writes it; as it is where nobody can read it."""
    read = json_or_text(text)
    return text if isinstance(read, str) else json_text(read)


def json_text(value: object) -> str:
    """Return indented JSON that is safe on a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=2, default=plain)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_line(value: object) -> str:
    """Return JSON in one line that is safe on a terminal."""
    text = json.dumps(value, ensure_ascii=False, default=plain)
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def plain(value: object) -> str:
    """Return what JSON has no form for as a text, for json.dumps: UUIDs, and moments in ISO 8601 and UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(type(value).__name__)


def say(words: str | Text = "", style: str = "") -> None:
    """Print a line (or lines) on standard output, without wrapping."""
    _out.print(Text(words, style) if isinstance(words, str) else words, soft_wrap=True)


def say_cut(words: str) -> None:
    """Print one line on standard output, which ends in … where the terminal does."""
    _out.print(Text(words), no_wrap=True, overflow="ellipsis")


def width() -> int:
    """Return how many characters wide the terminal is."""
    return _out.width


def done(words: str) -> None:
    """Print what was done."""
    say(Text.assemble(("✓ ", "green"), words))


def note(words: str) -> None:
    """Print a remark on standard error, out of the way of whatever reads standard output."""
    _notes.print(Text(words, "dim"), soft_wrap=True)


def warn(words: str) -> None:
    """Print a warning, as part of what was asked."""
    say(_warning(words))


def warn_aside(words: str) -> None:
    """Print a warning on standard error, beside what was asked."""
    _notes.print(_warning(words), soft_wrap=True)


def _warning(words: str) -> Text:
    return Text.assemble(("warning", "bold yellow"), f": {clean(words)}")
