"""Pauses and worker processes: several at once, some killed, some started while it is paused."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.queue.pause import pause
from outbox.queue.resume import resume
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LEDGER = "tests.ledger"


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url, 0.02) as made:
        yield made


def change(url: str, scope: str, name: str, *, paused: bool) -> None:
    with psycopg.connect(url) as conn:
        if paused:
            pause(conn, scope=scope, name=name, actor="ada@desk")
        else:
            resume(conn, scope=scope, name=name, actor="ada@desk")


def in_hand(url: str) -> int:
    return int(rows(url, "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL")[0][0])


@pytest.mark.parametrize(("scope", "name"), [("channel", "email"), ("provider", LEDGER)])
def test_processes_finish_what_they_hold_and_begin_nothing_until_it_is_resumed(
    fleet: Fleet, cloned_url: str, scope: str, name: str
) -> None:
    for _ in range(2):
        fleet.start("--concurrency", "20")
    identities = enqueue(cloned_url, 1_500)
    wait_until(lambda: len(fleet.lines("sent")) > 100, timeout=60)
    change(cloned_url, scope, name, paused=True)
    wait_until(lambda: fleet.log().count(f"{scope} {name} is paused by ada@desk") == 2)
    wait_until(lambda: in_hand(cloned_url) == 0)
    begun = len(fleet.lines("begun"))
    fleet.processes[0].kill()
    fleet.start("--concurrency", "20")
    identities += enqueue(cloned_url, 100, priority="urgent")
    wait_until(lambda: fleet.log().count(f"{scope} {name} is paused by ada@desk") == 3, timeout=60)
    assert len(fleet.lines("begun")) == begun
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue WHERE attempt > 0") == [(0,)]
    change(cloned_url, scope, name, paused=False)
    wait_until(lambda: not rows(cloned_url, "SELECT 1 FROM outbox.queue LIMIT 1"), timeout=60)
    assert sorted(fleet.lines("sent")) == sorted(map(str, identities))
    assert set(rows(cloned_url, "SELECT outcome, attempt FROM outbox.attempts")) <= {("sent", 1), ("deferred", 0)}


def test_people_who_pause_and_resume_against_each_other_lose_nothing(fleet: Fleet, cloned_url: str) -> None:
    for _ in range(2):
        fleet.start("--concurrency", "20")
    identities = enqueue(cloned_url, 1_000)
    wait_until(lambda: len(fleet.lines("sent")) > 20, timeout=60)

    def quarrel(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(25):
            change(
                cloned_url, *chance.choice([("channel", "email"), ("provider", LEDGER)]), paused=chance.random() < 0.5
            )

    people = [threading.Thread(target=quarrel, args=(seed,)) for seed in range(4)]
    for person in people:
        person.start()
    for person in people:
        person.join()
    for scope, name in (("channel", "email"), ("provider", LEDGER)):
        change(cloned_url, scope, name, paused=False)
    wait_until(lambda: not rows(cloned_url, "SELECT 1 FROM outbox.queue LIMIT 1"), timeout=60)
    assert sorted(fleet.lines("sent")) == sorted(map(str, identities))
    done, changed = rows(cloned_url, "SELECT count(*) FILTER (WHERE action = 'pause'), count(*) FROM outbox.audit")[0]
    assert 0 < done < changed, "each change is on record, and those that changed nothing are not"
