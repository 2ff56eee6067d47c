"""PostgreSQL's array literals, written at once: a driver's dumper takes each element by itself, ten times as slowly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


def plain(values: Iterable[object]) -> str:
    """Return the literal of values whose text needs no quotes: numbers, uuids."""
    return "{" + ",".join(map(str, values)) + "}"


def texts(values: Collection[str | None]) -> str:
    """Return the literal of texts; None is NULL. Where few are different, as providers are, each is quoted once."""
    quoted = {value: "NULL" if value is None else _quoted(value) for value in set(values)}
    return "{" + ",".join(map(quoted.__getitem__, values)) + "}"


def quoted(values: Iterable[str]) -> str:
    """Return the literal of texts that need quotes, and have none, nor backslashes: rows, places."""
    return '{"' + '","'.join(values) + '"}'


def octets(values: Iterable[bytes | None]) -> str:
    """Return the literal of bytes; None is NULL."""
    return "{" + ",".join(["NULL" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
