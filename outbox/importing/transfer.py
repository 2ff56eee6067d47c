"""transfer: a chunk of what waits at a source becomes notifications, and is marked there, whatever dies when."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from outbox.errors import ConfigError, IdempotencyConflict, InvalidNotification
from outbox.importing.source import CannotCarry
from outbox.queue.draft import Draft
from outbox.queue.enqueue_many import enqueue_many

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    from psycopg import Connection

    from outbox.importing.source import Cursor, Entry, Source

Key: TypeAlias = "tuple[str, str]"
AGAIN = "it was imported before, and waits again: see round"
BEHIND = "another with its lock goes first, and runs or stays"
# Held up by nobody, and holding up nobody, for long. It ends with the transaction: a session may be shared by a pooler.
PATIENCE = "SELECT set_config('lock_timeout', '5s', true)"
KNOWN = """
SELECT k.channel, k.key, EXISTS (
    SELECT FROM outbox.attempts a WHERE a.notification_id = k.notification_id AND a.outcome = 'cancelled')
FROM unnest(CAST(%(channels)s AS text[]), CAST(%(keys)s AS text[])) AS given (channel, key)
JOIN outbox.idempotency_keys k ON k.key = given.key AND k.channel = given.channel
"""


@dataclass
class Tally:
    """What became of the rows so far."""

    imported: Counter[str] = field(default_factory=Counter)
    """Tasks that are notifications now, or would be."""
    existing: Counter[str] = field(default_factory=Counter)
    """Tasks that were notifications already, by their idempotency keys; they are marked at the source all the same."""
    left: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Tasks that stay, and why."""
    samples: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    """The first notification of each task."""

    @property
    def looked_at(self) -> int:
        """Return how many rows that is."""
        return self.imported.total() + self.existing.total() + self.left.total()


@dataclass
class Transfer:
    """What waits at a source, on its way. Where `there` is `here`, each step is one transaction."""

    source: Source
    there: Connection[Any]
    here: Connection[Any]
    tally: Tally
    cursor: Cursor = None

    def step(self, limit: int) -> bool:
        """Move the next rows, of `limit` at most, and commit; return whether there were any.

        In one transaction, a row is at the source or a notification, never both nor neither. In two, the notifications
        are committed first: what dies in between leaves rows that are both, and the same again marks these at the
        source, by their idempotency keys. What cannot be marked there is no notification either.
        """
        be_patient(self.there, self.here)
        entries = self.source.take(self.there, self.cursor, limit, lock=True)
        if not entries:
            self.here.rollback()
            self.there.rollback()
            return False
        found = translated(self.source, entries, self.tally)
        known = find_known(self.here, [each for _, given in found.values() for each in given])
        for entry, _ in [each for each in found.values() if self._waits_again(each[1], known)]:
            del found[entry.id]
            self.tally.left[entry.task, AGAIN] += 1
        # Last, when it is known which others stay.
        for identity in self.source.behind(self.there, [entry for entry, _ in found.values()]) if found else ():
            entry, _ = found.pop(identity)
            self.tally.left[entry.task, BEHIND] += 1
        created = enqueue_new(self.here, [each for _, given in found.values() for each in given], known)
        if found:
            self.source.mark(self.there, list(found))
        self.here.commit()
        self.there.commit()
        for entry, given in found.values():
            its = created.intersection(map(key_of, given))
            created -= its  # the second of two that have the same key was there already
            (self.tally.imported if its else self.tally.existing)[entry.task] += 1
        self.cursor = entries[-1].cursor
        return True

    def _waits_again(self, given: Sequence[dict[str, Any]], known: Mapping[Key, bool]) -> bool:
        """Tell whether a row was imported, and somebody has made it wait again since: that was meant to be sent.

        In one transaction it cannot wait otherwise. In two it can, unless what it became was cancelled.
        """
        its = [key_of(each) for each in given if key_of(each)[1].startswith(f"{self.source.name}:")]
        return any(known.get(key, False) or (key in known and self.here is self.there) for key in its)


def be_patient(*connections: Connection[Any]) -> None:
    """Begin a transaction that waits for a lock for some seconds at most."""
    for conn in {id(conn): conn for conn in connections}.values():
        conn.execute(PATIENCE)


def foresee(source: Source, there: Connection[Any], after: Cursor, limit: int, tally: Tally) -> Cursor:
    """Look at the next rows, and tell what would become of them; lock and write nothing."""
    entries = source.take(there, after, limit, lock=False)
    if not entries:
        return None
    found = translated(source, entries, tally)
    for entry, given in found.values():
        tally.imported[entry.task] += 1
        tally.samples.setdefault(entry.task, given[0])
    return entries[-1].cursor


def translated(
    source: Source, entries: Iterable[Entry], tally: Tally
) -> dict[int, tuple[Entry, Sequence[dict[str, Any]]]]:
    """Return what each row becomes; those that cannot become anything are counted."""
    found = {}
    for entry in entries:
        try:
            given = source.translate(entry)
            for each in given:
                Draft.of(each)
        except CannotCarry as error:
            tally.left[entry.task, str(error)] += 1
        except InvalidNotification as error:
            tally.left[entry.task, f"{error.field}: {error.problem}"] += 1
        else:
            found[entry.id] = entry, given
    return found


def find_known(conn: Connection[Any], given: Sequence[dict[str, Any]]) -> dict[Key, bool]:
    """Return those keys that stand for a notification already, and whether that was cancelled."""
    keys = list(map(key_of, given))
    parameters = {"channels": [channel for channel, _ in keys], "keys": [key for _, key in keys]}
    return {(channel, key): cancelled for channel, key, cancelled in conn.execute(KNOWN, parameters)}


def enqueue_new(conn: Connection[Any], given: Sequence[dict[str, Any]], known: Container[Key]) -> set[Key]:
    """Enqueue what is not known, whatever it says by now; return the channels and keys of what is new.

    Raises:
        ConfigError: a topic is not declared.
    """
    first = {key_of(each): each for each in reversed(given)}
    waiting = [first[key] for key in dict.fromkeys(map(key_of, given)) if key not in known]
    while waiting:
        try:
            with conn.transaction():
                done = enqueue_many(conn, waiting)
        except IdempotencyConflict as conflict:  # it was erased, or is somebody else's and was committed a moment ago
            waiting = [each for each in waiting if key_of(each) != (conflict.channel, conflict.key)]
        except InvalidNotification as error:  # each was checked before, but for its topic, which the database knows
            raise ConfigError([f"mapping: {error.field.partition('.')[2]}: {error.problem}"]) from None
        else:
            return {key_of(each) for each, one in zip(waiting, done, strict=True) if one.created}
    return set()


def key_of(given: Mapping[str, Any]) -> Key:
    """Return what there is one notification of: channel and idempotency key."""
    return given["channel"], given["idempotency_key"]
