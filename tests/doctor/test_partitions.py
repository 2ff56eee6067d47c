from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from outbox.outcomes import Sent
from tests.backdated import put_days_ago, today
from tests.doctor.examined import finding, findings, session, status, type_
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from outbox.doctor.finding import Status

SENT = Sent(provider="smtp")


@pytest.mark.parametrize(("ahead", "expected"), [(1, "failure"), (9, "warning")])
def test_days_ahead_without_a_partition_get_one(cloned_url: str, ahead: int, expected: Status) -> None:
    assert status(cloned_url, "partitions") == "ok"
    day = today(cloned_url) + timedelta(days=ahead)
    rows(cloned_url, f"DROP TABLE outbox.attempts_{day:%Y%m%d}")
    found = finding(cloned_url, "partitions")
    assert found.status == expected
    assert found.finding.startswith(f"attempts has no partition for 1 of the next 14 days, from {day} on")
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "partitions") == "ok"


def test_rows_in_a_default_partition_are_counted_and_go_with_retention(cloned_url: str) -> None:
    assert status(cloned_url, "default-partitions") == "ok"
    put_days_ago(cloned_url, 40, 3, SENT, partition=False)
    both = findings(cloned_url, "default-partitions")
    assert [(one.details["table"], one.details["rows"]) for one in both] == [("notifications", 3), ("attempts", 3)]
    type_(cloned_url, both[0].remedy)
    assert status(cloned_url, "default-partitions") == "ok"


def test_what_retention_has_detached_and_not_dropped_is_dropped(cloned_url: str) -> None:
    put_days_ago(cloned_url, 40, 1, SENT)
    part = f"notifications_{today(cloned_url) - timedelta(days=40):%Y%m%d}"
    assert rows(cloned_url, f"SELECT outbox.detach_expired_partition('{part}', 30)") == [("detached",)]
    found = finding(cloned_url, "detached-partitions")
    assert found.finding == f"detached by retention, and not dropped: {part}"
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "detached-partitions") == "ok"
    assert rows(cloned_url, f"SELECT to_regclass('outbox.{part}')") == [(None,)]


def test_a_day_that_somebody_has_detached_is_attached_again(cloned_url: str) -> None:
    put_days_ago(cloned_url, 4, 2, SENT)
    part = f"notifications_{today(cloned_url) - timedelta(days=4):%Y%m%d}"
    rows(cloned_url, f"ALTER TABLE outbox.notifications DETACH PARTITION outbox.{part}")
    found = finding(cloned_url, "detached-partitions")
    assert found.finding == f"{part} is no partition of notifications any more: what lies in it is not found"
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "detached-partitions") == "ok"
    assert rows(cloned_url, "SELECT count(*) FROM outbox.notifications") == [(2,)]


@pytest.mark.parametrize(("days", "expected"), [(33, "warning"), (45, "failure")])
def test_what_retention_should_have_dropped_is_dropped(cloned_url: str, days: int, expected: Status) -> None:
    assert status(cloned_url, "retention") == "ok"
    put_days_ago(cloned_url, days, 2, SENT)
    found = finding(cloned_url, "retention")
    assert (found.status, found.details["partitions"]) == (expected, 2)
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "retention") == "ok"


def test_a_day_that_something_in_the_queue_holds_is_told_apart(cloned_url: str) -> None:
    put_days_ago(cloned_url, 45, 1)
    found = [one for one in findings(cloned_url, "retention") if "stays" in one.finding]
    assert found[0].finding.endswith("something in the queue is 44 days old")
    type_(cloned_url, found[0].remedy)


def test_idempotency_keys_past_their_time_are_seen_in_a_sample_and_go(cloned_url: str) -> None:
    assert status(cloned_url, "idempotency-keys") == "ok"
    put_days_ago(cloned_url, 60, 20, SENT, key="k")
    found = finding(cloned_url, "idempotency-keys")
    assert (found.status, found.finding[:4]) == ("failure", "100%")
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "idempotency-keys") == "ok"


def test_a_look_at_partitions_waits_for_nobody(cloned_url: str) -> None:
    with session(cloned_url, "LOCK TABLE outbox.notifications_default IN ACCESS EXCLUSIVE MODE"):
        wait_until(lambda: findings(cloned_url, "default-partitions")[0].status == "unknown", timeout=2)
