"""`outbox fan-out`: what it would do, what it does, and what it says when it is stopped or cannot."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys

import pytest

from tests.command_line import run, run_on_a_terminal, run_process
from tests.fleet import ROOT
from tests.hands import rows
from tests.waiting import wait_until

SQL = "SELECT 'u' || i || '@example.org' AS recipient FROM generate_series(1, CAST(:n AS int)) i"


@pytest.fixture
def url(database_url: str) -> str:
    """A database in which one of the recipients must not be contacted."""
    rows(
        database_url,
        "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', 'u2@example.org', 'stop')",
    )
    return database_url


def words(n: int = 2_000, *more: str, sql: str = SQL) -> list[str]:
    return ["fan-out", "run", "sale", "--channel", "email", "--sql", sql, "--param", f"n={n}", "--chunk", "500", *more]


def test_it_shows_what_it_would_do_and_then_does_it_and_then_nothing(url: str) -> None:
    told = run(url, *words(2_000, "--dry-run", "--template", "sale", "--payload", '{"off": "10 %"}'))
    assert told.exit_code == 0
    assert told.stdout.splitlines()[:3] == [
        "would enqueue 1,999 notifications of 2,000 rows",
        "  1 must not be contacted",
        '  such as u1@example.org by email, template sale, {"off": "10 %"}',
    ]
    assert rows(url, "SELECT count(*) FROM outbox.notifications") == [(0,)]
    done = run(url, *words())
    assert done.stdout.splitlines() == ["✓ enqueued 1,999 notifications of 2,000 rows", "  1 must not be contacted"]
    tenths = [line for line in done.stderr.splitlines() if line.startswith("enqueueing")]
    assert tenths == [f"enqueueing: {count} of 2,000" for count in ("500", "1,000", "1,500", "2,000")]
    again = run(url, *words())
    assert again.stdout.splitlines()[0].startswith("sale was through already, ")
    stored = "SELECT count(*), min(group_key), max(group_key) FROM outbox.notifications"
    assert rows(url, stored) == [(1_999, "fan-out:sale", "fan-out:sale")]


def test_it_is_json_for_scripts(url: str) -> None:
    would = json.loads(run(url, *words(3, "--dry-run", "--json")).stdout)
    assert (would["would"]["enqueued"], would["sample"][0]["recipient"]) == (2, "u1@example.org")
    done = json.loads(run_process(url, *words(3, "--json")).stdout)
    assert (done["name"], done["counts"]["enqueued"], done["counts"]["suppressed"]) == ("sale", 2, 1)
    (listed,) = json.loads(run(url, "fan-out", "list", "--json").stdout)["fan_outs"]
    assert listed == done


def test_the_list_says_how_far_each_is(url: str) -> None:
    assert "there are no fan-outs yet" in run(url, "fan-out", "list").stderr
    run(url, *words(3))
    rows(
        url,
        "INSERT INTO outbox.fan_outs (name, content, expected, selected, enqueued, started_at) "
        "VALUES ('half', '', 10, 5, 5, now() - interval '1 hour')",
    )
    head, sale, half = run(url, "fan-out", "list").stdout.splitlines()
    assert head.split() == ["NAME", "STATE", "STARTED", "ROWS", "ENQUEUED", "NOT", "ENQUEUED"]
    assert sale.split()[:2] == ["sale", "finished"]
    assert sale.endswith("1 suppressed")
    assert half.split()[:3] == ["half", "50", "%"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--param", "m=1"], "--param: m: the query has no :m"),
        (["--param", "m"], "--param: 'm' is not NAME=VALUE"),
        (["--param", "n=1"], "--param: n is given twice"),
        (["--priority", "later"], "--priority: 'later' is none of urgent"),
        (["--payload", "{"], "--payload: is not JSON"),
        (["--run-at", "tomorrow"], "--run-at: 'tomorrow' is not a moment"),
        (["--delay", "1h", "--run-at", "2030-01-01T00:00:00Z"], "--delay: --run-at says it already"),
        (["--idempotency-key", "k" * 201], "--idempotency-key: begins the key of each"),
    ],
)
def test_a_mistake_is_told_by_its_option(url: str, more: list[str], says: str) -> None:
    told = run(url, *words(3, *more))
    assert told.exit_code == 2
    assert says in told.stderr


def test_a_mistake_in_the_query_is_told_with_its_place(url: str) -> None:
    told = run(url, *words(sql=SQL.replace("FROM", "\nFORM")))
    assert told.exit_code == 2
    assert '--sql: syntax error at or near "FORM" (line 2, column 1)' in told.stderr
    failed = run(url, *words(3, sql=SQL + " WHERE 1 / (i - 2) > 0"))
    assert failed.exit_code == 1
    assert failed.stderr == "error: the query failed: DivisionByZero: division by zero\n"


def test_bad_rows_are_shown_and_skipped_if_asked(url: str) -> None:
    sql = SQL + " UNION ALL SELECT 'nobody' UNION ALL SELECT NULL"
    told = run(url, *words(3, sql=sql))
    assert told.exit_code == 2
    first, *others = told.stderr.splitlines()
    assert "2 of 5 rows can be no notification, and none was enqueued" in first
    assert "--skip-invalid leaves them out" in first
    assert others == [
        "error: nobody: recipient is no email address",
        "error: a row without a recipient: recipient is missing",
    ]
    assert "  2 can be no notification" in run(url, *words(3, "--skip-invalid", sql=sql)).stdout


def test_on_a_terminal_there_is_a_bar(url: str) -> None:
    code, seen = run_on_a_terminal(url, *words())
    assert code == 0
    assert "enqueueing" in seen
    assert "2000/2000" in seen
    assert "enqueued 1,999 notifications of 2,000 rows" in seen


def test_ctrl_c_says_how_to_go_on_and_it_goes_on(url: str) -> None:
    ours, theirs = pty.openpty()
    env = os.environ | {"OUTBOX_DATABASE_URL": url, "TERM": "xterm", "COLUMNS": "160"}
    command = [sys.executable, "-m", "outbox", *words(60_000, sql=SQL)]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdin=theirs, stdout=theirs, stderr=subprocess.PIPE) as process:
        os.close(theirs)
        wait_until(lambda: rows(url, "SELECT 1 FROM outbox.fan_outs WHERE selected > 1000"), timeout=60)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        said = process.stderr.read().decode()
        assert process.wait(timeout=60) == 1
    os.close(ours)
    assert "interrupted after" in said
    assert "run the same again, and it goes on" in said
    assert run(url, *words(60_000)).exit_code == 0
    assert rows(url, "SELECT count(*), count(DISTINCT recipient) FROM outbox.notifications") == [(59_999, 59_999)]
