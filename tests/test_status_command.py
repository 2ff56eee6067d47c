from __future__ import annotations

import json
import os
import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
from sqlalchemy.engine import make_url

import outbox
from outbox import schedules
from outbox.outcomes import Retry, Sent
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import REFUSED, claim_due, end, enter, put, put_dead
from tests.hands import rows

if TYPE_CHECKING:
    from collections.abc import Mapping

STRAY = "00e08ed6-2c00-7000-8000-000000000001"  # made in the year 2000, a day that has no partition


def status(url: str, *arguments: str) -> dict[str, Any]:
    document = json.loads(run(url, "status", "--json", *arguments).stdout)
    assert isinstance(document, dict)
    return document


def counts(channel: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in channel.items() if key != "oldest_due_seconds"}


def test_each_notification_is_counted_once_where_it_is(database_url: str) -> None:
    put(database_url, 2, Retry(provider="smtp", delay=60))
    put_dead(database_url, 3)
    put(database_url, 1, Sent(provider="smtp"))
    put(database_url, 4)
    claim_due(database_url, limit=1)
    put(database_url, 5, run_at=timedelta(hours=1))
    put(database_url, 1, channel="sms")

    [email, sms] = status(database_url)["channels"]
    assert counts(email) == {
        "channel": "email",
        "waiting": 10,
        "due": 3,
        "leased": 1,
        "scheduled": 5,
        "retrying": 2,
        "blocked": 0,
        "gathering": 0,
        "dead_letters": 3,
        "workers": 0,
        "paused": False,
    }
    assert 0 < email["oldest_due_seconds"] < 60
    assert (sms["due"], sms["dead_letters"]) == (1, 0)


def test_those_who_stand_behind_others_are_counted_apart(database_url: str) -> None:
    put(database_url, 3, ordering_key="k")
    [email] = status(database_url)["channels"]
    assert (email["waiting"], email["due"], email["blocked"], email["scheduled"]) == (3, 1, 2, 0)
    assert "BLOCKED" in run_process(database_url, "status").stdout
    cancel_one = "DELETE FROM outbox.notifications WHERE id IN (SELECT id FROM outbox.queue WHERE run_at <= now())"
    rows(database_url, cancel_one)
    [email] = status(database_url)["channels"]
    assert (email["due"], email["blocked"], email["oldest_due_seconds"]) == (0, 2, None)


def test_open_windows_of_digests_are_counted_apart(database_url: str) -> None:
    put(database_url, 1)
    with psycopg.connect(database_url) as conn:
        for key in ("a", "a", "b"):
            likes: dict[str, Any] = {"digest_key": key, "digest_window": timedelta(minutes=10)}
            outbox.enqueue(conn, channel="email", recipient="ada@example.org", **likes)
    [email] = status(database_url)["channels"]
    assert (email["gathering"], email["waiting"]) == (2, 1)
    assert "GATHERING" in run(database_url, "status").stdout


def test_a_schedule_that_fails_is_named_with_its_reason_until_it_is_paused(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        schedules.add(conn, "digest", "@daily", "SELECT 'ada@example.org' AS recipient", channel="email")
        conn.execute("UPDATE outbox.schedules SET failures = 3, problem = 'relation \"people\" does not exist'")
    assert status(database_url)["warnings"] == [
        'the schedule digest failed 3 times in a row: relation "people" does not exist; outbox schedule show digest'
    ]
    assert run(database_url, "schedule", "pause", "digest").exit_code == 0
    assert status(database_url)["warnings"] == []


def test_what_was_scheduled_longest_ago_is_not_the_oldest_due(database_url: str) -> None:
    put(database_url, 1, run_at=timedelta(hours=1))
    [email] = status(database_url)["channels"]
    assert email["oldest_due_seconds"] is None


def test_a_vanished_workers_notifications_are_due(database_url: str) -> None:
    put(database_url, 2)
    claim_due(database_url, lease=0)
    [email] = status(database_url)["channels"]
    assert (email["due"], email["leased"]) == (2, 0)


def test_a_resolved_dead_letter_is_not_counted(database_url: str) -> None:
    [identity] = put_dead(database_url)
    run(database_url, "dead-letters", "discard", identity, "--yes")
    assert status(database_url)["channels"] == []


def test_channels_can_be_named_and_are_shown_even_if_empty(database_url: str) -> None:
    put(database_url, 1)
    put(database_url, 1, channel="sms")
    named = status(database_url, "--channel", "sms", "--channel", "push")["channels"]
    assert [(channel["channel"], channel["waiting"]) for channel in named] == [("push", 0), ("sms", 1)]


def test_live_workers_are_listed_and_dead_ones_are_not(database_url: str, conn: psycopg.Connection) -> None:
    worker = enter(database_url, "email", "sms")
    gone = enter(database_url, "email")
    conn.execute("UPDATE outbox.workers SET seen_at = now() - interval '2 minutes' WHERE id = %s", [gone])
    conn.commit()

    document = status(database_url)
    assert [(live["id"], live["pid"], live["channels"]) for live in document["workers"]] == [
        (worker, os.getpid(), ["email", "sms"])
    ]
    assert [channel["workers"] for channel in document["channels"]] == [1, 1]
    assert f"1 live worker: {worker} on" in run(database_url, "status").stdout


def test_it_warns_when_something_is_due_and_nobody_serves_the_channel(database_url: str) -> None:
    put(database_url, 2)
    put(database_url, 1, channel="sms")
    enter(database_url, "sms")
    assert status(database_url)["warnings"] == [
        "2 due on email, and no live worker serves it; start one: outbox worker --channel email"
    ]


def test_it_does_not_warn_about_what_is_for_later(database_url: str) -> None:
    put(database_url, 2, run_at=timedelta(hours=1))
    assert status(database_url)["warnings"] == []


def test_it_warns_about_rows_in_the_default_partitions(database_url: str, conn: psycopg.Connection) -> None:
    conn.execute(
        "INSERT INTO outbox.notifications (id, channel, recipient) VALUES (%s, 'email', 'ada@example.org')", [STRAY]
    )
    conn.commit()
    end(database_url, REFUSED)
    document = status(database_url)
    assert document["default_partitions"] == {"notifications": 1, "attempts": 1}
    [warning] = document["warnings"]
    assert "DEFAULT partitions: 1 notification and 1 attempt" in warning


def test_in_a_pipe_it_is_plain_aligned_text(database_url: str) -> None:
    put(database_url, 1_001, channel="a_channel_with_a_long_name")
    put(database_url, 1)
    done = run_process(database_url, "status")
    assert done.returncode == 0
    head, first, second, *_ = done.stdout.splitlines()
    titles = "CHANNEL  WAITING  DUE  LEASED  SCHEDULED  RETRYING  OLDEST DUE  DEAD  WORKERS"
    assert re.split(r"\s{2,}", head) == titles.split("  ")
    assert first.split()[:3] == ["a_channel_with_a_long_name", "1,001", "1,001"]
    assert head.index("WAITING") + len("WAITING") == first.index("1,001") + 5 == second.index(" 1 ") + 2
    assert done.stdout.isascii()


def test_on_a_terminal_it_is_a_table(database_url: str) -> None:
    put(database_url, 3)
    code, seen = run_on_a_terminal(database_url, "status", columns=80)
    assert code == 0
    head, rule, row, *_ = seen.splitlines()
    assert "workers" in head
    assert set(rule) == {"─"}
    assert row.split() == ["email", "3", "3", "0", "0", "0", row.split()[6], "0", "0"]
    assert "warning" in seen


def test_a_channels_name_is_never_broken_on_a_terminal(database_url: str) -> None:
    put(database_url, 1, channel="marketing_email")
    for columns in (40, 80, 120):
        _, seen = run_on_a_terminal(database_url, "status", columns=columns)
        assert "marketing_email" in seen


def test_where_a_table_does_not_fit_each_channel_is_a_block(database_url: str) -> None:
    put(database_url, 1_001)
    put(database_url, 1, channel="sms")
    _, seen = run_on_a_terminal(database_url, "status", columns=40)
    lines = [line.split() for line in re.sub(r"\x1b\[[0-9;]*m", "", seen).splitlines()]
    assert lines[:3] == [["email"], ["waiting", "1,001"], ["due", "1,001"]]
    assert lines[8:11] == [["workers", "0"], ["sms"], ["waiting", "1"]]


def test_an_empty_outbox_says_so(database_url: str) -> None:
    assert run(database_url, "status").stdout == "nothing waits, and there are no dead letters\nno live worker\n"


def test_a_database_without_the_outbox_is_told_what_to_run(empty_url: str) -> None:
    result = run(empty_url, "status")
    assert result.exit_code == 1
    assert "outbox migrate" in result.stderr


def test_a_database_that_cannot_be_reached_is_a_sentence() -> None:
    result = run("postgresql://nobody@127.0.0.1:1/none", "status")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: the database cannot be reached: connection failed")


def test_a_database_that_refuses_is_a_sentence(database_url: str) -> None:
    url = make_url(database_url).update_query_dict({"options": "-crole=pg_monitor"})
    result = run(url.render_as_string(hide_password=False), "status")
    assert result.exit_code == 1
    refused = "error: the database said no: InsufficientPrivilege: permission denied for schema outbox; "
    assert result.stderr.startswith(refused)
    assert "outbox roles --apply" in result.stderr


def test_a_url_that_cannot_be_understood_is_misuse_and_its_password_is_not_shown() -> None:
    result = run("postgresql://ada:tiramisu@[::1/name", "status")
    assert result.exit_code == 2
    assert "cannot be understood" in result.stderr
    assert "tiramisu" not in result.output


def test_without_a_database_it_is_misuse() -> None:
    result = run("", "status")
    assert result.exit_code == 2
    assert "OUTBOX_DATABASE_URL" in result.stderr
