"""Suppressions as lines of a file: CSV with a header, or a JSON object a line."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox.config.problems import nearest
from outbox.errors import InvalidSuppression
from outbox.queue.entry import Entry, Key
from outbox.queue.load import COLUMNS
from outbox.telling.moments import read_moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import TextIO, TypeAlias

    from outbox.suppressions import Suppression

    Values: TypeAlias = list[Any]

_NEEDED = ("channel", "recipient", "reason")


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
    values = _of_objects if line.lstrip().startswith("{") else _of_records
    for at, given in values(chain([line], source), number, defaults):
        yield given if isinstance(given, Problem) else _checked(at, given)


def _of_objects(
    lines: Iterable[str], first: int, defaults: Mapping[str, str]
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
        elif unknown := [name for name in given if name not in COLUMNS]:
            yield number, Problem(number, f"{unknown[0]} is not a known key; {nearest(unknown[0], COLUMNS)}")
        else:
            yield number, [given.get(name) or defaults.get(name) for name in COLUMNS]


def _of_records(
    lines: Iterable[str], first: int, defaults: Mapping[str, str]
) -> Iterator[tuple[int, Values | Problem]]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip().lower() for name in next(reader)]
        if problem := _wrong_header(header, defaults):
            yield first, Problem(first, problem)
            return
        # One more field, which is empty, stands for the columns that the file does not have.
        places = [(header.index(name) if name in header else len(header), defaults.get(name)) for name in COLUMNS]
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


def _wrong_header(header: list[str], defaults: Mapping[str, str]) -> str | None:
    for name in header:
        if name not in COLUMNS:
            return f"the header's {name!r} is not a known column; {nearest(name, COLUMNS)}"
        if header.count(name) > 1:
            return f"the header has {name} twice"
    missing = [name for name in _NEEDED if name not in header and name not in defaults]
    options = "".join(f", or give --{name}" for name in missing if name != "recipient")
    return f"the header lacks {' and '.join(missing)}: write it{options}" if missing else None


def _checked(number: int, values: Values) -> str | Problem:
    channel, recipient, topic, sender, reason, source, since, until = values
    try:
        key = Key.of(channel, recipient, topic, sender)
        entry = Entry.of(key, reason, source, until and _moment("until", until))
        since = since and _past(since)
    except InvalidSuppression as error:
        return Problem(number, str(error))
    texts = (*key, entry.reason, entry.source, since, entry.until)
    # No other character that COPY would read otherwise passes the checks.
    return "\t".join([text or "" for text in texts]).replace("\\", "\\\\") + "\n"


@lru_cache
def _past(text: Any) -> str:
    moment = _moment("created_at", text)
    if moment > datetime.now(UTC):
        raise InvalidSuppression("created_at", "lies in the future: it is since when they are suppressed")
    return moment.isoformat()


def _moment(field: str, text: Any) -> datetime:
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
