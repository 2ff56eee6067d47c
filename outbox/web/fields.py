"""What people write into the fields of pages, checked: an answer of 400 says what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from starlette.exceptions import HTTPException

from outbox import durations
from outbox.telling.moments import read_end, read_moment
from outbox.web.actions import text

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from starlette.datastructures import FormData
    from starlette.requests import Request

_LONGEST = 200
_LONGEST_NUMBER = 12


def asked(request: Request, name: str) -> str:
    """Return what the address asks for by this name, without the space around it; an empty text if nothing."""
    value = request.query_params.get(name, "").strip()
    if len(value) > _LONGEST or "\0" in value:
        raise HTTPException(400, f"What is asked for as {name} has at most {_LONGEST} characters.")
    return value


def chosen(value: str, known: Collection[str], name: str) -> str:
    """Return one of those that are known, or nothing where nothing was chosen."""
    if value and value not in known:
        raise HTTPException(400, f"There is no such {name}. There are: {', '.join(known)}.")
    return value


def number(value: str, name: str, *, least: float, most: float, default: float) -> float:
    """Return a number within bounds."""
    try:
        found = float(value[:_LONGEST_NUMBER]) if value else default
    except ValueError:
        found = least - 1
    if not least <= found <= most:
        raise HTTPException(400, f"{name} is a number from {least:,g} to {most:,g}.")
    return found


def ago(value: str, name: str) -> float | None:
    """Return the seconds that `24h` is, or None where nothing is given."""
    try:
        return durations.parse(value) if value else None
    except ValueError as error:
        raise HTTPException(400, f"{name}: {error}.") from None


def end(form: FormData, name: str = "until") -> datetime | timedelta | None:
    """Return until when something holds: a moment, how long from now, or None: for good."""
    value = text(form, name, longest=100)
    try:
        return read_end(value) if value else None
    except ValueError as error:
        raise HTTPException(400, f"Until when: {error}.") from None


def place(value: str) -> tuple[datetime, UUID] | None:
    """Return after which row a page begins: `2030-01-31T09:00:00+00:00/ID`, as the page before it said."""
    moment, _, identity = value.partition("/")
    try:
        return (read_moment(moment), UUID(identity)) if value else None
    except ValueError:
        raise HTTPException(400, "There is no page that begins there.") from None
