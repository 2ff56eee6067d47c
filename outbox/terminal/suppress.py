"""`outbox suppress add`, `remove` and `list` as people see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError, InvalidSuppression
from outbox.queue.entry import Key
from outbox.queue.suppress import add as put
from outbox.queue.unsuppress import lift
from outbox.reasons import STRONG
from outbox.suppressions import page
from outbox.telling.moments import read_end
from outbox.telling.words import counted
from outbox.terminal.actor import write_down
from outbox.terminal.output import Column, done, note, print_json, print_table, say, warn
from outbox.terminal.session import reading, writing
from outbox.terminal.setup import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from outbox.messages import Removed
    from outbox.suppressions import Suppression

_COLUMNS = (
    Column("channel", "whole"),
    Column("recipient", "cut"),
    Column("topic", "whole"),
    Column("sender", "whole"),
    Column("reason", "whole"),
    Column("source", "cut"),
    Column("since", "whole"),
    Column("until", "whole"),
)


def add(url: str, options: Mapping[str, Any]) -> int:
    """Add one suppression in a transaction of its own, and say what it ended.

    Raises:
        ConfigError: an option was refused; the sentence begins with the option.
    """
    given = {name: options[name] for name in ("channel", "recipient", "topic", "sender", "reason", "source")}
    try:
        with writing(url) as conn:
            added = put(conn, **given, until=_end(options["until"]))
            details = {"reason": options["reason"], "topic": options["topic"] or None, "ended": added.ended}
            write_down(conn, action="suppress", subject=_subject(options["channel"]), details=details)
    except InvalidSuppression as error:
        raise ConfigError([f"--{error.field}: {error.problem}"]) from None
    if options["json"]:
        print_json(asdict(added))
        return 0
    whom = f"{options['recipient']} by {options['channel']}"
    if added.new:
        done(f"{whom} is suppressed: {added.reason}")
    elif added.reason == options["reason"]:
        say(f"{whom} was suppressed already: {added.reason}")
    else:
        say(f"{whom} was suppressed already, and stays so for the stronger reason: {added.reason}")
    if added.ended:
        done(f"ended {counted(added.ended, 'notification')} that waited")
    if added.in_hand:
        warn(f"{added.in_hand:,} in a worker's hands this moment may still be sent")
    return 0


def _end(text: str | None) -> datetime | timedelta | None:
    try:
        return None if text is None else read_end(text)
    except ValueError as error:
        raise ConfigError([f"--until: {error}"]) from None


def remove(url: str, options: Mapping[str, Any]) -> int:
    """Remove one suppression; 1 if there is none, or its reason is strong and nobody insists.

    Raises:
        ConfigError: an option was refused.
    """
    strong: bool = options["strong"]
    try:
        key = Key.of(options["channel"], options["recipient"], options["topic"], options["sender"])
    except InvalidSuppression as error:
        raise ConfigError([f"--{error.field}: {error.problem}"]) from None
    with writing(url) as conn:
        removed = lift(conn, key, spared=() if strong else STRONG)
        if removed.reason is not None:
            details = {"reason": removed.reason, "topic": key.topic}
            write_down(conn, action="unsuppress", subject=_subject(key.channel), details=details)
        conn.commit()
        left = page(conn, channel=key.channel, recipient=key.recipient).items
    if options["json"]:
        print_json({"removed": removed.reason, "kept": [asdict(one) for one in left]})
    else:
        _tell(key, removed, left)
    return FAILED if removed.reason is None else 0


def _subject(channel: str) -> str:
    """Return what the audit calls it, which is kept for good: nothing of whom it is about."""
    return f"suppression:{channel}"


def _tell(key: Key, removed: Removed, left: Any) -> None:
    if removed.reason is not None:
        done(f"removed: {key.recipient} by {key.channel} ({removed.reason})")
    else:
        say("nothing was removed")
    for one in left:
        its = (one.topic or "", one.sender or "") == (key.topic or "", key.sender or "")
        words = "; --strong removes it all the same" if its else ""
        note(f"still suppressed: {_words(one)}{words}")


def _words(one: Suppression) -> str:
    about = f", --topic {one.topic}" if one.topic else ""
    by = f", --sender {one.sender}" if one.sender else ""
    return f"{one.reason}{about}{by}, since {one.created_at.astimezone():%Y-%m-%d}"


def show(url: str, filters: Mapping[str, str | None], *, limit: int, as_json: bool) -> int:
    """Print the suppressions that hold now, by channel and recipient."""
    with reading(url) as conn:
        found = page(conn, **filters, limit=limit)
    if as_json:
        print_json({"suppressions": [asdict(one) for one in found.items], "more": found.next is not None})
        return 0
    if not found.items:
        note("no suppression matches")
        return 0
    print_table(_COLUMNS, [_row(one) for one in found.items])
    if found.next is not None:
        note(f"the first {counted(limit, 'suppression')}; --limit shows more, and outbox suppress export all of them")
    return 0


def _row(one: Suppression) -> list[str]:
    since = f"{one.created_at.astimezone():%Y-%m-%d}"
    until = f"{one.until.astimezone():%Y-%m-%d %H:%M}" if one.until else "-"
    return [one.channel, one.recipient, one.topic or "-", one.sender or "-", one.reason, one.source, since, until]
