"""What a message may cost the server: bytes of WAL, and no multixacts, retries and renewals included."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg

import outbox
from outbox.errors import Rejected, Temporary
from outbox.queue.renew import renew
from tests.chaos.scenario import scenario
from tests.hands import claim, enqueue, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from outbox.messages import Notification
    from tests.chaos.stage import Stage

_BATCH = 10
_PAYLOAD = {"subject": "Your order", "text": "x" * 260}
_BYTES_A_MESSAGE = 2_500
_BYTES_A_RENEWAL = 200
_HELD = 500
_WARM_UP = 200


@scenario(40, "messages are counted in bytes of WAL and in multixacts", own_cluster=True)
def wal_and_multixacts(stage: Stage) -> None:
    count = stage.pick(reduced=1_000, full=100_000)
    renewals = stage.pick(reduced=10, full=100)
    # Autovacuum and timed checkpoints write WAL by the clock, not by the message.
    stage.cluster({"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "8GB", "shared_buffers": "256MB"})
    multixacts = _checkpoint(stage.url)
    provider = _Unsteady()
    # The first to touch a page after a checkpoint writes all of it: not by the message, either.
    _enqueue(stage.url, range(_WARM_UP))
    _drain(stage, provider)
    began = _position(stage.url)
    stage.say("enqueueing")
    _enqueue(stage.url, range(_WARM_UP, _WARM_UP + count))
    enqueued = _position(stage.url)
    stage.say("draining")
    _drain(stage, provider)
    drained = _position(stage.url)
    renewed = _renew(stage.url, renewals)
    stage.exactly(0, "multixacts", _checkpoint(stage.url) - multixacts)
    stage.at_most(_BYTES_A_MESSAGE, "WAL a settled message", (drained - began) / count, " B")
    stage.at_most(_BYTES_A_RENEWAL, "WAL a renewal", renewed / (_HELD * renewals), " B")
    stage.note(f"enqueue {(enqueued - began) / count:,.0f} B, delivery {(drained - enqueued) / count:,.0f} B a message")
    stage.ran(f"{count:,} messages of 300 B, a tenth retried, a fifth with keys; {_HELD * renewals:,} renewals")


class _Unsteady(Recorder):
    """Fails once for one message in ten, and rejects one in a hundred."""

    def __init__(self) -> None:
        super().__init__(self._fail)
        self._tried: set[UUID] = set()

    async def _fail(self, notification: Notification) -> None:
        number = int(notification.recipient.removeprefix("user").partition("@")[0])
        if number % 100 == 1:
            raise Rejected("never")
        if number % 10 == 0 and notification.id not in self._tried:
            self._tried.add(notification.id)
            raise Temporary("not yet")


def _enqueue(url: str, numbers: Sequence[int]) -> None:
    with psycopg.connect(url) as conn:
        for start in range(0, len(numbers), _BATCH):
            outbox.enqueue_many(conn, [_draft(number) for number in numbers[start : start + _BATCH]])
            conn.commit()


def _drain(stage: Stage, provider: Recorder) -> None:
    while stage.unsettled():
        assert asyncio.run(drain(stage.url, route(provider, backoff=("0s",)), concurrency=100)) == 0


def _draft(number: int) -> dict[str, Any]:
    key = f"order:{number}" if number % 5 == 0 else None
    return {"channel": "email", "recipient": f"user{number}@example.org", "payload": _PAYLOAD, "idempotency_key": key}


def _renew(url: str, times: int) -> int:
    """Hold some leases, renew them so often, and return the bytes of WAL that this took."""
    enqueue(url, _HELD)
    held = {one.id: one.claim for one in asyncio.run(claim(url, limit=_HELD))}
    assert len(held) == _HELD
    with psycopg.connect(url, autocommit=True) as conn:
        before = _position(url)
        for _ in range(times):
            assert renew(conn, held=held, lease=30.0, worker=1) == (set(held), set())
        return _position(url) - before


def _position(url: str) -> int:
    ((position,),) = rows(url, "SELECT pg_current_wal_insert_lsn() - '0/0'")
    return int(position)


def _checkpoint(url: str) -> int:
    """Make a checkpoint; return the next multixact's id, which is only to be seen in one."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CHECKPOINT")
    ((following,),) = rows(url, "SELECT next_multixact_id::text::bigint FROM pg_control_checkpoint()")
    return int(following)
