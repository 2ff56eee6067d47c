"""People read while what follows is enqueued, claimed and settled: nothing that is claimed after a reading is sent."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import inbox
from outbox.outcomes import Cancelled, Failure, Retry, Sent
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from tests.hands import EVERY_LEVEL, TROUBLE, rows

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed

PEOPLE = 150


@dataclass
class Scene:
    """What all of them share."""

    url: str
    items: list[UUID]
    over: threading.Event = field(default_factory=threading.Event)
    read_at: dict[UUID, float] = field(default_factory=dict)
    """When the commit of its reading was over."""
    sent: dict[UUID, float] = field(default_factory=dict)
    """By the item that it followed: when the claim was asked for."""
    followed: dict[UUID, UUID] = field(default_factory=dict)
    errors: list[Exception] = field(default_factory=list)


def guarded(scene: Scene, do: Any, *given: Any) -> threading.Thread:
    def run() -> None:
        try:
            do(scene, *given)
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shows it
            scene.errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def follow(scene: Scene, number: int) -> None:
    with psycopg.connect(scene.url) as conn:
        for item in random.Random(number).sample(scene.items, PEOPLE):
            made = outbox.enqueue(
                conn, channel="email", recipient="ada@example.org", unless_read=item, idempotency_key=f"{number} {item}"
            )
            conn.commit()
            scene.followed[made.id] = item


def read(scene: Scene, number: int) -> None:
    chance = random.Random(number)
    with psycopg.connect(scene.url) as conn:
        for item in chance.sample(scene.items[number::2], PEOPLE // 2):
            match chance.randrange(3):
                case 0:
                    inbox.mark(conn, "read", recipient="user:1", ids=[item])
                case 1:
                    outbox.mark_read(conn, item)
                case _:
                    conn.execute("UPDATE outbox.inbox SET archived_at = now() WHERE notification_id = %s", [item])
            conn.commit()
            scene.read_at[item] = time.monotonic()


def work(scene: Scene, number: int) -> None:
    chance = random.Random(number)
    with asyncio.Runner() as runner:
        conn = runner.run(psycopg.AsyncConnection.connect(scene.url, autocommit=True))
        while True:
            last = scene.over.is_set()
            asked_at = time.monotonic()
            asked = claim(conn, channel="email", levels=EVERY_LEVEL, limit=10, lease=30, worker=number)
            claimed = runner.run(asked)
            ended = [settled(scene, one, asked_at, chance) for one in claimed]
            if not ended and last:
                break
            while ended:  # what somebody else's claim looked at this moment is locked, and is settled again
                _, locked = runner.run(settle(conn, ended, worker=number))
                # that it was sent is on record already, which the statement that goes by the place does not know
                ended = [one._replace(place=None) for one in ended if one.key in locked]
        runner.run(conn.close())


def settled(scene: Scene, one: Claimed, asked_at: float, chance: random.Random) -> Settlement:
    outcome: Outcome
    if one.needless is not None:
        outcome = Cancelled(failure=Failure("needless", None, one.needless))
    elif chance.random() < 0.3:
        outcome = Retry(provider="smtp", failure=TROUBLE, delay=0)
    else:
        outcome = Sent(provider="smtp")
        scene.sent[one.id] = asked_at
    now = time.monotonic()
    return Settlement(one.key, one.claim, one.attempt, outcome, now, now, one.place)


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_claimed_after_the_reading_is_never_sent(cloned_url: str, seed: int) -> None:
    items = [
        row[0]
        for row in rows(
            cloned_url,
            "INSERT INTO outbox.inbox (notification_id, recipient, title) "
            "SELECT outbox.uuid7(), 'user:1', 'a' FROM generate_series(1, %s) RETURNING notification_id",
            PEOPLE,
        )
    ]
    scene = Scene(cloned_url, items)
    workers = [guarded(scene, work, number) for number in range(1, 4)]
    others = [
        guarded(scene, follow, seed),
        guarded(scene, follow, -seed),
        guarded(scene, read, 0),
        guarded(scene, read, 1),
    ]
    for thread in others:
        thread.join()
    scene.over.set()
    for thread in workers:
        thread.join()
    assert scene.errors == []
    late = [one for one, asked_at in scene.sent.items() if asked_at > scene.read_at[scene.followed[one]]]
    assert late == [], "claimed when the reading was committed, and sent"
    ended = dict(rows(cloned_url, "SELECT id, state FROM outbox.status"))
    assert set(ended.values()) == {"sent", "cancelled"}, "both came about, and nothing remains"
    assert {one for one, state in ended.items() if state == "sent"} == set(scene.sent)
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(0,)]
    assert len(ended) == 2 * PEOPLE
