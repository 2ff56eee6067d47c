"""Files that are imported and exported: every line is looked at before anything is written."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError
from outbox.queue.swept import START
from outbox.telling.words import counted
from outbox.terminal.output import done, note
from outbox.terminal.progress import bar
from outbox.terminal.table_lines import Problem, write_csv, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import TextIO
    from uuid import UUID

    from psycopg import Connection

    from outbox.queue.swept import Swept
    from outbox.terminal.table_lines import Columns

_SHOWN = 20
_STEP = 1_000


def take_in(
    file: str, read: Callable[[TextIO], Iterator[str | Problem]], stage: Callable[[Iterator[str]], None]
) -> int:
    """Give every line of a file, or of standard input for `-`, to `stage`; return how many there were.

    Raises:
        ConfigError: the file cannot be read, or some of its lines are wrong: each of them is named.
    """
    problems: list[Problem] = []
    count = 0

    def sound(source: TextIO, advance: Callable[[int], None]) -> Iterator[str]:
        nonlocal count
        every = read(source)
        while some := list(islice(every, _STEP)):
            count += len(some)
            advance(len(some))
            problems.extend(line for line in some if isinstance(line, Problem))
            if not problems:
                yield "".join(some)  # type: ignore[arg-type]

    try:
        with _opened(file) as (source, total), bar("reading", total) as advance:
            stage(sound(source, advance))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{_name(file)}: is not UTF-8: byte {error.start} cannot be read"]) from None
    if problems:
        more = f" (and {counted(len(problems) - _SHOWN, 'more mistake')})" if len(problems) > _SHOWN else ""
        sentences = [f"{_name(file)}, {problem}" for problem in problems[:_SHOWN]]
        raise ConfigError([*sentences, f"nothing was written: mend these lines, or take them out{more}"])
    return count


def sweep_all(conn: Connection[Any], sweep: Callable[[Connection[Any], UUID], Swept], told: dict[str, int]) -> None:
    """End what must not be sent any more, a page of the queue a transaction; count the `ended` and those `in_hand`."""
    with bar("ending what waits", None) as advance:
        last: UUID | None = START
        while last is not None:
            swept = sweep(conn, last)
            conn.commit()
            told["ended"] += swept.ended
            told["in_hand"] += swept.in_hand
            advance(swept.looked)
            last = swept.last


def tell_swept(told: Mapping[str, int]) -> None:
    """Say what `sweep_all` has counted."""
    if told["ended"]:
        done(f"ended {counted(told['ended'], 'notification')} that waited")
    if told["in_hand"]:
        note(f"{told['in_hand']:,} in workers' hands this moment may still be sent")


@contextmanager
def _opened(file: str) -> Iterator[tuple[TextIO, int | None]]:
    """Open a file, and count its lines; those of standard input nobody knows before."""
    if file == "-":
        yield sys.stdin, None
        return
    try:
        with Path(file).open("rb") as raw:
            count = sum(part.count(b"\n") for part in iter(lambda: raw.read(1 << 20), b""))
        with Path(file).open(encoding="utf-8-sig", newline="") as source:
            yield source, count
    except OSError as error:
        raise ConfigError([f"{file}: cannot be read: {error.strerror}"]) from None


def _name(file: str) -> str:
    return "standard input" if file == "-" else file


def writer(columns: Columns, form: str, output: Path | None) -> Callable[[Iterable[Sequence[str | None]]], None]:
    """Return what writes lines in a form to a file, or to standard output.

    Raises:
        ConfigError: there is no such form; and by what is returned: the file cannot be written.
    """
    forms: Mapping[str, Callable[[Columns, Iterable[Sequence[str | None]], TextIO], None]]
    forms = {"csv": write_csv, "json": write_json}
    if form not in forms:
        raise ConfigError([f"--format: there is no {form!r}; it is csv or json, an object a line"])

    def write(items: Iterable[Sequence[str | None]]) -> None:
        # Lines and a bar on one screen would stand in each other's way.
        seen = sys.stderr.isatty() and not (output is None and sys.stdout.isatty())
        with bar("exporting", None, shown=seen) as advance:
            if output is None:
                forms[form](columns, _told(items, advance), sys.stdout)
                return
            try:
                with output.open("w", encoding="utf-8", newline="") as target:
                    forms[form](columns, _told(items, advance), target)
            except OSError as error:
                raise ConfigError([f"--output: {output}: cannot be written: {error.strerror}"]) from None

    return write


def _told(items: Iterable[Sequence[str | None]], advance: Callable[[int], None]) -> Iterator[Sequence[str | None]]:
    remaining = iter(items)
    while some := list(islice(remaining, _STEP)):
        yield from some
        advance(len(some))
