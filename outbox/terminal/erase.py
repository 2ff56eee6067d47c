"""`outbox erase` as people see it: told and asked before, in a transaction for each day."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, astuple, replace
from typing import TYPE_CHECKING, Any

import typer

from outbox.errors import ConfigError, InvalidNotification
from outbox.messages import Erased
from outbox.queue.draft import check_channel
from outbox.queue.erase import (
    Person,
    Slice,
    count_slice,
    count_suppressions,
    erase_keys,
    erase_slice,
    erase_suppressions,
    list_slices,
)
from outbox.telling.words import counted
from outbox.terminal.actor import write_down
from outbox.terminal.output import done, note, print_json, say, warn
from outbox.terminal.progress import bar
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from psycopg import Connection

_NOTHING = Erased(0, 0, 0, 0, 0, 0, 0, 0)
_LONGEST_WAIT = 60.0
_PAUSE = 0.2


def run(url: str, options: Mapping[str, Any]) -> int:
    """Erase what is stored about one person, after asking; 1 if some of it was still being sent after a minute.

    Raises:
        ConfigError: the recipient is empty, the channel is none, or there is nobody to ask, and it is not sure.
    """
    suppressions: bool = options["suppressions"]
    if not (options["dry_run"] or options["sure"] or sys.stdin.isatty()):
        raise ConfigError(["erase asks before it removes anything, and there is nobody to ask: add --yes"])
    person = _person(options["recipient"], options["channel"])
    with writing(url) as conn:
        slices = list_slices(conn)
        conn.commit()
        if options["dry_run"]:
            found, suppressed = _count(conn, person, slices), count_suppressions(conn, person)
            _foretell(found, suppressed if suppressions else 0, as_json=options["json"])
            return 0
        if not options["sure"] and not _agreed(conn, person, slices, suppressions=suppressions):
            return FAILED
        erased = _erase(conn, person, slices, suppressions=suppressions)
        left = count_suppressions(conn, person)
    if options["json"]:
        print_json({"erased": _document(erased), "leased": erased.leased, "suppressions_left": left})
    else:
        _tell(person, erased, left)
    return FAILED if erased.leased else 0


def _person(recipient: str, channel: str | None) -> Person:
    try:
        return Person(recipient, None if channel is None else check_channel(channel))
    except InvalidNotification as error:
        raise ConfigError([f"--{error.field}: {error.problem}"]) from None
    except ValueError as error:
        raise ConfigError([f"--recipient: {error}"]) from None


def _sum(counts: Iterable[Erased]) -> Erased:
    return Erased(*map(sum, zip(astuple(_NOTHING), *map(astuple, counts), strict=True)))


def _count(conn: Connection[Any], person: Person, slices: Sequence[Slice]) -> Erased:
    counts = []
    with bar("looking", len(slices)) as advance:
        for each in slices:
            counts.append(count_slice(conn, person, each))
            conn.commit()
            advance(1)
    return _sum(counts)


def _erase(conn: Connection[Any], person: Person, slices: Sequence[Slice], *, suppressions: bool) -> Erased:
    subject = f"person:{person.channel}" if person.channel else "person"  # nothing of whom: the audit is kept for good
    write_down(conn, action="erase", subject=subject, details={"begun": True})  # with the first day
    erased = asdict(_erase_slices(conn, person, slices))
    erased["idempotency_keys"] += _erase_keys(conn, person)
    if suppressions:
        erased["suppressions"] += erase_suppressions(conn, person)
    write_down(conn, action="erase", subject=subject, details=erased)
    conn.commit()
    return Erased(**erased)


def _erase_slices(conn: Connection[Any], person: Person, slices: Sequence[Slice]) -> Erased:
    """Erase a day in a transaction, again where something was being sent; what still is, is counted once."""
    counts: list[Erased] = []
    leased: dict[Slice, int] = {}

    def once(each: Slice) -> None:
        erased = erase_slice(conn, person, each)
        conn.commit()
        counts.append(erased)
        leased[each] = erased.leased

    with bar("erasing", len(slices)) as advance:
        for each in slices:
            once(each)
            advance(1)
    deadline = time.monotonic() + _LONGEST_WAIT
    while any(leased.values()) and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        for each in [each for each, count in leased.items() if count]:
            once(each)
    return replace(_sum(counts), leased=sum(leased.values()))


def _erase_keys(conn: Connection[Any], person: Person) -> int:
    page: int | None = 0
    keys = 0
    while page is not None:
        found, page = erase_keys(conn, person, page)
        conn.commit()
        keys += found
    return keys


def _agreed(conn: Connection[Any], person: Person, slices: Sequence[Slice], *, suppressions: bool) -> bool:
    found = _count(conn, person, slices)
    kept = count_suppressions(conn, person)
    conn.commit()  # no transaction stays open while a person thinks
    for sentence in _sentences(found, kept if suppressions else 0):
        typer.echo(sentence, err=True)
    return typer.confirm(f"Erase what is stored about {person.recipient}? This cannot be undone.", err=True)


def _foretell(found: Erased, suppressions: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"would_erase": _document(found) | {"suppressions": suppressions}, "leased": found.leased})
        return
    for sentence in _sentences(found, suppressions):
        say(sentence)


def _sentences(found: Erased, suppressions: int) -> list[str]:
    told = [
        f"would erase {counted(found.notifications, 'notification')}"
        + (f", {found.cancelled:,} of which still wait and would not be sent" if found.cancelled else ""),
        *(
            f"would erase {counted(number, noun)}"
            for number, noun in (
                (found.dead_letters, "dead letter"),
                (found.inbox, "notification in the inbox"),
                (suppressions, "suppression"),
            )
            if number
        ),
    ]
    if found.leased:
        told.append(f"{found.leased:,} more being sent this moment, which would be waited for")
    return told


def _document(erased: Erased) -> dict[str, int]:
    return {name: number for name, number in asdict(erased).items() if name != "leased"}


def _tell(person: Person, erased: Erased, left: int) -> None:
    removed = (
        (erased.dead_letters, "dead letter"),
        (erased.inbox, "message of the inbox"),
        (erased.suppressions, "suppression"),
    )
    words = [counted(number, noun) for number, noun in removed if number]
    if erased.notifications or words:
        waited = f" ({erased.cancelled:,} of them still waited)" if erased.cancelled else ""
        rest = "".join(f", {word}" for word in words)
        done(f"erased {counted(erased.notifications, 'notification')}{waited}{rest}")
    elif not (erased.leased or erased.idempotency_keys):
        say(f"nothing was stored about {person.recipient}")
    if erased.attempts:
        note(f"kept: {counted(erased.attempts, 'attempt')}, without what the providers said")
    if erased.idempotency_keys:
        note(f"kept: digests of {counted(erased.idempotency_keys, 'idempotency key')}, which let no second one through")
    if left:
        note(f"kept: {counted(left, 'suppression')}, so that nobody contacts them; --suppressions removes these too")
    if erased.leased:
        warn(f"{erased.leased:,} still being sent, and not erased: run this again")
