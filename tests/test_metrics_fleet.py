"""What Prometheus is told of the whole fleet: by one source, alike by everybody, whatever becomes of the database."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.registry import CollectorRegistry

from outbox import errors, events, metrics
from outbox.members import Members, answer
from outbox.outcomes import Retry, Sent
from outbox.port import serve
from outbox.queue import gauge, measure
from outbox.routine_events import RateWaited
from tests.endings import enter, put, put_dead
from tests.fleet import Fleet
from tests.hands import TROUBLE, enqueue, rows
from tests.recorder import Recorder, drain, route
from tests.test_metrics import ID, of, scrape, total, values
from tests.test_plans import NO_AUTOVACUUM
from tests.test_worker import running
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client.registry import Collector

TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url) as made:
        yield made


def measured(url: str) -> None:
    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(url) as conn:
            await measure.measure(conn)
            await gauge.gauge(conn)

    asyncio.run(work())


def told(url: str) -> dict[str, float]:
    """What somebody says who has just begun to serve metrics."""
    registry = CollectorRegistry()
    registry.register(metrics.Known(url))
    return values(generate_latest(registry).decode())


# What is told


def test_the_depth_of_the_queue_is_told_by_channel_priority_and_state(database_url: str) -> None:
    enter(database_url, "email", "sms")
    put(database_url, 2, Retry(provider="smtp", failure=TROUBLE, delay=60))
    put(database_url, 3, run_at=timedelta(hours=1), priority=8)
    put(database_url, 4)
    rows(database_url, "UPDATE outbox.queue SET run_at = now() - interval '90 s' WHERE run_at <= now()")
    measured(database_url)
    found = told(database_url)
    assert found["outbox_queue_depth{channel=email,priority=5,state=due}"] == 4
    assert found["outbox_queue_depth{channel=email,priority=5,state=retrying}"] == 2
    assert found["outbox_queue_depth{channel=email,priority=8,state=scheduled}"] == 3
    assert found["outbox_queue_depth{channel=sms,priority=5,state=due}"] == 0
    assert found["outbox_oldest_due_seconds{channel=email}"] == pytest.approx(90, abs=5)
    assert found["outbox_oldest_due_seconds{channel=sms}"] == 0
    assert found["outbox_depth_age_seconds{}"] < 30


def test_who_serves_a_channel_is_told_and_that_nobody_does(database_url: str) -> None:
    enter(database_url, "email")
    enter(database_url, "email", "sms")
    put(database_url, 1, channel="push")
    measured(database_url)
    found = told(database_url)
    assert [found[f"outbox_workers{{channel={name}}}"] for name in ("email", "sms", "push")] == [2, 1, 0]


def test_open_dead_letters_and_pauses_are_told_and_are_gone_when_they_are_over(database_url: str) -> None:
    put_dead(database_url, 3)
    rows(database_url, "INSERT INTO outbox.pauses (scope, name) VALUES ('channel', 'email'), ('provider', 'ses')")
    measured(database_url)
    found = told(database_url)
    assert found["outbox_dead_letters_open{channel=email}"] == 3
    assert found["outbox_paused{name=email,scope=channel}"] == found["outbox_paused{name=ses,scope=provider}"] == 1
    rows(database_url, "UPDATE outbox.pauses SET until = now() - interval '1 s'")
    rows(database_url, "UPDATE outbox.dead_letters SET resolution = 'discarded', resolved_at = now()")
    measured(database_url)
    assert not [name for name in told(database_url) if name.startswith(("outbox_paused", "outbox_dead_letters_open"))]


def test_what_keeps_the_tables_from_being_cleaned_is_told(cloned_url: str) -> None:
    rows(cloned_url, NO_AUTOVACUUM)
    put(cloned_url, 50)
    with psycopg.connect(cloned_url) as reader:
        reader.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        reader.execute("SELECT FROM outbox.queue")
        rows(cloned_url, "DELETE FROM outbox.queue")
        time.sleep(1.1)  # its age is what is told

        def dead() -> float:
            measured(cloned_url)
            return told(cloned_url)["outbox_queue_dead_tuples{}"]

        assert wait_until(dead) >= 50
        assert told(cloned_url)["outbox_oldest_snapshot_seconds{}"] > 1
    measured(cloned_url)
    assert told(cloned_url)["outbox_oldest_snapshot_seconds{}"] < 1


def test_partitions_that_are_missing_and_rows_that_are_astray_are_told(cloned_url: str) -> None:
    rows(cloned_url, "SELECT outbox.ensure_partitions()")
    measured(cloned_url)
    found = told(cloned_url)
    assert found["outbox_default_partition_rows{}"] == 0
    assert 13 < found["outbox_partitions_ahead_days{}"] <= 16
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (id, channel, recipient) "
        "VALUES ('00e08ed6-2c00-7000-8000-000000000001', 'email', 'ada@example.org')",
    )
    last = rows(
        cloned_url,
        "SELECT name FROM outbox.partitions WHERE parent = 'attempts' AND lowest IS NOT NULL ORDER BY 1 DESC LIMIT 3",
    )
    rows(cloned_url, "; ".join(f"DROP TABLE outbox.{name}" for (name,) in last))
    measured(cloned_url)
    after = told(cloned_url)
    assert after["outbox_default_partition_rows{}"] == 1
    assert after["outbox_partitions_ahead_days{}"] == pytest.approx(
        found["outbox_partitions_ahead_days{}"] - 3, abs=0.1
    )


# Who tells it


def test_a_worker_tells_of_the_fleet_what_it_measured_itself(fleet: Fleet, cloned_url: str) -> None:
    enqueue(cloned_url, 5, run_at=timedelta(hours=1))
    enqueue(cloned_url, 7)
    fleet.start("--metrics-port", "0", "--metrics-host", "127.0.0.1")
    waiting = "outbox_queue_depth{channel=email,priority=5,state=scheduled}"
    wait_until(lambda: scrape(fleet).get(waiting) == 5, timeout=60)
    wait_until(lambda: "outbox_partitions_ahead_days{}" in scrape(fleet), timeout=60)
    wait_until(lambda: total(scrape(fleet), "outbox_end_to_end_seconds_count{channel=email}") == 7, timeout=60)
    found = scrape(fleet)
    assert found["outbox_workers{channel=email}"] == 1
    assert found["outbox_fleet_known{}"] == 1
    assert found["outbox_listen_heard{}"] == 1
    assert found["outbox_claim_batch_size_sum{channel=email}"] == 7
    assert found["outbox_settle_batch_size_sum{}"] == 7


def test_of_several_processes_the_supervisor_alone_tells_of_the_fleet(fleet: Fleet, cloned_url: str) -> None:
    enqueue(cloned_url, 5, run_at=timedelta(hours=1))
    fleet.start("--processes", "2", "--metrics-port", "0", "--metrics-host", "127.0.0.1")
    waiting = "outbox_queue_depth{channel=email,priority=5,state=scheduled}"
    wait_until(lambda: scrape(fleet).get(waiting) == 5, timeout=90)
    wait_until(lambda: scrape(fleet).get("outbox_workers{channel=email}") == 2, timeout=90)
    found = scrape(fleet)
    assert [name for name in found if name.startswith("outbox_queue_depth") and "scheduled" in name] == [waiting]
    assert found["outbox_listen_heard{process=1}"] == found["outbox_listen_heard{process=2}"] == 1
    assert "outbox_listen_heard{process=supervisor}" not in found


def served(*collectors: Collector) -> int:
    return serve({"": metrics.page(*collectors)}, host="127.0.0.1", port=0, key="worker.metrics_port")


def test_a_database_that_is_away_takes_the_fleet_s_metrics_along_and_no_others(database_url: str) -> None:
    counts = metrics.Counts({"email": ["smtp"]})
    counts(events.Attempted(ID, "email", 1, Sent(provider="smtp"), 0.02, 3.0))
    port = served(counts.registry, metrics.Known(f"{database_url}&sslmode=disable&dbname=nowhere"))
    found = values(httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text)
    assert found["outbox_fleet_known{}"] == 0
    assert found["outbox_attempts_total{channel=email,class=,outcome=sent,provider=smtp}"] == 1
    assert not [name for name in found if name.startswith("outbox_queue_depth")]


def test_a_database_that_gives_no_answer_is_not_waited_for(database_url: str) -> None:
    with psycopg.connect(database_url) as somebody:
        somebody.execute("LOCK TABLE outbox.workers IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        assert told(database_url) == {"outbox_fleet_known{}": 0}
        assert time.monotonic() - began < 6


def test_those_who_ask_soon_after_one_another_are_told_the_same(database_url: str) -> None:
    registry = CollectorRegistry()
    registry.register(metrics.Known(database_url))
    put_dead(database_url, 1)
    measured(database_url)
    first = generate_latest(registry)
    put_dead(database_url, 1)
    measured(database_url)
    assert generate_latest(registry) == first


# What a worker counts


async def test_from_the_enqueue_to_the_acceptance_counts_every_try_between(database_url: str) -> None:
    enqueue(database_url, 1)
    counts = metrics.Counts({"email": ["recorder0"]})
    tries = 0

    async def behave(_: object) -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise errors.Temporary("busy", code="451")

    greylisting = route(Recorder(behave), backoff=(1.0,), jitter=0)
    greylisting.listener = counts
    async with running(database_url, greylisting):
        await await_until(lambda: of(counts)["outbox_end_to_end_seconds_count{channel=email}"] == 1, timeout=30)
    found = of(counts)
    assert found["outbox_end_to_end_seconds_sum{channel=email}"] > 2
    assert found["outbox_wait_seconds_sum{channel=email}"] < found["outbox_end_to_end_seconds_sum{channel=email}"] - 1


def test_what_is_not_sent_has_no_end() -> None:
    counts = metrics.Counts({"email": ["smtp"]})
    counts(events.Attempted(ID, "email", 1, Retry(provider="smtp", failure=TROUBLE, delay=1), 0.02, 3.0, age=4.0))
    assert of(counts)["outbox_end_to_end_seconds_count{channel=email}"] == 0


async def test_a_rate_that_is_used_up_is_counted_by_how_long_it_was_waited_for(database_url: str) -> None:
    enqueue(database_url, 8)
    counts = metrics.Counts({})
    seen: list[events.Event] = []
    slow = route(Recorder(), rate="5/s")

    def tell(event: events.Event) -> None:
        counts(event)
        seen.append(event)

    slow.listener = tell
    await drain(database_url, slow)
    waited = sum(event.seconds for event in seen if isinstance(event, RateWaited))
    assert waited > 0.1
    assert of(counts)["outbox_limiter_wait_seconds_total{channel=email}"] == pytest.approx(waited)


async def test_leases_that_are_extended_are_counted(database_url: str) -> None:
    gate = asyncio.Event()
    enqueue(database_url, 3)
    counts = metrics.Counts({})

    async def behave(_: object) -> None:
        await gate.wait()

    slow = route(Recorder(behave))
    slow.listener = counts
    async with running(database_url, slow, lease=1.0):
        await await_until(lambda: of(counts)["outbox_leases_renewed_total{}"] >= 6)
        gate.set()


# Exemplars


def exemplars(text: str) -> dict[str, str]:
    """The trace of each bucket that has one, as a scraper reads them that asked for OpenMetrics."""
    return {
        f"{sample.name} {sample.labels['le']} {sample.labels.get('process', '')}".strip(): sample.exemplar.labels[
            "trace_id"
        ]
        for family in openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    }


ATTEMPTED = events.Attempted(ID, "email", 1, Sent(provider="smtp"), 0.02, 3.0, trace=TRACE, age=4.0)


def asked(port: int, accept: str) -> httpx.Response:
    return httpx.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accept}, timeout=10)


def test_who_asks_in_openmetrics_is_told_the_trace_that_fell_into_a_bucket(database_url: str) -> None:
    counts = metrics.Counts({"email": ["smtp"]})
    counts(ATTEMPTED)
    counts(ATTEMPTED._replace(seconds=20.0, trace=None))
    port = served(counts.registry, metrics.Known(database_url))
    assert exemplars(asked(port, "application/openmetrics-text; version=1.0.0").text) == {
        "outbox_delivery_seconds_bucket 0.025": TRACE,
        "outbox_end_to_end_seconds_bucket 5.0": TRACE,
    }
    assert TRACE not in asked(port, "text/plain").text


@pytest.mark.parametrize("arguments", [[], ["--processes", "2"]], ids=["one process", "several"])
def test_the_trace_that_a_notification_was_enqueued_in_is_told(
    arguments: list[str], fleet: Fleet, cloned_url: str
) -> None:
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (channel, recipient, payload, trace) "
        """VALUES ('email', 'ada@example.org', '{"subject": "Hello", "text": "Hi"}', %s)""",
        f"00-{TRACE}-b7ad6b7169203331-01",
    )
    fleet.start("--metrics-port", "0", "--metrics-host", "127.0.0.1", *arguments)
    wait_until(lambda: total(scrape(fleet), "outbox_end_to_end_seconds_count") == 1, timeout=60)
    port = int(re.findall(r"metrics at http://127\.0\.0\.1:(\d+)/", fleet.log())[-1])
    found = exemplars(asked(port, "application/openmetrics-text; version=1.0.0").text)
    assert set(found.values()) == {TRACE}
    assert {name.partition(" ")[0] for name in found} == {
        "outbox_delivery_seconds_bucket",
        "outbox_end_to_end_seconds_bucket",
    }


def test_the_traces_of_several_processes_are_told_by_their_supervisor(database_url: str) -> None:
    supervisor = metrics.Counts({})
    members = Members()
    for number in (1, 2):
        counts = metrics.Counts({"email": ["smtp"]})
        counts(ATTEMPTED._replace(trace=f"{number}" * 32))
        answer({metrics.QUESTION: metrics.teller(counts.registry)}, members.attach(number).detach())
    port = served(metrics.OfMembers(supervisor.registry, members), metrics.Known(database_url))
    found = exemplars(asked(port, "application/openmetrics-text; version=1.0.0").text)
    assert found["outbox_delivery_seconds_bucket 0.025 1"] == "1" * 32
    assert found["outbox_end_to_end_seconds_bucket 5.0 2"] == "2" * 32
    assert len(found) == 4
    assert re.search(r"^outbox_process_up\{process=\"2\"\} 1", asked(port, "text/plain").text, re.MULTILINE)
