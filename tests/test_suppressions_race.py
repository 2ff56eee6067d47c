"""A suppression is added while others write to that recipient and workers claim: nothing claimed after it is sent."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

import outbox
from outbox import suppressions
from outbox.outcomes import Dead, Sent, Suppression
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from tests import hands
from tests.hands import EVERY_LEVEL, TROUBLE, rows
from tests.race import Scene
from tests.waiting import wait_until

if TYPE_CHECKING:
    from outbox.queue.claim import Claimed

ADA, EVE = "ada@example.org", "eve@example.org"
REFUSED = Dead(provider="smtp", failure=TROUBLE, reason="unreachable", suppression=Suppression("hard_bounce"))


def enqueue(scene: Scene) -> None:
    with psycopg.connect(scene.url) as conn:

        def once() -> None:
            for recipient in (ADA, EVE):
                outbox.enqueue(conn, channel="email", recipient=recipient, payload={"subject": "Hi", "text": "Hi"})
            conn.commit()
            scene.enqueued.update((ADA, EVE))

        scene.until_stopped(once)


def work(scene: Scene, number: int) -> None:
    """Claim, send and settle in batches; while she is added, her address is refused, which adds her as well."""
    with asyncio.Runner() as runner:
        conn = runner.run(psycopg.AsyncConnection.connect(scene.url, autocommit=True))

        def once() -> None:
            asked_at = time.monotonic()
            asked = claim(conn, channel="email", levels=EVERY_LEVEL, limit=20, lease=30, worker=number)
            claimed = runner.run(asked)
            allowed = [one for one in claimed if one.suppression is None]
            scene.sent += [(str(one.recipient), asked_at) for one in allowed]
            runner.run(settle(conn, [settled(scene, one) for one in claimed], worker=number))

        scene.until_stopped(once)
        runner.run(conn.close())


def settled(scene: Scene, one: Claimed) -> Settlement:
    refused = one.suppression is None and one.recipient == ADA and scene.adding.is_set()
    return Settlement(one.key, one.claim, one.attempt, REFUSED if refused else Sent(), 0, 0)


@pytest.mark.parametrize("run", range(3))
def test_nothing_claimed_after_the_commit_is_sent_whatever_is_written_meanwhile(cloned_url: str, run: int) -> None:  # noqa: ARG001 - again
    scene = Scene(cloned_url)
    scheduled = hands.enqueue(cloned_url, 50, recipient=ADA, run_at=timedelta(hours=1))
    with ThreadPoolExecutor(12) as threads, psycopg.connect(cloned_url) as conn:
        running = [threads.submit(enqueue, scene) for _ in range(8)]
        running += [threads.submit(work, scene, number) for number in range(4)]
        wait_until(lambda: scene.stop.is_set() or (len(scene.sent) > 20 and scene.enqueued[ADA] > 200), timeout=30)
        scene.adding.set()
        added = suppressions.add(conn, channel="email", recipient=ADA, reason="unsubscribed")
        enqueued = scene.enqueued[ADA]
        wait_until(lambda: scene.stop.is_set() or scene.enqueued[ADA] > enqueued + 50, timeout=30)
        conn.commit()
        committed_at = time.monotonic()
        enqueued = scene.enqueued[ADA]
        wait_until(lambda: scene.stop.is_set() or scene.enqueued[ADA] > enqueued + 100, timeout=30)
        scene.stop.set()
    assert [one.result() for one in running] == [None] * 12
    assert scene.errors == [], "nobody deadlocks"
    assert added.ended >= len(scheduled)
    assert [claimed_at for recipient, claimed_at in scene.sent if recipient == ADA and claimed_at > committed_at] == []
    assert any(recipient == EVE and claimed_at > committed_at for recipient, claimed_at in scene.sent)
    assert rows(cloned_url, "SELECT * FROM outbox.status WHERE state = 'unaccounted'") == []


@pytest.mark.parametrize("run", range(2))
def test_two_who_add_the_same_one_find_it_once(cloned_url: str, run: int) -> None:  # noqa: ARG001 - again
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (channel, recipient) SELECT 'email', %s FROM generate_series(1, 300)",
        ADA,
    )
    barrier = threading.Barrier(6)

    def add() -> suppressions.Suppressed:
        with psycopg.connect(cloned_url) as conn:
            barrier.wait()
            return suppressions.add(conn, channel="email", recipient=ADA, reason="stop")

    with ThreadPoolExecutor(6) as threads:
        found = [future.result() for future in [threads.submit(add) for _ in range(6)]]
    assert sum(one.new for one in found) == 1
    assert sum(one.ended for one in found) == 300
