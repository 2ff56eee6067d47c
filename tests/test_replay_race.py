"""Several replay the same group, one edits, and workers settle meanwhile: each letter is delivered once."""

from __future__ import annotations

import threading
from collections import Counter
from uuid import UUID

import psycopg

from outbox.outcomes import Sent
from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.edit import edit
from outbox.queue.letter_groups import groups
from outbox.queue.letter_selection import Selection
from outbox.queue.replay import replay
from tests.endings import claim_due, enter, put_dead, settle_as
from tests.hands import rows
from tests.race import Scene
from tests.waiting import wait_until

LETTERS = 100
CHUNK = 7


def replay_group(scene: Scene, group: str, started: threading.Barrier, done: Counter[UUID]) -> None:
    started.wait()
    with psycopg.connect(scene.url) as conn:
        ids = find_dead_letters(conn, Selection(groups=[group]))
        conn.commit()
        for start in range(0, len(ids), CHUNK):
            done.update(replay(conn, ids[start : start + CHUNK], actor="ada@desk").ids)
            conn.commit()


def edit_each(scene: Scene, ids: list[UUID], started: threading.Barrier, done: Counter[UUID]) -> None:
    started.wait()
    with psycopg.connect(scene.url) as conn:
        for identity in ids:
            if edit(conn, identity, recipient="ada@example.net", actor="eve@desk").new_id is not None:
                done[identity] += 1
            conn.commit()


def test_whoever_replays_a_group_at_the_same_time_each_letter_is_delivered_once(cloned_url: str) -> None:
    ids = put_dead(cloned_url, LETTERS)
    with psycopg.connect(cloned_url) as conn:
        (group,) = groups(conn).groups
    scene, started, done = Scene(cloned_url), threading.Barrier(4), Counter[UUID]()
    workers = [enter(cloned_url, "email") for _ in range(2)]

    def work(worker: int) -> None:
        claimed = claim_due(cloned_url, limit=5, worker=worker)
        settle_as(cloned_url, claimed, Sent(provider="smtp"), worker=worker)

    people = [
        *(threading.Thread(target=replay_group, args=(scene, group.id, started, done)) for _ in range(3)),
        threading.Thread(target=edit_each, args=(scene, ids[::-3], started, done)),
    ]
    at_work = [threading.Thread(target=scene.until_stopped, args=(lambda it=worker: work(it),)) for worker in workers]
    for thread in (*people, *at_work):
        thread.start()
    for thread in people:
        thread.join(timeout=120)
    wait_until(lambda: scene.errors or not rows(cloned_url, "SELECT 1 FROM outbox.queue LIMIT 1"), timeout=60)
    scene.stop.set()
    for thread in at_work:
        thread.join(timeout=60)

    assert scene.errors == []
    assert done == Counter(ids)
    assert rows(cloned_url, "SELECT resolution, replays, count(*) FROM outbox.dead_letters GROUP BY 1, 2") == [
        ("replayed", 1, LETTERS)
    ]
    sent = """
        SELECT coalesce(d.notification_id, a.notification_id), count(*)
        FROM outbox.attempts a LEFT JOIN outbox.dead_letters d ON d.replaced_by = a.notification_id
        WHERE a.outcome = 'sent' GROUP BY 1
    """
    assert dict(rows(cloned_url, sent)) == dict.fromkeys(ids, 1)
    written = """
        SELECT sum(CAST(details->>'replayed' AS int)) FILTER (WHERE action = 'replay'),
               count(*) FILTER (WHERE action = 'edit')
        FROM outbox.audit
    """
    ((replayed, edited),) = rows(cloned_url, written)
    assert (replayed or 0) + edited == LETTERS
