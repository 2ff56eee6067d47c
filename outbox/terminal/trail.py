"""`outbox audit` as people see it: who did what by hand, and when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from outbox.durations import parse
from outbox.errors import ConfigError
from outbox.queue.audit import list_audit
from outbox.telling.words import moment
from outbox.terminal.output import Column, note, print_json, print_table, say
from outbox.terminal.progress import waiting
from outbox.terminal.session import reading

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.queue.audit import Entry

_COLUMNS = (
    Column("when", "whole"),
    Column("who", "whole"),
    Column("did", "whole"),
    Column("to", "whole"),
    Column("why", "cut"),
    Column("details", "cut"),
)
_FEW = 3


def show(url: str, given: Mapping[str, Any]) -> int:
    """Print what people did, the newest first.

    Raises:
        ConfigError: `--since` is no duration.
    """
    try:
        since = None if given["since"] is None else timedelta(seconds=parse(given["since"]))
    except ValueError as error:
        raise ConfigError([f"--since: {error}"]) from None
    with waiting("reading the audit"), reading(url) as conn:
        entries = list_audit(
            conn,
            subject=given["subject"],
            actor=given["actor"],
            actions=given["action"] or (),
            since=since,
            limit=given["limit"],
        )
    if given["json"]:
        print_json({"entries": [_document(entry) for entry in entries]})
    elif entries:
        print_table(_COLUMNS, [_row(entry, datetime.now(UTC)) for entry in entries])
    else:
        say("nobody did anything of that kind")
    if len(entries) == given["limit"]:
        note(f"these are the newest {given['limit']:,}; --limit shows more")
    return 0


def _row(entry: Entry, now: datetime) -> list[str]:
    said = ((key, value) for key, value in entry.details.items() if value is not None and value is not False)
    details = ", ".join(f"{key} {_short(value)}" for key, value in said)
    return [moment(entry.at, now), entry.actor, entry.action, entry.subject, entry.reason or "", details]


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "at": entry.at,
        "actor": entry.actor,
        "login": entry.login,
        "action": entry.action,
        "subject": entry.subject,
        "reason": entry.reason,
        "details": entry.details,
    }


def _short(value: object) -> str:
    """Return a detail in a few words: of many ids, how many there are."""
    if not isinstance(value, list):
        return str(value)
    return " and ".join(map(str, value)) if len(value) <= _FEW else f"({len(value):,})"
