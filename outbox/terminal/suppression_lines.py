"""Suppressions as lines of a file: CSV with a header, or a JSON object a line."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.config.problems import nearest
from outbox.errors import InvalidSuppression
from outbox.queue.entry import Entry, Key
from outbox.queue.load import COLUMNS
from outbox.terminal.moments import read_moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TextIO

    from outbox.suppressions import Suppression

_NEEDED = ("channel", "recipient", "reason")
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Problem(NamedTuple):
    """What is wrong with a line of a file."""

    line: int
    words: str

    def __str__(self) -> str:
        """Say where it is, and what is wrong with it."""
        return f"line {self.line:,}: {self.words}"


def read(source: TextIO, defaults: Mapping[str, str]) -> Iterator[str | Problem]:
    """Yield each suppression as a line of the COPY of `outbox.queue.load`, or what is wrong with it.

    What a line does not say, `defaults` do. A problem of the header is the only thing that is yielded.
    """
    first = next((line for line in enumerate(source, 1) if line[1].strip()), None)
    if first is None:
        yield Problem(1, "the file is empty: a CSV begins with a header such as channel,recipient,reason")
        return
    number, line = first[0], first[1].removeprefix("\ufeff")
    objects = _objects if line.lstrip().startswith("{") else _records
    for at, given in objects(chain([line], source), number, defaults):
        yield given if isinstance(given, Problem) else _checked(at, given, defaults)


def _objects(
    lines: Iterable[str], first: int, _defaults: Mapping[str, str]
) -> Iterator[tuple[int, Mapping[str, Any] | Problem]]:
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
        elif unknown := [name for name in given if name not in COLUMNS]:
            yield number, Problem(number, f"{unknown[0]} is not a known key; {nearest(unknown[0], COLUMNS)}")
        else:
            yield number, given


def _records(
    lines: Iterable[str], first: int, defaults: Mapping[str, str]
) -> Iterator[tuple[int, Mapping[str, Any] | Problem]]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader)]
        if problem := _wrong_header(header, defaults):
            yield first, Problem(first, problem)
            return
        for row in reader:
            number = first + reader.line_num - 1
            if not row:
                continue
            if len(row) != len(header):
                yield number, Problem(number, f"has {len(row)} fields, and the header has {len(header)}")
            else:
                yield number, dict(zip(header, row, strict=True))
    except csv.Error as error:
        number = first + reader.line_num - 1
        yield number, Problem(number, f"is not CSV: {error}")


def _wrong_header(header: list[str], defaults: Mapping[str, str]) -> str | None:
    for name in header:
        if name not in COLUMNS:
            return f"the header's {name!r} is not a known column; {nearest(name, COLUMNS)}"
        if header.count(name) > 1:
            return f"the header has {name} twice"
    missing = [name for name in _NEEDED if name not in header and name not in defaults]
    options = "".join(f", or give --{name}" for name in missing if name != "recipient")
    return f"the header lacks {' and '.join(missing)}: write it{options}" if missing else None


def _checked(number: int, given: Mapping[str, Any], defaults: Mapping[str, str]) -> str | Problem:
    told = {name: value for name, value in given.items() if value is not None and value != ""}
    value = {**defaults, **told}.get
    try:
        key = Key.of(value("channel"), value("recipient"), value("topic"), value("sender"))
        until, since = _moment("until", value("until")), _moment("created_at", value("created_at"))
        entry = Entry.of(key, value("reason"), value("source"), until)
        if since is not None and since > datetime.now(UTC):
            raise InvalidSuppression("created_at", "lies in the future: it is since when they are suppressed")  # noqa: TRY301 - found like the others
    except InvalidSuppression as error:
        return Problem(number, str(error))
    texts = (*key, entry.reason, entry.source, since.isoformat() if since else None, entry.until)
    return "\t".join(["" if text is None else text.translate(_ESCAPED) for text in texts]) + "\n"


def _moment(field: str, text: Any) -> datetime | None:
    if text is None:
        return None
    try:
        return read_moment(str(text))
    except ValueError as error:
        raise InvalidSuppression(field, str(error)) from None


def write_csv(items: Iterable[Suppression], target: TextIO) -> None:
    """Write suppressions as CSV, in the form that `read` reads."""
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in items:
        writer.writerow(_texts(one))


def write_json(items: Iterable[Suppression], target: TextIO) -> None:
    """Write suppressions as JSON, an object a line; what stands for nothing is left out."""
    for one in items:
        told = {name: text for name, text in zip(COLUMNS, _texts(one), strict=True) if text is not None}
        target.write(json.dumps(told, ensure_ascii=False) + "\n")


def _texts(one: Suppression) -> list[str | None]:
    since, until = _plain(one.created_at), _plain(one.until) if one.until else None
    return [one.channel, one.recipient, one.topic, one.sender, one.reason, one.source, since, until]


def _plain(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
