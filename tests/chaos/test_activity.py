"""The one who watches sessions sees what it is there for."""

from __future__ import annotations

import time

import psycopg

from tests.chaos.activity import Activity
from tests.listening import handed_notifications
from tests.waiting import wait_until


def test_it_sees_long_transactions_and_idle_ones(database_url: str) -> None:
    with Activity(database_url) as activity, psycopg.connect(database_url, application_name="outbox claim") as conn:
        began = time.monotonic()
        conn.execute("SELECT 1")
        wait_until(lambda: activity.idle > 0)
        ended = time.monotonic()
        conn.rollback()
        assert activity.idle_did == "Client ClientRead, SELECT 1"
        assert activity.longest >= 0.1
        assert activity.most_sessions == 1
        wait_until(lambda: activity.spans(began + 0.05, ended - 0.05) == 1)
        assert activity.spans(began - 1, ended) == 0, "it had not begun"


def test_it_does_not_mind_statements_of_their_own(database_url: str) -> None:
    with (
        Activity(database_url) as activity,
        psycopg.connect(database_url, application_name="outbox claim", autocommit=True) as conn,
    ):
        began = time.monotonic()
        for _ in range(5):
            conn.execute("SELECT pg_sleep(0.03)")
        wait_until(lambda: activity.longest > 0)
        # The longest may have been seen on its way to sleep, where others want the CPU: then there is a longer one.
        wait_until(
            lambda: conn.execute("SELECT pg_sleep(0.03)").fetchall() and "Timeout PgSleep" in activity.longest_did
        )
        assert "Timeout PgSleep, SELECT pg_sleep(0.03)" in activity.longest_did
        assert activity.idle == 0
        assert activity.longest < 0.5
        assert activity.spans(began, time.monotonic()) == 0


def test_one_that_is_handed_what_it_listens_for_is_in_no_transaction_of_its_own(cloned_url: str) -> None:
    with (
        Activity(cloned_url) as activity,
        handed_notifications(cloned_url, application_name="outbox lifeline"),
    ):
        seen = activity.samples
        wait_until(lambda: activity.samples > seen + 2)
        assert activity.most_sessions == 1
    assert activity.longest < 0.1


def test_sessions_of_others_are_none_of_its_business(database_url: str) -> None:
    with Activity(database_url) as activity, psycopg.connect(database_url) as conn:
        conn.execute("SELECT 1")
        wait_until(lambda: activity.samples > 5)
        assert (activity.most_sessions, activity.longest) == (0, 0.0)


def test_it_goes_on_when_its_session_is_ended(database_url: str) -> None:
    with Activity(database_url) as activity, psycopg.connect(database_url, autocommit=True) as conn:
        wait_until(lambda: activity.samples > 0)
        ours = (
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND application_name = 'chaos activity'"
        )
        assert conn.execute(ours).fetchall() == [(True,)]
        seen = activity.samples
        wait_until(lambda: activity.samples > seen + 2)
