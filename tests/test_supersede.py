"""The new in place of the old: what supersedes takes back what waits under its key, out of a worker's hands too."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox.outcomes import Retry, Sent
from outbox.worker.pace import Pace
from tests.command_line import run
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle
from tests.recorder import Recorder, route
from tests.test_docs import blocks
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.messages import Notification

CODE: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "group_key": "otp:42"}


def supersede(url: str, **given: Any) -> UUID:
    with psycopg.connect(url) as conn:
        return outbox.enqueue(conn, **CODE | given, supersedes=True).id


def states(url: str) -> dict[UUID, str]:
    return dict(rows(url, "SELECT id, state FROM outbox.status"))


def test_what_waits_under_the_key_is_taken_back_and_says_by_what(database_url: str) -> None:
    due, scheduled = enqueue(database_url, 2, group_key="otp:42")
    rows(database_url, "UPDATE outbox.queue SET run_at = now() + interval '1 hour' WHERE id = %s", scheduled)
    new = supersede(database_url)
    assert states(database_url) == {due: "cancelled", scheduled: "cancelled", new: "due"}
    assert rows(database_url, "SELECT DISTINCT error FROM outbox.attempts") == [(f"superseded by {new}",)]
    told = run(database_url, "explain", due).stdout
    assert f"superseded by {new}" in " ".join(told.split())


def test_other_keys_and_other_channels_are_left_alone(database_url: str) -> None:
    others = enqueue(database_url, 1, group_key="otp:43") + enqueue(database_url, 1)
    others += enqueue(database_url, 1, channel="sms", recipient="+447700900001", group_key="otp:42")
    new = supersede(database_url)
    assert states(database_url) == dict.fromkeys([*others, new], "due")


def test_what_waits_in_an_open_window_is_taken_back_too(database_url: str) -> None:
    window = {"digest_window": timedelta(minutes=5)}
    with psycopg.connect(database_url) as conn:
        for group, channel in (("otp:42", "email"), ("otp:43", "email"), ("otp:42", "inapp")):
            key = f"{channel} {group}"
            outbox.enqueue(conn, **CODE | window | {"group_key": group, "channel": channel, "digest_key": key})
    new = enqueue(database_url, 1, group_key="otp:42")[0]
    assert rows(database_url, "SELECT outbox.supersede(%s)", new) == [(1,)]
    assert rows(database_url, "SELECT key FROM outbox.digests ORDER BY key") == [("email otp:43",), ("inapp otp:42",)]
    assert rows(database_url, "SELECT count(*) FROM outbox.digest_items") == [(2,)]


def test_a_rollback_takes_nothing_back(database_url: str) -> None:
    (old,) = enqueue(database_url, 1, group_key="otp:42")
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, **CODE, supersedes=True)
        conn.rollback()
    assert states(database_url) == {old: "due"}


async def test_what_a_worker_has_in_hand_is_not_tried_again(database_url: str) -> None:
    (old,) = enqueue(database_url, 1, group_key="otp:42")
    (claimed,) = await claim(database_url)
    new = supersede(database_url)
    assert not await settle(database_url, claimed, Retry(provider="smtp", failure=TROUBLE, delay=0))
    assert states(database_url) == {old: "cancelled", new: "due"}


async def test_a_send_that_had_begun_and_was_accepted_is_on_record_all_the_same(database_url: str) -> None:
    (old,) = enqueue(database_url, 1, group_key="otp:42")
    (claimed,) = await claim(database_url)
    supersede(database_url)
    await settle(database_url, claimed, Sent(provider="smtp"))
    assert states(database_url)[old] == "sent"


async def test_what_a_lost_worker_held_is_taken_back_and_says_that_it_was_lost(database_url: str) -> None:
    enqueue(database_url, 1, group_key="otp:42")
    await claim(database_url, worker=9)
    expire_leases(database_url)
    supersede(database_url)
    assert rows(database_url, "SELECT claim, outcome, worker FROM outbox.attempts ORDER BY 1") == [
        (1, "lost", 9),
        (2, "cancelled", None),
    ]


async def test_what_waits_in_a_workers_memory_is_not_begun_after_the_commit(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One slot is busy, and the old code is claimed ahead: the worker is told, and drops it."""
    go = asyncio.Event()
    begun: list[UUID] = []

    async def send(notification: Notification) -> None:
        begun.append(notification.id)
        await go.wait()

    monkeypatch.setattr(Pace, "ahead", lambda *_: 5)  # as of a worker that has been quick so far
    (busy,) = enqueue(cloned_url, 1)
    (old,) = enqueue(cloned_url, 1, group_key="otp:42")
    async with running(cloned_url, route(Recorder(send)), concurrency=1):
        await await_until(lambda: begun == [busy])
        await await_until(lambda: rows(cloned_url, "SELECT count(*) FROM outbox.queue WHERE worker > 0") == [(2,)])
        new = await asyncio.to_thread(supersede, cloned_url)
        await await_until(lambda: states(cloned_url)[old] == "cancelled")
        await asyncio.to_thread(wait_until_heard, cloned_url)
        go.set()
        await await_until(lambda: states(cloned_url)[new] == "sent")
    assert begun == [busy, new]


def wait_until_heard(url: str) -> None:
    """Until a notification that was sent after the others came through the server."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("LISTEN outbox_test")
        conn.execute("NOTIFY outbox_test")
        next(conn.notifies(timeout=10))


def test_of_many_at_once_one_stands(cloned_url: str) -> None:
    threads = [threading.Thread(target=supersede, args=[cloned_url]) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(states(cloned_url).values()) == ["cancelled"] * 15 + ["due"]


def test_what_was_there_by_its_idempotency_key_takes_nothings_place(database_url: str) -> None:
    first = supersede(database_url, idempotency_key="k1")
    second = supersede(database_url, idempotency_key="k2")
    assert supersede(database_url, idempotency_key="k1") == first
    assert states(database_url) == {first: "cancelled", second: "due"}


def test_who_stood_behind_it_in_a_line_is_due(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        old = outbox.enqueue(conn, **CODE, ordering_key="ada").id
        behind = outbox.enqueue(conn, channel="email", recipient="ada@example.org", ordering_key="ada").id
    new = supersede(database_url, ordering_key="ada")
    assert states(database_url) == {old: "cancelled", behind: "due", new: "blocked"}


def test_without_a_group_key_there_is_no_telling_what_it_supersedes(conn: psycopg.Connection) -> None:
    with pytest.raises(outbox.InvalidNotification, match=r"^supersedes: needs a group_key"):
        outbox.enqueue(conn, channel="email", recipient="ada@example.org", supersedes=True)
    conn.execute("SELECT 1")
    identity = outbox.enqueue(conn, channel="email", recipient="ada@example.org").id
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="has no group_key"):
        conn.execute("SELECT outbox.supersede(%s)", [identity])


async def test_the_asynchronous_twin_does_the_same(database_url: str) -> None:
    (old,) = enqueue(database_url, 1, group_key="otp:42")
    async with await psycopg.AsyncConnection.connect(database_url) as conn:
        new = (await outbox.aenqueue(conn, **CODE, supersedes=True)).id
    assert states(database_url) == {old: "cancelled", new: "due"}


def test_the_command_supersedes_too(database_url: str) -> None:
    (old,) = enqueue(database_url, 1, group_key="otp:42")
    done = run(
        database_url,
        *("enqueue", "--channel", "email", "--recipient", "ada@example.org", "--group-key", "otp:42", "--supersedes"),
    )
    assert done.exit_code == 0, done.output
    assert states(database_url)[old] == "cancelled"
    refused = run(database_url, "enqueue", "--channel", "email", "--recipient", "ada@example.org", "--supersedes")
    assert refused.exit_code == 2
    assert "--supersedes: needs a group_key" in refused.stderr


def test_the_page_about_superseding_is_right(database_url: str) -> None:
    program, of_many = blocks("docs/superseding.md", "python")
    (statement,) = blocks("docs/superseding.md", "sql")
    with psycopg.connect(database_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
    assert rows(database_url, statement) == [(1,)]
    assert sorted(states(database_url).values()) == ["cancelled", "due"]
    with psycopg.connect(database_url) as conn:
        for _ in range(2):
            exec(of_many, {"conn": conn, "outbox": outbox})  # noqa: S102 - as above
    assert Counter(states(database_url).values()) == {"cancelled": 3, "due": 3}
