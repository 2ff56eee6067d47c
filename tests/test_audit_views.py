"""The views for auditors: what they tell, and that a question about a day reads that day alone."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from outbox.outcomes import Dead, Expired, Failure, Retry, Sent, Suppressed
from tests.backdated import put_days_ago, today
from tests.endings import end, put, put_dead
from tests.hands import rows
from tests.test_docs import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.outcomes import Outcome

TOLD = Failure("rejected", "554 5.6.0", "the content is not acceptable")
GREYLISTED = Failure("temporary", "451 4.7.1", "try later")


def scanned(url: str, query: str) -> set[str]:
    """The partitions that a query reads, by its plan as it is run."""
    with psycopg.connect(url) as conn:
        conn.execute("SET plan_cache_mode = force_generic_plan")
        ((plan,),) = conn.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}".encode()).fetchall()
    return set(_read_by(plan[0]["Plan"]))


def _read_by(node: dict[str, Any]) -> Iterator[str]:
    if node["Actual Loops"] and node.get("Relation Name", "").startswith(("notifications_", "attempts_")):
        yield node["Relation Name"]
    for child in node.get("Plans", ()):
        yield from _read_by(child)


def of_day(url: str, days: int) -> set[str]:
    day = f"{today(url) - timedelta(days=days):%Y%m%d}"
    return {f"notifications_{day}", f"attempts_{day}"}


def test_a_timeline_is_everything_that_happened(database_url: str) -> None:
    [identity] = put(database_url, 1, Retry(provider="smtp", failure=GREYLISTED, delay=0))
    end(database_url, Dead(provider="ses", failure=TOLD, reason="rejected"))
    rows(database_url, "UPDATE outbox.dead_letters SET resolution = 'discarded', resolved_at = clock_timestamp()")
    told = rows(
        database_url,
        "SELECT event, claim, provider, error_code FROM outbox.audit_timeline WHERE notification_id = %s",
        identity,
    )
    assert sorted(told, key=str) == [
        ("begun", 1, "smtp", None),
        ("begun", 2, "ses", None),
        ("dead", 2, "ses", TOLD.code),
        ("discarded", None, None, None),
        ("enqueued", None, None, None),
        ("retry", 1, "smtp", "451 4.7.1"),
    ]


def test_what_a_person_did_with_an_in_app_notification_is_in_its_timeline(database_url: str) -> None:
    [identity] = put(database_url, 1, Sent(provider="inbox"), channel="inapp", recipient="user:42")
    rows(
        database_url,
        "INSERT INTO outbox.inbox (notification_id, recipient, title, created_at, seen_at, read_at)"
        " VALUES (%s, 'user:42', 'Hello', now(), now() + interval '1 minute', now() + interval '2 minutes')",
        identity,
    )
    told = [event for (event,) in rows(database_url, "SELECT event FROM outbox.audit_timeline ORDER BY at")]
    assert told[-3:] == ["sent", "seen", "read"]


def test_a_recipient_is_found_in_whatever_case_an_email_was_written(database_url: str) -> None:
    put(database_url, 1, Sent(provider="smtp", provider_message_id="<1@relay>"), recipient="Ada@Example.org")
    put(database_url, 1, Expired(), recipient="ada@example.org")
    put(database_url, 1, recipient="bob@example.org")
    told = rows(
        database_url,
        """
        SELECT state, provider_message_id, sent_at IS NOT NULL, ended_at IS NOT NULL FROM outbox.audit_by_recipient
        WHERE recipient = 'ada@example.org' ORDER BY notification_id
        """,
    )
    assert told == [("sent", "<1@relay>", True, True), ("expired", None, False, True)]
    waiting = "SELECT state, sent_at, ended_at FROM outbox.audit_by_recipient WHERE recipient = 'bob@example.org'"
    assert rows(database_url, waiting) == [("due", None, None)]


def test_what_fails_for_one_reason_has_one_fingerprint(database_url: str) -> None:
    put(database_url, 3, Retry(provider="smtp", failure=GREYLISTED, delay=60), template="welcome")
    put_dead(database_url, 2)
    put(database_url, 1, Sent(provider="smtp"))
    told = rows(
        database_url, "SELECT fingerprint, count(*), bool_or(given_up) FROM outbox.audit_failures GROUP BY 1 ORDER BY 2"
    )
    assert [(count, given_up) for _, count, given_up in told] == [(2, True), (3, False)]
    assert told[1][0] == "email smtp temporary 451 4.7.1 welcome"


@pytest.mark.parametrize(
    ("outcome", "column"),
    [
        (Sent(provider="smtp"), "sent"),
        (Dead(provider="smtp", failure=TOLD, reason="rejected"), "dead"),
        (Expired(), "expired"),
        (Suppressed(failure=TOLD), "suppressed"),
        (Retry(provider="smtp", failure=GREYLISTED, delay=3_600), "waiting"),
        (None, "waiting"),
    ],
    ids=["sent", "dead", "expired", "suppressed", "retrying", "due"],
)
def test_a_day_counts_each_notification_once(database_url: str, outcome: Outcome | None, column: str) -> None:
    columns = ("sent", "dead", "expired", "suppressed", "cancelled", "waiting")
    put(database_url, 3, outcome)
    told = rows(database_url, f"SELECT notifications, {', '.join(columns)} FROM outbox.audit_daily")
    assert told == [(3, *(3 * (name == column) for name in columns))]


def test_each_day_has_figures_of_its_own(database_url: str) -> None:
    for outcome in (Sent(provider="smtp"), None):
        for days in (1, 2):
            put_days_ago(database_url, days, 2 + days, outcome)
        put(database_url, 2, outcome)
    told = rows(database_url, "SELECT day, notifications, sent, waiting FROM outbox.audit_daily ORDER BY day DESC")
    day = today(database_url)
    assert told == [(day - timedelta(days=days), 2 * (2 + days), 2 + days, 2 + days) for days in (0, 1, 2)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM outbox.audit_timeline WHERE notification_id = '{id}'",
        "SELECT * FROM outbox.audit_by_recipient WHERE notification_id >= '{lowest}' AND notification_id < '{beyond}'",
        "SELECT * FROM outbox.audit_failures WHERE notification_id >= '{lowest}' AND notification_id < '{beyond}'",
        "SELECT * FROM outbox.audit_daily WHERE day = '{day}'",
    ],
    ids=["audit_timeline", "audit_by_recipient", "audit_failures", "audit_daily"],
)
def test_a_question_about_a_day_reads_that_day_alone(cloned_url: str, query: str) -> None:
    for days in (1, 2, 3):
        put_days_ago(cloned_url, days, 20, Retry(provider="smtp", failure=GREYLISTED, delay=60))
    day = today(cloned_url) - timedelta(days=2)
    ((identity, lowest, beyond),) = rows(
        cloned_url,
        "SELECT (SELECT n.id FROM outbox.notifications n WHERE n.id >= d.lowest AND n.id < d.beyond LIMIT 1), lowest,"
        " beyond FROM outbox.audit_days d WHERE d.day = %s",
        day,
    )
    read = scanned(cloned_url, query.format(id=identity, lowest=lowest, beyond=beyond, day=day))
    assert read - {"notifications_default"} <= of_day(cloned_url, 2)
    assert read & of_day(cloned_url, 2)


def test_every_query_of_the_page_about_auditing_runs(database_url: str) -> None:
    put(database_url, 1, Sent(provider="smtp"), recipient="ada@example.org")
    put_dead(database_url, 1)
    queries = blocks("docs/auditing.md", "sql")
    assert len(queries) == 5
    found = [len(rows(database_url, query)) for query in queries]
    assert found == [0, 1, 1, 0, 0]
