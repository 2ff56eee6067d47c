"""With an injector that finds no calls, or whose faults do nothing, the scenario that uses it would always pass."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psycopg
import pytest

import outbox
from outbox.events import DatabaseLost
from tests.chaos.injector import Injector, Site, all_sites
from tests.hands import claim, enqueue, rows
from tests.recorder import Recorder, drain, route

if TYPE_CHECKING:
    from outbox.events import Event
    from tests.chaos.injector import Fault


def site(file: str, words: str) -> Site:
    (found,) = (each for each in all_sites() if each.file == file and words in each.text)
    return found


def test_it_finds_statements_connections_and_sends() -> None:
    assert site("queue/claim.py", "CLAIM").text.startswith("cursor.execute(")
    assert site("database.py", "connect").text.startswith("psycopg.AsyncConnection.connect(")
    assert site("ask.py", "send").text == "provider.send(message, claimed.key)"
    assert site("queue/discard.py", "DISCARD").text.startswith("connections.run(")
    assert not [each for each in all_sites() if each.file == "queue/story.py"], "that only reads for people"


async def test_it_notes_what_is_reached_and_strikes_once(database_url: str) -> None:
    enqueue(database_url, 2)
    injector = Injector()
    where = site("queue/claim.py", "CLAIM")
    injector.plan = {where: "raises before"}
    with injector.installed():
        with pytest.raises(psycopg.OperationalError, match="before it"):
            await claim(database_url)
        assert len(await claim(database_url)) == 2
    assert where in injector.reached
    assert injector.plan == {}


@pytest.mark.parametrize(
    ("fault", "claims"),
    [("raises before", 1), ("raises after", 2), ("twice", 2)],
)
async def test_what_a_fault_lets_the_database_do_first(database_url: str, fault: Fault, claims: int) -> None:
    """The first claim has no lease to speak of, so that a second one gets the row again."""
    enqueue(database_url)
    injector = Injector()
    injector.plan = {site("queue/claim.py", "CLAIM"): fault}
    with injector.installed():
        if fault != "twice":
            with pytest.raises(psycopg.OperationalError):
                await claim(database_url, lease=0)
        await claim(database_url, lease=0)
    assert rows(database_url, "SELECT claim FROM outbox.queue") == [(claims,)]


@pytest.mark.parametrize("fault", ["raises before", "raises after", "twice", "hangs"])
def test_a_copy_that_fails_leaves_nothing_behind_and_succeeds_when_it_is_tried_again(
    database_url: str, fault: Fault
) -> None:
    """The second of two brings the same ids, which the primary key refuses."""
    many = [{"channel": "http", "recipient": "x", "idempotency_key": str(number)} for number in range(300)]
    injector = Injector()
    injector.plan = {site("queue/enqueue_many.py", "connections.copy"): fault}
    with injector.installed(), psycopg.connect(database_url, options="-c statement_timeout=1000") as conn:
        with pytest.raises(psycopg.Error):
            outbox.enqueue_many(conn, many)
        assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (0,)
        assert sum(made.created for made in outbox.enqueue_many(conn, many)) == 300


def test_a_call_that_hangs_does_so_in_the_database(database_url: str) -> None:
    injector = Injector()
    injector.plan = {site("queue/cancel.py", "connections.run"): "hangs"}
    with injector.installed(), psycopg.connect(database_url, options="-c statement_timeout=100") as conn:
        began = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            outbox.cancel(conn, group_key="nothing")
        assert time.monotonic() - began >= 0.1


async def test_a_worker_whose_claim_breaks_off_makes_a_new_connection(database_url: str) -> None:
    enqueue(database_url)
    seen: list[Event] = []
    injector = Injector()
    injector.plan = {site("queue/claim.py", "CLAIM"): "raises before"}
    recorder = Recorder()
    with injector.installed():
        assert await drain(database_url, route(recorder, events=seen)) == 0
    assert len(recorder.sent) == 1
    assert [event.purpose for event in seen if isinstance(event, DatabaseLost)] == ["claim"]
