"""A preference is set while others enqueue and claim: nothing that is claimed after the commit of a no is sent."""

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
from outbox import preferences
from outbox.outcomes import Sent, Suppressed
from outbox.queue.claim import claim
from outbox.queue.settle import settle
from outbox.queue.settlement import Settlement
from tests import hands
from tests.hands import EVERY_LEVEL, rows
from tests.race import Scene
from tests.topical import ADA, choose, say
from tests.waiting import wait_until

if TYPE_CHECKING:
    from outbox.preferences import PreferenceSet

EVE = "eve@example.org"


def enqueue(scene: Scene) -> None:
    with psycopg.connect(scene.url) as conn:

        def once() -> None:
            for recipient in (ADA, EVE):
                outbox.enqueue(
                    conn, channel="email", recipient=recipient, topic="news", payload={"subject": "Hi", "text": "Hi"}
                )
            conn.commit()
            scene.enqueued.update((ADA, EVE))

        scene.until_stopped(once)


def work(scene: Scene, number: int) -> None:
    """Claim, send and settle in batches."""
    with asyncio.Runner() as runner:
        conn = runner.run(psycopg.AsyncConnection.connect(scene.url, autocommit=True))

        def once() -> None:
            asked_at = time.monotonic()
            asked = claim(conn, channel="email", levels=EVERY_LEVEL, limit=20, lease=30, worker=number)
            claimed = runner.run(asked)
            scene.sent += [(str(one.recipient), asked_at) for one in claimed if one.suppression is None]
            ends = [
                Settlement(one.key, one.claim, one.attempt, Sent() if one.suppression is None else Suppressed(), 0, 0)
                for one in claimed
            ]
            runner.run(settle(conn, ends, worker=number))

        scene.until_stopped(once)
        runner.run(conn.close())


@pytest.mark.parametrize("default", ["opt_out", "opt_in"])
@pytest.mark.parametrize("run", range(2))
def test_nothing_claimed_after_the_commit_of_a_no_is_sent(cloned_url: str, default: str, run: int) -> None:  # noqa: ARG001 - again
    say(cloned_url, news={"default": default}, other={})
    for person in (ADA, EVE):
        choose(cloned_url, "news", wanted=True, recipient=person)
    scene = Scene(cloned_url)
    scheduled = hands.enqueue(cloned_url, 50, recipient=ADA, topic="news", run_at=timedelta(hours=1))
    with ThreadPoolExecutor(8) as threads, psycopg.connect(cloned_url) as conn:
        running = [threads.submit(enqueue, scene) for _ in range(5)]
        running += [threads.submit(work, scene, number) for number in range(3)]
        wait_until(lambda: scene.stop.is_set() or (len(scene.sent) > 20 and scene.enqueued[ADA] > 100), timeout=30)
        said = preferences.set(conn, channel="email", recipient=ADA, topic="news", wanted=False)
        enqueued = scene.enqueued[ADA]
        wait_until(lambda: scene.stop.is_set() or scene.enqueued[ADA] > enqueued + 50, timeout=30)
        conn.commit()
        committed_at = time.monotonic()
        enqueued = scene.enqueued[ADA]
        wait_until(lambda: scene.stop.is_set() or scene.enqueued[ADA] > enqueued + 50, timeout=30)
        scene.stop.set()
    assert [one.result() for one in running] == [None] * 8
    assert scene.errors == [], "nobody deadlocks"
    assert said.ended >= len(scheduled)
    assert [asked_at for person, asked_at in scene.sent if person == ADA and asked_at > committed_at] == []
    assert any(person == EVE and asked_at > committed_at for person, asked_at in scene.sent)
    assert rows(cloned_url, "SELECT * FROM outbox.status WHERE state = 'unaccounted'") == []


def test_two_forms_in_another_order_do_not_deadlock_and_end_each_notification_once(cloned_url: str) -> None:
    topics = [f"topic{number}" for number in range(10)]
    for topic in topics:
        hands.enqueue(cloned_url, 20, recipient=ADA, topic=topic)
    barrier = threading.Barrier(4)

    def choose_all(order: list[str]) -> list[PreferenceSet]:
        with psycopg.connect(cloned_url) as conn:
            barrier.wait()
            return preferences.set_many(
                conn, [{"channel": "email", "recipient": ADA, "topic": topic, "wanted": False} for topic in order]
            )

    with ThreadPoolExecutor(4) as threads:
        found = [each.result() for each in [threads.submit(choose_all, topics[::step]) for step in (1, -1, 1, -1)]]
    assert sum(one.ended for form in found for one in form) == 200
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(0,)]
