"""`outbox tail`: every attempt once, whatever the order in which they are committed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import closing, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.outcomes import Dead, Failure, Retry, Sent
from outbox.queue.cancel import cancel
from outbox.queue.follow import FAILED, Following
from outbox.terminal.tail import masked
from tests.command_line import run
from tests.endings import put
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

BUSY = Retry(provider="smtp", failure=Failure("temporary", "451 4.7.1", "later"), delay=3_600.0)
GONE = Dead(provider="smtp", failure=Failure("rejected", "554 5.6.0", "no"), reason="rejected")


@pytest.fixture
def watcher(database_url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database_url, autocommit=True) as conn:
        yield conn


def settle_some(conn: psycopg.Connection, worker: int | None, number: int, ago: float = 0.0) -> None:
    conn.execute(
        "INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome, worker, finished_at) "
        "VALUES (outbox.uuid7(), %s, 0, 'sent', %s, clock_timestamp() - make_interval(secs => %s))",
        [number, worker, ago],
    )


def test_what_is_settled_is_told_once_in_order(database_url: str, watcher: psycopg.Connection) -> None:
    put(database_url, 2, Sent(provider="smtp"))
    following = Following()
    assert following.start(watcher) == []
    first = put(database_url, 1, BUSY)
    second = put(database_url, 1, Sent(provider="smtp"), channel="sms", recipient="+4915112345678")
    found = following.look(watcher)
    assert [(each.id, each.channel, each.outcome) for each in found] == [
        (first[0], "email", "retry"),
        (second[0], "sms", "sent"),
    ]
    assert found[0].error_code == "451 4.7.1"
    assert found[0].took == pytest.approx(0.2, abs=0.01)
    assert following.look(watcher) == []


def test_it_begins_with_those_of_before_when_it_is_asked_to(database_url: str, watcher: psycopg.Connection) -> None:
    put(database_url, 3, Sent(provider="smtp"))
    following = Following()
    assert len(following.start(watcher, 60.0)) == 3
    assert following.look(watcher) == []


def test_only_what_was_asked_for_is_told(database_url: str, watcher: psycopg.Connection) -> None:
    failed, texts, other = Following(outcomes=FAILED), Following(channels=["sms"]), Following(providers=["ses"])
    for each in (failed, texts, other):
        each.start(watcher)
    put(database_url, 1, Sent(provider="smtp"))
    put(database_url, 1, BUSY)
    put(database_url, 1, Sent(provider="ses"), channel="sms", recipient="+4915112345678")
    assert [each.outcome for each in failed.look(watcher)] == ["retry"]
    assert [each.channel for each in texts.look(watcher)] == ["sms"]
    assert [each.provider for each in other.look(watcher)] == ["ses"]


@pytest.mark.parametrize("worker", [1, None], ids=["by a worker", "by an application, in a savepoint"])
def test_what_is_committed_late_is_told_and_not_twice(
    database_url: str, watcher: psycopg.Connection, worker: int | None
) -> None:
    following = Following()
    with psycopg.connect(database_url) as late:
        with late.transaction():
            with late.transaction() if worker is None else nullcontext():
                settle_some(late, worker, 1)
            following.start(watcher)
            with psycopg.connect(database_url) as quick:
                settle_some(quick, 1, 2)
            assert [each.claim for each in following.look(watcher)] == [2]
            assert following.look(watcher) == []
        late.commit()
    assert [each.claim for each in following.look(watcher)] == [1]
    assert following.look(watcher) == []


@pytest.mark.parametrize("worker", [1, None])
def test_what_was_there_before_is_not_taken_for_new_while_somebody_keeps_a_transaction_open(
    database_url: str, watcher: psycopg.Connection, worker: int | None
) -> None:
    with psycopg.connect(database_url) as somebody, psycopg.connect(database_url) as writer:
        somebody.execute("SELECT pg_current_xact_id()")
        settle_some(writer, worker, 1, ago=100)
        writer.commit()
        following = Following()
        following.start(watcher)
        following._deep_at = -1e9  # noqa: SLF001 - a deep look, at once
        assert following.look(watcher) == []
        settle_some(writer, worker, 2)
        writer.commit()
        assert [each.claim for each in following.look(watcher)] == [2]
        following._deep_at = -1e9  # noqa: SLF001 - as above
        assert following.look(watcher) == []


def test_what_ended_minutes_before_it_could_be_written_down_is_told_by_a_deep_look(
    database_url: str, watcher: psycopg.Connection
) -> None:
    following = Following()
    following.start(watcher)
    with psycopg.connect(database_url) as conn:
        settle_some(conn, 1, 1, ago=200)
    assert following.look(watcher) == []
    following._deep_at = -1e9  # noqa: SLF001 - ten seconds later
    assert [each.claim for each in following.look(watcher)] == [1]


def test_of_hundreds_that_are_committed_in_any_order_none_is_missed_and_none_repeated(
    database_url: str, watcher: psycopg.Connection
) -> None:
    following = Following()
    following.start(watcher)
    told: list[int] = []
    going = threading.Event()

    def write(number: int) -> None:
        chance = random.Random(number)
        with closing(psycopg.connect(database_url)) as conn:
            for each in range(60):
                worker = chance.choice([1, None])  # and no worker has savepoints
                with conn.transaction():
                    if chance.random() < 0.3:
                        conn.execute("SELECT pg_current_xact_id()")
                    with conn.transaction() if worker is None else nullcontext():
                        settle_some(conn, worker, number * 1_000 + each)
                    going.wait(chance.random() * 0.05)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        if random.Random(len(told)).random() < 0.2:
            following._deep_at = -1e9  # noqa: SLF001 - deep looks between the others
        told += [each.claim for each in following.look(watcher)]
    told += [each.claim for each in following.look(watcher)]
    assert sorted(told) == [number * 1_000 + each for number in range(6) for each in range(60)]


def test_a_claim_that_was_lost_and_then_sent_after_all_is_told_as_both(
    database_url: str, watcher: psycopg.Connection
) -> None:
    following = Following()
    following.start(watcher)
    with psycopg.connect(database_url) as conn:
        settle_some(conn, 1, 1)
        conn.execute("UPDATE outbox.attempts SET outcome = 'lost'")
    assert [each.outcome for each in following.look(watcher)] == ["lost"]
    rows(database_url, "UPDATE outbox.attempts SET outcome = 'sent'")
    assert [each.outcome for each in following.look(watcher)] == ["sent"]


def test_what_an_application_takes_back_is_told_as_well(database_url: str, watcher: psycopg.Connection) -> None:
    following = Following()
    (identity,) = put(database_url, run_at=timedelta(hours=1), group_key="order:42")
    following.start(watcher)
    with psycopg.connect(database_url) as conn:
        cancel(conn, group_key="order:42")
    assert [(each.id, each.outcome) for each in following.look(watcher)] == [(identity, "cancelled")]


class TestTheCommand:
    def start(self, url: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("OUTBOX_")}
        command = [sys.executable, "-m", "outbox", "tail", *arguments]
        return subprocess.Popen(
            command,
            env=env | {"OUTBOX_DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def test_a_line_says_how_it_ended_and_not_for_whom(self, database_url: str) -> None:
        (identity,) = put(database_url, 1, BUSY, recipient="ada@example.org")
        with self.start(database_url, "--since", "1h") as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""
        assert line.split()[1:] == ["email", "retry", "smtp", "451", "4.7.1", "200", "ms", str(identity)]

    def test_it_follows_and_ends_when_nobody_reads_on(self, database_url: str) -> None:
        with self.start(database_url, "--json", "--failed", "--recipients", "--since", "1h") as process:
            put(database_url, 1, Sent(provider="smtp"))
            (identity,) = put(database_url, 1, GONE, recipient="ada@example.org")
            assert process.stdout is not None
            found = json.loads(process.stdout.readline())
            assert (found["id"], found["recipient"], found["outcome"]) == (str(identity), "a…@example.org", "dead")
            process.stdout.close()
            wait_until(lambda: put(database_url, 1, GONE) and process.poll() is not None, timeout=30)
            assert process.returncode == 0
            assert process.stderr is not None
            assert process.stderr.read() == ""

    def test_what_makes_no_sense_is_refused(self, database_url: str) -> None:
        for arguments, said in (
            (["--since", "yesterday"], "--since: 'yesterday' is not a duration"),
            (["--outcome", "failed"], "--outcome: 'failed' is none"),
            (["--outcome", "dead", "--failed"], "--failed stands for some outcomes"),
        ):
            done = run(database_url, "tail", *arguments)
            assert done.exit_code == 2
            assert said in done.stderr


@pytest.mark.parametrize(
    ("recipient", "shown"),
    [
        ("ada@example.org", "a…@example.org"),
        ("+4915112345678", "+4…78"),
        ("short", "…"),
        (None, "-"),
    ],
)
def test_a_recipient_is_masked(recipient: str | None, shown: str) -> None:
    assert masked(recipient) == shown
