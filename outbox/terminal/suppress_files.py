"""`outbox suppress import` and `export`: every line is looked at before anything is written."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError
from outbox.queue import load
from outbox.suppressions import page
from outbox.terminal.output import counted, done, note, print_json, say, warn
from outbox.terminal.progress import bar
from outbox.terminal.session import reading, writing
from outbox.terminal.suppression_lines import Problem, read, write_csv, write_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import TextIO
    from uuid import UUID

    from psycopg import Connection

    from outbox.suppressions import Suppression

_SHOWN = 20
_STEP = 1_000
_EXPORTED = 5_000


def take(url: str, file: str, defaults: Mapping[str, str], *, dry_run: bool, as_json: bool) -> int:
    """Add the suppressions of a file, or of standard input for `-`, and end what waits; or only tell.

    Raises:
        ConfigError: the file cannot be read, or some of its lines are wrong; nothing was written then.
    """
    with writing(url) as conn:
        lines = _staged(conn, file, defaults)
        with bar("sorting", None):
            found, new = load.merge(conn)
            waiting = load.count_waiting(conn) if dry_run else 0
        conn.commit()
        told = {"lines": lines, "suppressions": found, "new": new}
        if dry_run:
            _foretell(told | {"waiting": waiting}, as_json=as_json)
            return 0
        told |= {"added": 0, "new": 0, "ended": 0, "in_hand": 0}
        try:
            _load(conn, found, told)
            _sweep(conn, told)
        finally:  # what was committed is told, whatever stopped the rest
            _tell(told, as_json=as_json)
    return 0


def _staged(conn: Connection[Any], file: str, defaults: Mapping[str, str]) -> int:
    """Send every line into a table of this session's; return how many there were."""
    problems: list[Problem] = []
    count = 0

    def sound(source: TextIO, advance: Callable[[int], None]) -> Iterator[str]:
        nonlocal count
        every = read(source, defaults)
        while some := list(islice(every, _STEP)):
            count += len(some)
            advance(len(some))
            problems.extend(line for line in some if isinstance(line, Problem))
            if not problems:
                yield "".join(some)  # type: ignore[arg-type]

    try:
        with _opened(file) as (source, total), bar("reading", total) as advance:
            load.stage(conn, sound(source, advance))
    except UnicodeDecodeError as error:
        raise ConfigError([f"{_name(file)}: is not UTF-8: byte {error.start} cannot be read"]) from None
    if problems:
        more = f" (and {counted(len(problems) - _SHOWN, 'more mistake')})" if len(problems) > _SHOWN else ""
        sentences = [f"{_name(file)}, {problem}" for problem in problems[:_SHOWN]]
        raise ConfigError([*sentences, f"nothing was written: mend these lines, or take them out{more}"])
    return count


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


def _load(conn: Connection[Any], found: int, told: dict[str, int]) -> None:
    with bar("adding", found) as advance:
        while told["added"] < found:
            added, new = load.load(conn, told["added"])
            conn.commit()
            told["added"] += added
            told["new"] += new
            advance(added)


def _sweep(conn: Connection[Any], told: dict[str, int]) -> None:
    with bar("ending what waits", None) as advance:
        last: UUID | None = load.START
        while last is not None:
            swept = load.sweep(conn, last)
            conn.commit()
            told["ended"] += swept.ended
            told["in_hand"] += swept.in_hand
            advance(swept.looked)
            last = swept.last


def _foretell(told: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "lines": told["lines"],
                "would_add": told["suppressions"],
                "new": told["new"],
                "would_end": told["waiting"],
            }
        )
        return
    say(f"would add {counted(told['suppressions'], 'suppression')}, {told['new']:,} of them new")
    if told["waiting"]:
        say(f"would end {counted(told['waiting'], 'notification')} that wait")


def _tell(told: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        print_json({name: told[name] for name in ("lines", "added", "new", "ended", "in_hand")})
        return
    if told["added"] < told["suppressions"]:
        warn(f"{told['suppressions'] - told['added']:,} were not added; run this again, and it goes on")
    done(f"added {counted(told['added'], 'suppression')}, {told['new']:,} of them new")
    if told["ended"]:
        done(f"ended {counted(told['ended'], 'notification')} that waited")
    if told["in_hand"]:
        note(f"{told['in_hand']:,} in workers' hands this moment may still be sent")


def give(url: str, filters: Mapping[str, str | None], *, form: str, output: Path | None) -> int:
    """Write the suppressions that hold now to a file or to standard output, as `import` reads them.

    Raises:
        ConfigError: there is no such format, or the file cannot be written.
    """
    write: Mapping[str, Callable[[Iterator[Suppression], TextIO], None]] = {"csv": write_csv, "json": write_json}
    if form not in write:
        raise ConfigError([f"--format: there is no {form!r}; it is csv or json, an object a line"])
    with reading(url) as conn:
        if output is None:
            write[form](_every(conn, filters), sys.stdout)
            return 0
        try:
            with output.open("w", encoding="utf-8", newline="") as target:
                write[form](_every(conn, filters), target)
        except OSError as error:
            raise ConfigError([f"--output: {output}: cannot be written: {error.strerror}"]) from None
    return 0


def _every(conn: Connection[Any], filters: Mapping[str, str | None]) -> Iterator[Suppression]:
    after = None
    while True:
        found = page(conn, **filters, limit=_EXPORTED, after=after)
        yield from found.items
        if (after := found.next) is None:
            return
