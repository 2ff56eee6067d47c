"""What takes longer than a moment says so on a terminal, and nowhere else."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox.terminal.session import writing
from tests.command_line import run, run_on_a_terminal, run_process, started
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HELD = "SELECT pg_advisory_lock(7306076013)"  # one migration at a time
_WAITED_FOR = """
SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""
LONGER_THAN_A_MOMENT = 1.5


@contextmanager
def another_migration(url: str) -> Iterator[None]:
    """One that is at work until somebody has waited for it for longer than a moment."""
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(_HELD)

        def let_go() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and conn.execute(_WAITED_FOR).fetchone() == (False,):
                time.sleep(0.05)
            time.sleep(LONGER_THAN_A_MOMENT)
            conn.execute("SELECT pg_advisory_unlock_all()")

        thread = threading.Thread(target=let_go)
        thread.start()
        try:
            yield
        finally:
            thread.join()


def test_a_migration_that_waits_for_another_says_what_it_does(empty_url: str) -> None:
    with another_migration(empty_url):
        code, seen = run_on_a_terminal(empty_url, "migrate")
    assert (code, "✓" in seen) == (0, True), seen
    assert "migrating …" in seen


def test_in_a_pipe_it_is_silent(empty_url: str) -> None:
    with another_migration(empty_url):
        done = run_process(empty_url, "migrate")
    assert done.returncode == 0
    assert "migrating" not in done.stdout + done.stderr


def test_what_is_over_at_once_says_nothing(database_url: str) -> None:
    code, seen = run_on_a_terminal(database_url, "audit", env={"OUTBOX_CONFIG": ""})
    assert code == 0
    assert "nobody did anything of that kind" in seen


def test_a_schedule_whose_query_is_slow_says_that_it_runs(database_url: str) -> None:
    slow = "SELECT 'ada@example.org' AS recipient, '{}'::jsonb AS payload FROM pg_sleep(1.5)"
    assert run(database_url, "schedule", "add", "slow", "@daily", "--sql", slow, "--channel", "email").exit_code == 0
    code, seen = run_on_a_terminal(database_url, "schedule", "run-now", "slow")
    assert code == 0, seen
    assert "enqueueing what the query of slow returns …" in seen
    assert "enqueued 1 notification" in seen


def test_an_export_into_a_file_counts_its_lines_where_somebody_looks(database_url: str, tmp_path: Path) -> None:
    insert = """
    INSERT INTO outbox.suppressions (channel, recipient, reason)
    SELECT 'email', format('user%s@example.org', n), 'manual' FROM generate_series(1, 2500) n
    """
    rows(database_url, insert)
    code, seen = run_on_a_terminal(database_url, "suppress", "export", "--output", tmp_path / "all.csv")
    assert code == 0, seen
    assert "exporting" in seen
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 2501
    piped = run_process(database_url, "suppress", "export")
    assert (len(piped.stdout.splitlines()), piped.stderr) == (2501, "")


def test_ctrl_c_in_the_middle_of_a_statement_leaves_no_words_of_the_driver_behind(database_url: str) -> None:
    slow = "SELECT 'ada@example.org' AS recipient, '{}'::jsonb AS payload FROM pg_sleep(30)"
    assert run(database_url, "schedule", "add", "slow", "@daily", "--sql", slow, "--channel", "email").exit_code == 0
    runs = (
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'active' AND wait_event = 'PgSleep'"
    )
    with started(database_url, "schedule", "run-now", "slow") as process:
        wait_until(lambda: rows(database_url, runs) == [(1,)], timeout=60)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "rollback" not in errors
    wait_until(lambda: rows(database_url, runs) == [(0,)], timeout=60)
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


def test_ctrl_c_between_a_statement_and_its_answer_is_followed_by_no_rollback(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def asked_and_interrupted() -> None:
        with writing(database_url) as conn:
            conn.pgconn.send_query(b"SELECT pg_sleep(30)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asked_and_interrupted()
    assert caplog.text == ""
