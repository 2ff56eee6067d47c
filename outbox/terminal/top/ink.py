"""Lines of words with a meaning each, for which the screen has a colour and paper has none; and tables of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from rich.cells import cell_len, set_cell_size

from outbox.errors import clean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Meaning: TypeAlias = Literal["", "dim", "strong", "good", "bad", "warn", "mark"]
Span: TypeAlias = tuple[str, Meaning]
Line: TypeAlias = "tuple[Span, ...]"
_GAP, _SPREAD = 2, 4
_MILLION, _BILLION = 1_000_000, 1_000_000_000
_TENTHS = 100.0


@dataclass(frozen=True, slots=True)
class Column:
    """A table's column. `sacrifice`: those with the greatest go first where there is no room; 0 never goes."""

    title: str
    number: bool = False
    sacrifice: int = 0
    least: int = 0
    """What it may be cut to where there is no room; 0: it is never cut."""


@dataclass(frozen=True, slots=True)
class Row:
    """A table's row; `key` is what it is about, for those who choose it."""

    key: str
    cells: Sequence[Span]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a panel shows: what is always there, and rows that may be chosen."""

    head: Sequence[Line] = ()
    rows: Sequence[tuple[str, Line]] = ()

    def lines(self) -> list[Line]:
        """Return all of it."""
        return [*self.head, *(line for _, line in self.rows)]


def span(words: object, meaning: Meaning = "") -> Span:
    """Return words, cleaned of what a terminal would obey."""
    return clean(str(words)), meaning


def width_of(line: Line) -> int:
    """Return how many cells it is wide."""
    return sum(cell_len(words) for words, _ in line)


def fitted(line: Line, width: int) -> Line:
    """Return it just so wide: cut with an ellipsis, or padded."""
    short = width - width_of(line)
    if short >= 0:
        return (*line, (" " * short, ""))
    kept: list[Span] = []
    left = width - 1
    for words, meaning in line:
        size = cell_len(words)
        if size > left:
            kept.append((set_cell_size(words, max(left, 0)), meaning))
            break
        kept.append((words, meaning))
        left -= size
    return (*kept, ("…", "dim")) if width > 0 else ()


def wrapped(words: str, width: int, most: int, first: str = "", meaning: Meaning = "") -> list[Line]:
    """Return words on as many lines as they take, but no more than `most`; the first begins with `first`."""
    lines: list[str] = [""]
    room = max(width - len(first), 1)
    for word in words.split():
        if lines[-1] and cell_len(lines[-1]) + 1 + cell_len(word) > room:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    begins = [first, *(" " * len(first) for _ in lines[1:])]
    return [fitted(((begin, meaning), (text, "")), width) for begin, text in zip(begins, lines, strict=True)]


def table(columns: Sequence[Column], rows: Iterable[Row], width: int) -> Drawing:
    """Return a table that is no wider: columns are left out, and cells cut; where there is room, it spreads."""
    some = list(rows)
    sizes = [
        max([cell_len(column.title), *(cell_len(row.cells[place][0]) for row in some)])
        for place, column in enumerate(columns)
    ]
    least = [min(size, column.least or size) for size, column in zip(sizes, columns, strict=True)]
    places = _kept(columns, least, width)
    spare = max(width - _needed(least, places), 0)
    for place in places:
        more = min(spare, sizes[place] - least[place])
        least[place] += more
        spare -= more
    gap = _GAP + (min(spare // (len(places) - 1), _SPREAD) if len(places) > 1 else 0)
    chosen, numbers = [least[place] for place in places], [columns[place].number for place in places]

    def laid(cells: Sequence[Span]) -> Line:
        return fitted(_laid([cells[place] for place in places], chosen, numbers, gap), width)

    head = laid([(column.title, "dim") for column in columns])
    return Drawing((head,), [(row.key, laid(row.cells)) for row in some])


def _kept(columns: Sequence[Column], sizes: Sequence[int], width: int) -> list[int]:
    """Return the places of the columns that there is room for."""
    places = list(range(len(columns)))
    while _needed(sizes, places) > width and any(columns[place].sacrifice for place in places):
        places.remove(max(places, key=lambda place: columns[place].sacrifice))
    return places


def _needed(sizes: Sequence[int], places: Sequence[int]) -> int:
    return sum(sizes[place] for place in places) + _GAP * (len(places) - 1)


def _laid(cells: Sequence[Span], sizes: Sequence[int], numbers: Sequence[bool], gap: int) -> Line:
    line: list[Span] = []
    for place, ((words, meaning), size, number) in enumerate(zip(cells, sizes, numbers, strict=True)):
        if place:
            line.append((" " * gap, ""))
        space = size - cell_len(words)
        if space < 0:
            line += fitted(((words, meaning),), size)
        elif number:
            line += [(" " * space, ""), (words, meaning)]
        else:
            line += [(words, meaning), (" " * space, "")]
    return tuple(line)


def count(number: float, *, about: bool = False) -> str:
    """Return a count in few characters: `0`, `12,345`, `10.3M`; `~` says that it was estimated."""
    sign = "~" if about and number else ""
    if number >= _BILLION:
        return f"{sign}{number / _BILLION:.1f}G"
    return f"{sign}{number / _MILLION:.1f}M" if number >= _MILLION else f"{sign}{number:,.0f}"


def rate(number: float) -> str:
    """Return how many a second in few characters: `0`, `0.02`, `12.3`, `1,234`."""
    if not number:
        return "0"
    if number < 1:
        return f"{number:.2f}"
    return f"{number:.1f}" if number < _TENTHS else count(number)


def took(seconds: float | None) -> str:
    """Return how long a delivery took: `41 ms`, `1.2 s`, `45 s`."""
    if seconds is None:
        return "-"
    if seconds < 1:
        return f"{seconds * 1_000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 - as above


def ago(seconds: float | None) -> str:
    """Return how long, by its greatest two units: `3s`, `4m 10s`, `2h 5m`, `3d 4h`."""
    if seconds is None:
        return "-"
    whole = int(max(seconds, 0))
    for unit, size, smaller, part in (("d", 86_400, "h", 3_600), ("h", 3_600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size}{unit} {rest}{smaller}" if rest else f"{whole // size}{unit}"
    return f"{whole}s"
