"""replay: put dead letters back to be delivered, once what stood in their way is mended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any
from uuid import UUID

from outbox import connections
from outbox.queue.audit import record
from outbox.queue.judge import MAX_REPLAYS, judge
from outbox.queue.letter_selection import named, subject_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from outbox.queue.judge import Verdict
    from outbox.queue.letter_selection import Selection

CHUNK = 1_000
# What happened between judging and writing, by somebody who does not lock dead letters: an INSERT into the queue by
# hand, an enqueue with a key that has expired this moment.
_OVERTAKEN: dict[Verdict, Verdict] = {"replay": "queued", "anew": "key_taken"}

# By itself, so that what follows reads what was committed while this waited: a letter may have been replayed meanwhile,
# and have died of it again. In id order, as every bulk write here: two of them wait for each other, and never deadlock.
LOCK = """
SELECT d.notification_id FROM outbox.dead_letters d
WHERE d.notification_id = ANY (CAST(CAST(:ids AS text[]) AS uuid[])) AND d.resolution IS NULL
ORDER BY d.notification_id
FOR UPDATE
"""

# The claim goes on after the highest there was: it is half of the primary key of attempts, and it fences off whoever
# held an earlier one.
REPLAY = """
WITH queued AS (
    INSERT INTO outbox.queue (id, run_at, claim, priority, channel, ordering_key, unless_read)
    SELECT d.notification_id, statement_timestamp() + make_interval(secs => asked.delay),
           coalesce((SELECT max(a.claim) FROM outbox.attempts a WHERE a.notification_id = d.notification_id), 0),
           d.priority, d.channel, d.ordering_key,
           (SELECT n.unless_read FROM outbox.notifications n WHERE n.id = d.notification_id)
    FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[]), CAST(CAST(:delays AS text[]) AS float8[])) AS asked (id, delay)
    JOIN outbox.dead_letters d ON d.notification_id = asked.id
    ORDER BY d.notification_id
    ON CONFLICT DO NOTHING
    RETURNING id
)
UPDATE outbox.dead_letters d
SET resolution = 'replayed', resolved_at = clock_timestamp(), replays = d.replays + 1
FROM queued
WHERE d.notification_id = queued.id
RETURNING d.notification_id
"""

# What is enqueued anew takes its idempotency key over, else it would be skipped as a duplicate of what it replaces.
FREE_KEYS = """
WITH held AS MATERIALIZED (
    SELECT k.key, k.channel
    FROM outbox.dead_letters d
    JOIN outbox.idempotency_keys k
      ON k.key = d.idempotency_key AND k.channel = d.channel AND k.notification_id = d.notification_id
    WHERE d.notification_id = ANY (CAST(CAST(:ids AS text[]) AS uuid[]))
    ORDER BY k.key COLLATE "C", k.channel COLLATE "C"
    FOR UPDATE OF k
)
DELETE FROM outbox.idempotency_keys k USING held h WHERE k.key = h.key AND k.channel = h.channel RETURNING k.key
"""

# Who took a key since we judged is reported as any other who was overtaken, and undoes nothing. A topic that
# was declared once does, even if it is no longer.
REPORT_CONFLICTS = """
SELECT set_config('outbox.on_conflict', 'report', true), set_config('outbox.any_topic', 'on', true)
"""
RAISE_CONFLICTS = "SELECT set_config('outbox.on_conflict', '', true), set_config('outbox.any_topic', '', true)"

ENQUEUE_ANEW = """
WITH copied AS MATERIALIZED (
    SELECT letter.*, outbox.uuid7() AS new_id
    FROM (
        SELECT d.*, asked.delay
        FROM unnest(CAST(CAST(:ids AS text[]) AS uuid[]), CAST(CAST(:delays AS text[]) AS float8[]))
             AS asked (id, delay)
        JOIN outbox.dead_letters d ON d.notification_id = asked.id
        ORDER BY d.notification_id  -- the new ids come in the order of the old, and so do the places in line
    ) letter
), made AS (
    INSERT INTO outbox.notifications
        (id, run_at, priority, channel, recipient, template, locale, payload, headers, topic, group_key,
         idempotency_key, ordering_key, time_zone, expires_at, unless_read, unless_sent)
    SELECT c.new_id, statement_timestamp() + make_interval(secs => c.delay), c.priority, c.channel, c.recipient,
           c.template, c.locale, c.payload, c.headers, c.topic, c.group_key, c.idempotency_key, c.ordering_key,
           c.time_zone, c.expires_at, c.unless_read, c.unless_sent
    FROM copied c
    ORDER BY c.idempotency_key COLLATE "C", c.channel COLLATE "C", c.new_id
    RETURNING id
)
UPDATE outbox.dead_letters d
SET resolution = 'replayed', resolved_at = clock_timestamp(), replays = d.replays + 1, replaced_by = made.id
FROM made
JOIN copied c ON c.new_id = made.id
WHERE d.notification_id = c.notification_id
RETURNING d.notification_id, c.new_id
"""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What `replay` did: `ids` are back in the queue, `anew` maps others to their new ids, `skipped` to why not."""

    ids: tuple[UUID, ...]
    anew: Mapping[UUID, UUID]
    skipped: Mapping[UUID, Verdict]

    def __len__(self) -> int:
        """Return how many will be delivered again."""
        return len(self.ids) + len(self.anew)


def replay(
    conn: Any,
    ids: Iterable[UUID | str],
    *,
    rate: float | None = None,
    after: float = 0.0,
    max_replays: int | None = MAX_REPLAYS,
    actor: str | None = None,
    reason: str | None = None,
    selected: Selection | None = None,
) -> Replayed:
    """Put dead letters back to be delivered, with all their attempts before them, in the transaction that `conn` is in.

    Each is locked until that transaction ends, so give it a thousand at a time and commit. What is not an open dead
    letter is left alone, and reported. One that dies again is an open dead letter again.

    Args:
        conn: any synchronous connection that `enqueue` takes.
        ids: of the dead letters' notifications, in the order to deliver them.
        rate: how many of them become due in a second; without it, all at once.
        after: seconds until the first is due.
        max_replays: what was replayed so often is left alone, `too_often`; None replays it again.
        actor: who does it, for the audit; without one, nothing is written there.
        reason: why, in their words.
        selected: what the ids were found by: the audit's subject, in the place of the ids.

    Raises:
        ValueError: an id is no UUID, or the rate is not above zero.
        NotInTransaction, NotMigrated: as `enqueue`.
    """
    if rate is not None and not rate > 0:
        raise ValueError(f"a rate is above zero, not {rate}")
    put_back: list[UUID] = []
    anew: dict[UUID, UUID] = {}
    skipped: dict[UUID, Verdict] = {}
    for chunk in _chunks(ids):
        already = len(put_back) + len(anew)
        delays = ((after + place / (rate or float("inf"))) for place in count(already))
        moved, copied, left = _replay_chunk(conn, chunk, delays, max_replays)
        put_back += moved
        anew |= copied
        skipped |= left
    replayed = Replayed(tuple(put_back), anew, skipped)
    if actor is not None and len(replayed):
        _write_down(conn, replayed, actor, reason, selected)
    return replayed


def _replay_chunk(
    conn: Any, chunk: Sequence[UUID], moments: Iterable[float], max_replays: int | None
) -> tuple[list[UUID], dict[UUID, UUID], dict[UUID, Verdict]]:
    locked = {UUID(str(row[0])) for row in connections.run(conn, LOCK, {"ids": _texts(chunk)})}
    verdicts = {judged.id: judged.verdict for judged in judge(conn, chunk, max_replays=max_replays)}
    # One that has died again since then is locked by nobody: to write it now would be out of order.
    chosen = [identity for identity, verdict in verdicts.items() if verdict in _OVERTAKEN and identity in locked]
    delays = dict(zip(chosen, moments, strict=False))
    moved = {UUID(str(row[0])) for row in connections.run(conn, REPLAY, _parameters(verdicts, "replay", delays))}
    copied = _enqueue_anew(conn, _parameters(verdicts, "anew", delays))
    left = {identity: why for identity, why in verdicts.items() if identity not in moved and identity not in copied}
    skipped = {identity: _OVERTAKEN.get(why, why) for identity, why in left.items()}
    return [identity for identity in chosen if identity in moved], copied, skipped


def _write_down(conn: Any, replayed: Replayed, actor: str, reason: str | None, selected: Selection | None) -> None:
    ids = [*replayed.ids, *replayed.anew]
    details: dict[str, object] = {
        "replayed": len(ids),
        "anew": len(replayed.anew),
        "left_alone": Counter(replayed.skipped.values()),
    }
    record(
        conn,
        actor=actor,
        action="replay",
        subject=subject_of(ids, selected),
        reason=reason,
        details=details | named(ids),
    )


def _enqueue_anew(conn: Any, parameters: dict[str, list[str | None]]) -> dict[UUID, UUID]:
    if not parameters["ids"]:
        return {}
    connections.run(conn, FREE_KEYS, {"ids": parameters["ids"]})
    connections.run(conn, REPORT_CONFLICTS, {})
    made = connections.run(conn, ENQUEUE_ANEW, parameters)
    connections.run(conn, RAISE_CONFLICTS, {})
    return {UUID(str(old)): UUID(str(new)) for old, new in made}


def _parameters(
    verdicts: Mapping[UUID, Verdict], wanted: Verdict, delays: Mapping[UUID, float]
) -> dict[str, list[str | None]]:
    ids = [identity for identity in delays if verdicts[identity] == wanted]
    return {"ids": _texts(ids), "delays": _texts(delays[identity] for identity in ids)}


def _chunks(ids: Iterable[UUID | str]) -> Iterator[list[UUID]]:
    each = list(dict.fromkeys(UUID(str(given)) for given in ids))
    for start in range(0, len(each), CHUNK):
        yield each[start : start + CHUNK]


def _texts(values: Iterable[object]) -> list[str | None]:
    return [str(value) for value in values]
