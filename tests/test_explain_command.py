from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox import suppressions
from outbox.outcomes import Ambiguous, Dead, Deferred, Expired, Failure, Retry, Sent, Suppressed
from outbox.queue.cancel import cancel
from outbox.queue.discard import discard
from outbox.queue.replay import replay
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import REFUSED, claim_due, end, enter, put, put_dead, settle_as

if TYPE_CHECKING:
    from pathlib import Path
    from uuid import UUID


UNKNOWN = "01890a5d-ac96-774b-bcce-b302099a8057"
SECRET = "the password is tiramisu"
LATER = Failure("temporary", "451 4.7.1", "[bold red]greylisted[/]: try :smile: later")


def story(url: str, identity: UUID, *arguments: str) -> dict[str, Any]:
    result = run(url, "explain", identity, "--json", *arguments)
    assert result.exit_code == 0, result.stderr
    document = json.loads(result.stdout)
    assert isinstance(document, dict)
    return document


def told(url: str, identity: UUID, *arguments: str) -> tuple[str, str, str]:
    document = story(url, identity, *arguments)
    return document["state"], document["why"], document["next"]


@pytest.fixture
def config(tmp_path: Path) -> list[str]:
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["smtp"]\nmax_attempts = 3\nmax_lost = 2\n', encoding="utf-8")
    return ["--config", str(file)]


def test_it_is_one_screen_that_tells_everything_but_the_message(database_url: str) -> None:
    [identity] = put(
        database_url,
        1,
        Retry(provider="smtp", failure=LATER, delay=60),
        recipient="ada@example.org",
        template="welcome",
        locale="pt-BR",
        topic="news",
        group_key="order:42",
        idempotency_key="welcome:1",
        priority="high",
        expires_at=timedelta(hours=2),
        payload={"text": SECRET},
        headers={"X-Secret": SECRET},
    )
    done = run_process(database_url, "explain", identity)
    assert done.returncode == 0
    for words in (
        str(identity),
        "ada@example.org, by email",
        "welcome, in pt-BR",
        "news",
        "order:42",
        "welcome:1",
        "high (2)",
        "ago",
        "not after",
        "in 1h 59m",
        "[bold red]greylisted[/]: try :smile: later",
        "451 4.7.1",
        "retrying: it waits for attempt 2, due",
    ):
        assert words in done.stdout
    assert SECRET not in done.stdout
    assert SECRET not in json.dumps(story(database_url, identity))
    assert len(done.stdout.splitlines()) < 25


def test_it_is_the_same_on_a_terminal(database_url: str) -> None:
    [identity] = put(database_url, 1, Retry(provider="smtp", failure=LATER, delay=60))
    code, seen = run_on_a_terminal(database_url, "explain", identity)
    assert code == 0
    assert "[bold red]greylisted[/]: try :smile: later" in seen


def test_every_attempt_is_told_in_order(database_url: str) -> None:
    put(database_url)
    end(database_url, Retry(provider="smtp", failure=LATER, delay=0.0))
    claim_due(database_url, lease=0)
    [identity] = end(database_url, Sent(provider="smtp", provider_message_id="<1@example.org>"))
    history = story(database_url, identity)["history"]
    assert [(entry["claim"], entry["outcome"], entry["error_code"]) for entry in history] == [
        (1, "retry", "451 4.7.1"),
        (2, "lost", None),
        (3, "sent", None),
    ]
    assert history[0]["took_seconds"] == pytest.approx(0.2, abs=0.001)


def test_many_attempts_still_fit_on_the_screen(database_url: str) -> None:
    [identity] = put(database_url)
    for _ in range(15):
        end(database_url, Retry(provider="smtp", failure=LATER, delay=0.0))
    lines = run(database_url, "explain", identity).stdout.splitlines()
    assert "(3 earlier claims are not shown; --json has them all)" in lines
    assert len(lines) < 25


class TestDue:
    def test_where_nobody_works(self, database_url: str) -> None:
        [identity] = put(database_url)
        state, why, following = told(database_url, identity)
        assert state == "due"
        assert why.startswith("it has been due for ")
        assert why.endswith("and no live worker serves email.")
        assert following.startswith("start a worker, for none is live: outbox worker --channel email.")

    def test_behind_others(self, database_url: str) -> None:
        enter(database_url, "email")
        enter(database_url, "sms")
        [identity] = put(database_url)
        assert told(database_url, identity)[1].endswith("1 live worker for email, and it is the first in line.")
        put(database_url, 2, priority="urgent")
        put(database_url, 2, priority="bulk")
        assert told(database_url, identity)[1].endswith(
            "1 live worker for email, and 2 notifications due there go first."
        )

    def test_after_its_worker_vanished(self, database_url: str) -> None:
        [identity] = put(database_url)
        claim_due(database_url, lease=0, worker=enter(database_url, "email"))
        state, why, _ = told(database_url, identity)
        assert state == "due"
        assert f"(pid {os.getpid()}) had it in hand and vanished; its lease ended" in why

    def test_with_workers_vanishing_once_too_often(self, database_url: str, config: list[str]) -> None:
        [identity] = put(database_url)
        for worker in (1, 2, 3):
            claim_due(database_url, lease=0, worker=worker)
        assert told(database_url, identity, *config)[2].endswith(
            "and makes it a dead letter: its workers vanished 2 times."
        )

    def test_for_the_last_attempt(self, database_url: str, config: list[str]) -> None:
        enter(database_url, "email")
        [identity] = put(database_url)
        end(database_url, Retry(provider="smtp", failure=LATER, delay=0.0))
        following = "the next claim takes it; if it fails, it is tried again, until attempt 3 makes it a dead letter."
        assert told(database_url, identity, *config)[2] == following
        end(database_url, Retry(provider="smtp", failure=LATER, delay=0.0))
        following = "the next claim takes it, for the last attempt; if it fails, it becomes a dead letter."
        assert told(database_url, identity, *config)[2] == following

    def test_after_the_last_attempt_was_taken_away(self, database_url: str, config: list[str]) -> None:
        enter(database_url, "email")
        [identity] = put(database_url)
        for _ in range(3):
            end(database_url, Retry(provider="smtp", failure=LATER, delay=0.0))
        following = "the next claim takes it, and makes it a dead letter, unsent: it has had all of its attempts."
        assert told(database_url, identity, *config)[2] == following

    def test_once_it_was_sent_by_a_claim_that_had_lapsed(self, database_url: str) -> None:
        enter(database_url, "email")
        [identity] = put(database_url)
        late = claim_due(database_url, lease=0)
        fresh = claim_due(database_url)
        settle_as(database_url, late, Sent(provider="smtp"))
        settle_as(database_url, fresh, Retry(provider="smtp", failure=LATER, delay=0.0))
        following = "the next claim takes it, and ends it, unsent: it was sent already, by claim 1."
        assert told(database_url, identity)[2] == following

    def test_to_somebody_who_must_not_be_contacted(self, database_url: str, conn: psycopg.Connection) -> None:
        conn.execute(
            "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', %s, 'complaint')",
            ["user0@example.org"],
        )
        conn.commit()
        [identity] = put(database_url)
        document = story(database_url, identity)
        assert document["suppression"].startswith("complaint, since ")
        assert "ends it as suppressed, unsent: complaint" in document["next"]

    def test_to_somebody_who_has_unsubscribed_from_what_they_get_all_the_same(
        self, database_url: str, conn: psycopg.Connection, tmp_path: Path
    ) -> None:
        (tmp_path / "outbox.toml").write_text("[topics.receipts]\ntransactional = true\n")
        suppressions.add(conn, channel="email", recipient="user0@example.org", reason="unsubscribed")
        conn.commit()
        for topic, kept_back in (("receipts", False), ("news", True)):
            [identity] = put(database_url, topic=topic)
            result = run(database_url, "explain", identity, "--json", "--config", tmp_path / "outbox.toml")
            assert (json.loads(result.stdout)["suppression"] is not None) is kept_back

    def test_past_its_time(self, database_url: str, conn: psycopg.Connection) -> None:
        [identity] = put(database_url, expires_at=timedelta(milliseconds=1))
        conn.execute("SELECT pg_sleep(0.01)")
        assert "ends it as expired, unsent" in told(database_url, identity)[2]


class TestLater:
    def test_scheduled(self, database_url: str) -> None:
        [identity] = put(database_url, run_at=timedelta(hours=1))
        state, why, _ = told(database_url, identity)
        assert state == "scheduled"
        assert why.startswith("it was enqueued to be sent later, ")
        assert "in 59m" in why

    def test_put_off(self, database_url: str) -> None:
        throttled = Failure("throttled", "421", "too many")
        [identity] = put(database_url, 1, Deferred(provider="smtp", failure=throttled, delay=60))
        state, why, _ = told(database_url, identity)
        assert state == "deferred"
        assert why.startswith("it was put off until ")
        assert why.endswith("without using an attempt, because smtp said 421 too many.")

    def test_replayed_for_later(self, database_url: str, conn: psycopg.Connection) -> None:
        [identity] = put_dead(database_url)
        replay(conn, [identity], after=60)
        conn.commit()
        assert told(database_url, identity)[1].startswith("it was replayed after it had died, and is due ")

    def test_retrying(self, database_url: str, config: list[str]) -> None:
        [identity] = put(database_url, 1, Retry(provider="smtp", failure=LATER, delay=60))
        state, why, _ = told(database_url, identity, *config)
        assert state == "retrying"
        assert why.startswith("it waits for attempt 2 of 3, due ")
        assert why.endswith("because smtp said 451 4.7.1 [bold red]greylisted[/]: try :smile: later.")

    def test_leased(self, database_url: str) -> None:
        [identity] = put(database_url)
        worker = enter(database_url, "email")
        claim_due(database_url, worker=worker)
        document = story(database_url, identity)
        assert document["state"] == "leased"
        assert document["worker"]["pid"] == os.getpid()
        assert document["why"].startswith(f"worker {worker} on ")
        assert ", in 29s." in document["why"]

    def test_leased_by_one_that_is_not_registered_any_more(self, database_url: str) -> None:
        [identity] = put(database_url)
        claim_due(database_url, worker=99)
        assert told(database_url, identity)[1].startswith("worker 99, which is not registered any more, has it in hand")


class TestEnded:
    def test_sent(self, database_url: str) -> None:
        [identity] = put(database_url, 1, Sent(provider="smtp", provider_message_id="<1@example.org>"))
        state, why, following = told(database_url, identity)
        assert state == "sent"
        assert why.startswith("smtp accepted it at ")
        assert why.endswith("after it was enqueued, which calls it <1@example.org>.")
        assert following == "nothing: this is its end."

    @pytest.mark.parametrize(
        ("outcome", "because"),
        [
            (REFUSED, "because its content was refused (smtp said 554 5.6.0 the content is not acceptable)."),
            (
                Dead(provider="smtp", failure=LATER, reason="exhausted"),
                "because every attempt failed (smtp said 451 4.7.1",
            ),
            (
                Ambiguous(provider="smtp", failure=Failure("ambiguous", None, "lost after DATA"), reason="in_doubt"),
                "because it may have been delivered, and nobody can know (smtp said lost after DATA).",
            ),
        ],
    )
    def test_dead(self, database_url: str, outcome: Dead, because: str) -> None:
        [identity] = put_dead(database_url, outcome=outcome)
        state, why, following = told(database_url, identity)
        assert state == "dead"
        assert because in why
        assert f"outbox dead-letters replay {identity}" in following

    def test_dead_and_discarded(self, database_url: str, conn: psycopg.Connection) -> None:
        [identity] = put_dead(database_url)
        discard(conn, [identity])
        conn.commit()
        assert told(database_url, identity)[2].startswith("nothing: somebody discarded its dead letter at ")

    def test_sent_after_it_was_given_up(self, database_url: str) -> None:
        put(database_url)
        vanished = claim_due(database_url, lease=0, worker=2)
        [identity] = end(database_url, REFUSED)
        settle_as(database_url, vanished, Sent(provider="smtp"), worker=2)
        state, _, following = told(database_url, identity)
        assert state == "sent"
        assert f"outbox dead-letters discard {identity}" in following

    @pytest.mark.parametrize(
        ("outcome", "why"),
        [
            (Expired(failure=Failure("expired", None, "3.0 s past its expires_at")), "3.0 s past its expires_at."),
            (
                Suppressed(failure=Failure("suppressed", None, "hard_bounce, since 2030-01-31")),
                "hard_bounce, since 2030-01-31.",
            ),
        ],
    )
    def test_unsent(self, database_url: str, outcome: Expired | Suppressed, why: str) -> None:
        [identity] = put(database_url, 1, outcome)
        assert told(database_url, identity) == (outcome.name, f"it was not sent: {why}", "nothing: this is its end.")

    def test_ended_by_a_suppression_while_it_waited(self, database_url: str, conn: psycopg.Connection) -> None:
        [identity] = put(database_url, topic="news")
        suppressions.add(conn, channel="email", recipient="USER0@example.org", reason="unsubscribed", topic="news")
        conn.commit()
        state, why, _ = told(database_url, identity)
        assert state == "suppressed"
        assert re.match(
            r"it was not sent: unsubscribed, topic news, since \d{4}-\d\d-\d\d\. "
            r"It still waited when that was added, \d{4}-\d\d-\d\d [\d:]+ \w+, .* ago\.$",
            why,
        )
        assert story(database_url, identity)["suppression"].startswith("unsubscribed, topic news, since ")

    def test_cancelled(self, database_url: str, conn: psycopg.Connection) -> None:
        [identity] = put(database_url)
        cancel(conn, id=identity)
        conn.commit()
        state, why, _ = told(database_url, identity)
        assert state == "cancelled"
        assert why.startswith("somebody took it back before it was sent, ")

    def test_removed_by_hand(self, database_url: str, conn: psycopg.Connection) -> None:
        [identity] = put(database_url)
        conn.execute("DELETE FROM outbox.queue")
        conn.commit()
        state, why, following = told(database_url, identity)
        assert state == "unaccounted"
        assert "removed by hand" in why
        assert "Enqueue it again" in following


def test_an_unknown_id_fails(database_url: str) -> None:
    result = run(database_url, "explain", UNKNOWN)
    assert result.exit_code == 1
    assert UNKNOWN in result.stderr


def test_one_that_retention_dropped_is_told_where_its_dead_letter_is(
    database_url: str, conn: psycopg.Connection
) -> None:
    [identity] = put_dead(database_url)
    conn.execute("DELETE FROM outbox.notifications")
    conn.commit()
    result = run(database_url, "explain", identity)
    assert result.exit_code == 1
    assert f"outbox dead-letters show {identity}" in result.stderr


def test_what_is_no_id_is_misuse(database_url: str) -> None:
    result = run(database_url, "explain", "0199")
    assert result.exit_code == 2
    assert "is not an id" in result.stderr


def test_one_that_is_blocked_names_whom_it_waits_for(database_url: str) -> None:
    first, second, third = put(database_url, 3, ordering_key="order:42")
    assert story(database_url, first)["ordering_key"] == "order:42"
    state, why, following = told(database_url, third)
    assert (state, why) == (
        "blocked",
        "2 notifications of the ordering key order:42 are ahead of it, and it waits until those have ended.",
    )
    assert f"outbox explain {first}" in following
    assert "1 notification of the ordering key order:42 is ahead" in told(database_url, second)[1]


def test_one_whom_nobody_is_ahead_of_any_more_will_be_due_within_seconds(database_url: str) -> None:
    _, second = put(database_url, 2, ordering_key="order:42")
    with psycopg.connect(database_url) as conn:
        conn.execute("DELETE FROM outbox.notifications WHERE id <> %s", [second])
    state, why, following = told(database_url, second)
    assert (state, "first in the line" in why, "within seconds" in following) == ("blocked", True, True)
