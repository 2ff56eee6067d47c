"""`outbox dead-letters list` and `show` as people see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from outbox.errors import clean
from outbox.queue.dead_letters import list_dead_letters, show_dead_letter
from outbox.queue.story import list_attempts
from outbox.telling.words import age
from outbox.terminal.attempts import attempt_document, print_attempts
from outbox.terminal.output import (
    Column,
    json_laid_out,
    json_or_text,
    note,
    print_facts,
    print_json,
    print_table,
    say,
    say_cut,
    width,
)
from outbox.terminal.progress import waiting
from outbox.terminal.session import reading
from outbox.terminal.setup import FAILED, complain, is_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from uuid import UUID

    from outbox.queue.dead_letters import Contents, DeadLetter
    from outbox.queue.letter_selection import Selection
    from outbox.queue.story import Attempt

_COLUMNS = (
    Column("id", "whole"),
    Column("died", "whole"),
    Column("channel", "whole"),
    Column("recipient", "cut"),
    Column("reason", "whole"),
    Column("error", "cut"),
)
_WIDE = 120
_RESOLUTION = Column("resolution", "whole")


def list_newest(url: str, selection: Selection, *, limit: int, resolved: bool, as_json: bool) -> int:
    """Print the newest dead letters, those no longer open too if `resolved`. Not what the messages said."""
    with waiting("looking for dead letters"), reading(url) as conn:
        letters, total = list_dead_letters(conn, selection, limit=limit, resolved=resolved)
    if as_json:
        print_json({"dead_letters": [asdict(letter) for letter in letters], "total": total})
        return 0
    which = "dead letter" if resolved else "open dead letter"
    if not letters:
        note(f"no {which} matches")
        return 0
    columns = (*_COLUMNS, _RESOLUTION) if resolved else _COLUMNS
    rows = [_row(letter)[: len(columns)] for letter in letters]
    if is_terminal() and width() < _WIDE:
        for row in rows:
            _print_narrow(row)
    else:
        print_table(columns, rows)
    if total > len(letters):
        note(f"the newest {len(letters):,} of {total:,}; --limit shows more")
    note("those that failed for the same reason, as one: outbox dead-letters groups")
    note("all of one: outbox dead-letters show ID; deliver it after all: outbox dead-letters replay ID")
    return 0


def _print_narrow(row: Sequence[str]) -> None:
    """Print a row in two lines, for the terminals on which the id alone would leave no room for the rest."""
    identity, died, channel, recipient, reason, error, *resolution = (clean(cell) for cell in row)
    say(Text.assemble((identity, "bold"), "  ", "  ".join([died, channel, reason, *resolution])))
    say_cut(f"    {recipient}: {error}")


def _row(letter: DeadLetter) -> list[str]:
    error = f"{letter.error_code or ''} {letter.error or ''}".strip()
    died = f"{age(letter.died_seconds_ago)} ago"
    return [str(letter.id), died, letter.channel, letter.recipient, letter.reason, error, letter.resolution or "open"]


def show(url: str, id: UUID, *, as_json: bool) -> int:  # noqa: A002 - the name of the column
    """Print all that a dead letter holds, what the message said and the attempts before included."""
    with reading(url) as conn:
        found = show_dead_letter(conn, id)
        attempts = list_attempts(conn, id)
    if found is None:
        complain(f"there is no dead letter {id}; if it is a notification: outbox explain {id}")
        return FAILED
    letter, contents = found
    if as_json:
        print_json(_document(letter, contents, attempts))
    else:
        _print(letter, contents, attempts)
    return 0


def _document(letter: DeadLetter, contents: Contents, attempts: Sequence[Attempt]) -> dict[str, Any]:
    return asdict(letter) | {
        "locale": contents.locale,
        "payload": json_or_text(contents.payload),
        "headers": json_or_text(contents.headers) if contents.headers else None,
        "history": [attempt_document(attempt) for attempt in attempts],
    }


def _print(letter: DeadLetter, contents: Contents, attempts: Sequence[Attempt]) -> None:
    print_facts(_facts(letter, contents))
    say()
    if attempts:
        print_attempts(attempts)
    else:
        say("no attempt is on record: retention has dropped them")
    say()
    for label, text in (("headers", contents.headers), ("payload", contents.payload)):
        if text is not None:
            say(f"{label}:", "dim")
            say(json_laid_out(text))
    if letter.resolution is None:
        note(f"deliver it after all: outbox dead-letters replay {letter.id}")
        note(f"to somebody else, or with another payload: outbox dead-letters edit {letter.id}")
        note(f"or close it: outbox dead-letters discard {letter.id}")
    elif letter.resolution == "discarded":
        note(f"open it again: outbox dead-letters reopen {letter.id}")


def _facts(letter: DeadLetter, contents: Contents) -> list[tuple[str, str | None]]:
    resolved = letter.resolution and letter.resolved_at and f"{letter.resolution} at {_clock(letter.resolved_at)}"
    if resolved and letter.discard_reason:
        resolved = f"{resolved}: {letter.discard_reason}"
    return [
        ("dead letter", str(letter.id)),
        ("channel", letter.channel),
        ("recipient", letter.recipient),
        ("template", letter.template),
        ("locale", contents.locale),
        ("topic", letter.topic),
        ("group key", letter.group_key),
        ("idempotency key", letter.idempotency_key),
        ("priority", str(letter.priority)),
        ("enqueued", _clock(letter.enqueued_at)),
        ("not after", _clock(letter.expires_at) if letter.expires_at else None),
        ("died", f"{_clock(letter.died_at)}, {age(letter.died_seconds_ago)} ago"),
        ("group", letter.group),
        ("reason", letter.reason),
        ("provider", letter.provider),
        ("error class", letter.error_class),
        ("error code", letter.error_code),
        ("error", letter.error),
        ("attempts", str(letter.attempts)),
        ("replays", str(letter.replays)),
        ("state", resolved or "open"),
        ("in its place", f"outbox explain {letter.replaced_by}" if letter.replaced_by else None),
    ]


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S %Z}"
