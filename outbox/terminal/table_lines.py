"""A table as lines of a file: CSV with a header, or a JSON object a line."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.config.problems import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import TextIO, TypeAlias

    Values: TypeAlias = list[Any]


class Columns(NamedTuple):
    """The columns of a table, which of them a file must have, and which of these an option can stand for."""

    every: Sequence[str]
    needed: Sequence[str]
    optional: Sequence[str]


class Problem(NamedTuple):
    """What is wrong with a line of a file."""

    line: int
    words: str

    def __str__(self) -> str:
        """Say where it is, and what is wrong with it."""
        return f"line {self.line:,}: {self.words}"


def read(source: TextIO, columns: Columns, defaults: Mapping[str, str]) -> Iterator[tuple[int, Values | Problem]]:
    """Yield each line's number and the values of its columns, or what is wrong with it.

    What a line does not say, `defaults` do. A problem of the header is the only thing that is yielded.
    """
    first = next((line for line in enumerate(source, 1) if line[1].strip()), None)
    if first is None:
        yield 1, Problem(1, f"the file is empty: a CSV begins with a header such as {','.join(columns.needed)}")
        return
    number, line = first[0], first[1].removeprefix("\ufeff")
    values = _of_objects if line.lstrip().startswith("{") else _of_records
    yield from values(chain([line], source), number, columns, defaults)


def _of_objects(
    lines: Iterable[str], first: int, columns: Columns, defaults: Mapping[str, str]
) -> Iterator[tuple[int, Values | Problem]]:
    for number, line in enumerate(lines, first):
        if not line.strip():
            continue
        try:
            given = json.loads(line)
        except (ValueError, RecursionError):
            yield number, Problem(number, "is not JSON; each line is an object of its own")
            continue
        if not isinstance(given, dict):
            yield number, Problem(number, 'is not a JSON object such as {"channel": "email", "recipient": …}')
        elif unknown := [name for name in given if name not in columns.every]:
            yield number, Problem(number, f"{unknown[0]} is not a known key; {nearest(unknown[0], columns.every)}")
        else:
            values = (given.get(name) for name in columns.every)
            yield (
                number,
                [
                    defaults.get(name) if value in (None, "") else value
                    for name, value in zip(columns.every, values, strict=True)
                ],
            )


def _of_records(
    lines: Iterable[str], first: int, columns: Columns, defaults: Mapping[str, str]
) -> Iterator[tuple[int, Values | Problem]]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader)]
        if problem := _wrong_header(header, columns, defaults):
            yield first, Problem(first, problem)
            return
        # One more field, which is empty, stands for the columns that the file does not have.
        places = [(header.index(name) if name in header else len(header), defaults.get(name)) for name in columns.every]
        for row in reader:
            number = first + reader.line_num - 1
            if len(row) == len(header):
                row.append("")
                yield number, [row[place] or default for place, default in places]
            elif row:
                yield number, Problem(number, f"has {len(row)} fields, and the header has {len(header)}")
    except csv.Error as error:
        number = first + reader.line_num - 1
        yield number, Problem(number, f"is not CSV: {error}")


def _wrong_header(header: list[str], columns: Columns, defaults: Mapping[str, str]) -> str | None:
    for name in header:
        if name not in columns.every:
            return f"the header's {name!r} is not a known column; {nearest(name, columns.every)}"
        if header.count(name) > 1:
            return f"the header has {name} twice"
    missing = [name for name in columns.needed if name not in header and name not in defaults]
    options = "".join(f", or give --{name}" for name in missing if name in columns.optional)
    return f"the header lacks {' and '.join(missing)}: write it{options}" if missing else None


def copied(values: Iterable[str | None]) -> str:
    """Return the line of a COPY that has these values, which have no control characters."""
    return "\t".join([value or "" for value in values]).replace("\\", "\\\\") + "\n"


def write_csv(columns: Columns, items: Iterable[Sequence[str | None]], target: TextIO) -> None:
    """Write lines as CSV, in the form that `read` reads."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns.every)
    writer.writerows(items)


def write_json(columns: Columns, items: Iterable[Sequence[str | None]], target: TextIO) -> None:
    """Write lines as JSON, an object each; what stands for nothing is left out."""
    for one in items:
        told = {name: text for name, text in zip(columns.every, one, strict=True) if text is not None}
        target.write(json.dumps(told, ensure_ascii=False) + "\n")


def plain(moment: datetime) -> str:
    """Return a moment as files have it, in UTC."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
