"""What Prometheus is told of workers: one process by itself, and several through their supervisor."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from uuid import UUID

import httpx
import psycopg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from outbox import errors, events, metrics, pause_events, port, routine_events
from outbox.durations import Quota
from outbox.errors import ConfigError
from outbox.members import Members
from outbox.outcomes import Dead, Failure, Sent, Suppressed, Surplus
from outbox.queue import gauge, measure
from outbox.schedule_events import ScheduleSkipped
from outbox.template_events import ComposeFailed, TemplatesChanged
from tests.command_line import run_process
from tests.endings import put_dead
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.test_logs import EVERY_EVENT
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ID = UUID("01980000-0000-7000-8000-000000000000")
PAGE = Path(__file__).parent.parent / "docs/metrics.md"
# What says nothing that could be counted: that something began, goes on as it should, or ended in order.
NOT_COUNTED = {
    events.WorkerStarted,
    events.WorkerStopping,
    events.WorkerStopped,
    events.ProcessUnable,
    events.ProcessesStopping,
    events.MetricsServed,
    events.DatabaseBack,
    events.LoopStuck,
    TemplatesChanged,
    ComposeFailed,  # the attempt that it ends is
    ScheduleSkipped,
    pause_events.Paused,
    pause_events.Resumed,
    events.Retained,
    routine_events.Heartbeat,
    routine_events.HealthServed,
    routine_events.SchemaNewer,
    routine_events.ProcessDrained,
}


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url) as made:
        yield made


def values(text: str) -> dict[str, float]:
    """Every sample by its name and labels, as they are written in PromQL."""
    return {
        f"{sample.name}{{{','.join(f'{key}={value}' for key, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def of(counts: metrics.Counts) -> dict[str, float]:
    return values(generate_latest(counts.registry).decode())


def scrape(fleet: Fleet) -> dict[str, float]:
    """What is served where the log says that it is."""
    wait_until(lambda: "metrics at http://127.0.0.1:" in fleet.log(), timeout=30)
    url = re.findall(r"http://127\.0\.0\.1:\d+/metrics", fleet.log())[-1]
    return values(httpx.get(url, timeout=10).text)


def total(found: dict[str, float], beginning: str) -> float:
    return sum(value for name, value in found.items() if name.startswith(beginning))


@pytest.mark.parametrize("event", EVERY_EVENT, ids=lambda event: type(event).__name__)
def test_every_event_changes_a_metric_or_is_known_not_to(event: events.Event) -> None:
    counts = metrics.Counts({})
    before = of(counts)
    counts(event)
    changed = {name for name, value in of(counts).items() if before.get(name) != value and name.startswith("outbox_")}
    assert bool(changed) is (type(event) not in NOT_COUNTED), changed


def test_those_that_are_not_counted_are_events() -> None:
    assert set(get_args(events.Event)) >= NOT_COUNTED


def _of_everything(url: str) -> str:
    """A database of which there is something to tell of each kind."""

    async def work() -> None:
        async with await psycopg.AsyncConnection.connect(url) as conn:
            await measure.measure(conn)
            await gauge.gauge(conn)

    put_dead(url)
    enqueue(url)
    rows(url, "INSERT INTO outbox.pauses (scope, name) VALUES ('channel', 'email')")
    asyncio.run(work())
    return url


def test_the_page_names_every_metric_with_its_kind_and_labels(database_url: str) -> None:
    rows_of_page = re.findall(r"^\| `(outbox_\w+)` \| (\w+) \| (.*?)\| ", PAGE.read_text(), re.MULTILINE)
    written = {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows_of_page}
    counts = metrics.Counts({})
    for event in EVERY_EVENT:
        counts(event)
    counts(events.Attempted(ID, "email", 1, Dead(reason="rejected"), 0.02, 3.0))
    surplus = Surplus("news", Quota(3, 86_400.0), "drop", 60.0)
    counts(events.Attempted(ID, "email", 0, Suppressed(surplus=surplus), 0.0, 3.0))
    served = {
        family.name.removesuffix("_info") + "_info" * (family.type == "info"): (
            family.type.replace("info", "gauge"),
            frozenset(key for sample in family.samples for key in sample.labels if key != "le"),
        )
        for family in (
            *metrics.OfMembers(counts.registry, Members()).collect(),
            *metrics.Known(_of_everything(database_url)).collect(),
        )
        if family.name.startswith("outbox_")
    }
    ours = {name: (kind, labels - {"process"}) for name, (kind, labels) in served.items()}
    assert ours.pop("outbox_process_up") == ("gauge", frozenset())
    assert written.pop("outbox_process_up") == ("gauge", frozenset({"process"}))
    assert ours == written


def test_an_attempt_is_counted_by_channel_provider_outcome_and_class_and_timed() -> None:
    counts = metrics.Counts({"email": ["smtp"]})
    refused = Dead(provider="smtp", failure=Failure("rejected", "550", "no"), reason="rejected")
    for outcome in (Sent(provider="smtp"), Sent(provider="smtp"), refused):
        counts(events.Attempted(ID, "email", 1, outcome, 0.02, 3.0))
    found = of(counts)
    assert found["outbox_attempts_total{channel=email,class=,outcome=sent,provider=smtp}"] == 2
    assert found["outbox_attempts_total{channel=email,class=rejected,outcome=dead,provider=smtp}"] == 1
    assert found["outbox_dead_letters_total{channel=email,reason=rejected}"] == 1
    assert found["outbox_delivery_seconds_sum{channel=email,provider=smtp}"] == pytest.approx(0.06)
    assert found["outbox_delivery_seconds_bucket{channel=email,le=0.025,provider=smtp}"] == 3
    assert found["outbox_wait_seconds_bucket{channel=email,le=1.0}"] == 0
    assert found["outbox_wait_seconds_bucket{channel=email,le=5.0}"] == 3


def test_a_code_that_no_table_has_and_a_failover_are_counted_for_their_provider() -> None:
    counts = metrics.Counts({"sms": ["twilio", "vonage"]})
    unknown = errors.Unrecognised("what?", code="400 29999")
    counts(events.CodeUnknown("sms", "twilio", unknown))
    counts(events.FailedOver(ID, "sms", "twilio", unknown))
    found = of(counts)
    assert found["outbox_unknown_codes_total{channel=sms,provider=twilio}"] == 1
    assert found["outbox_unknown_codes_total{channel=sms,provider=vonage}"] == 0
    assert found["outbox_failovers_total{channel=sms,class=unrecognised,provider=twilio}"] == 1


def test_a_held_provider_is_shown_as_held_until_it_resumes() -> None:
    counts = metrics.Counts({"email": ["smtp"]})
    held = "outbox_provider_held{channel=email,provider=smtp}"
    assert of(counts)[held] == 0
    counts(events.ProviderHeld("email", "smtp", 30.0, errors.Misconfigured("bad password", code="535")))
    assert of(counts)[held] == 1
    counts(events.ProviderResumed("email", "smtp"))
    found = of(counts)
    assert found[held] == 0
    assert found["outbox_provider_holds_total{channel=email,class=misconfigured,provider=smtp}"] == 1


def test_a_worker_serves_what_it_did(fleet: Fleet, cloned_url: str) -> None:
    fleet.start("--metrics-port", "0", "--metrics-host", "127.0.0.1")
    enqueue(cloned_url, 30)
    wait_until(lambda: total(scrape(fleet), "outbox_settled_total") == 30, timeout=30)
    found = scrape(fleet)
    assert total(found, "outbox_attempts_total{channel=email,class=,outcome=sent") == 30
    assert total(found, "outbox_claimed_total{channel=email}") == 30
    assert total(found, "outbox_settle_seconds_count") >= 1
    assert found["process_resident_memory_bytes{}"] > 1_000_000
    assert total(found, "outbox_build_info{") == 1


def test_the_supervisor_serves_what_all_its_processes_did_and_that_one_died(fleet: Fleet, cloned_url: str) -> None:
    fleet.start("--processes", "2", "--metrics-port", "0", "--metrics-host", "127.0.0.1")
    wait_until(lambda: fleet.log().count(" serves email") == 2, timeout=30)
    enqueue(cloned_url, 60)
    wait_until(lambda: total(scrape(fleet), "outbox_settled_total") == 60, timeout=30)
    found = scrape(fleet)
    for which in ("1", "2", "supervisor"):
        assert found[f"process_resident_memory_bytes{{process={which}}}"] > 1_000_000
    assert found["outbox_process_up{process=1}"] == found["outbox_process_up{process=2}"] == 1

    (pid, *_) = [pid for (pid,) in rows(cloned_url, "SELECT pid FROM outbox.workers ORDER BY id")]
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: fleet.log().count(" serves email") == 3, timeout=30)
    wait_until(lambda: total(scrape(fleet), "outbox_process_up{") == 2, timeout=30)
    assert scrape(fleet)["outbox_process_deaths_total{process=supervisor}"] == 1


def test_a_process_that_stands_still_is_left_out_and_is_there_again_when_it_goes_on(
    fleet: Fleet, cloned_url: str
) -> None:
    fleet.start("--processes", "2", "--metrics-port", "0", "--metrics-host", "127.0.0.1")
    wait_until(lambda: fleet.log().count(" serves email") == 2, timeout=30)
    (pid, *_) = [pid for (pid,) in rows(cloned_url, "SELECT pid FROM outbox.workers ORDER BY id")]
    os.kill(pid, signal.SIGSTOP)
    try:
        found = scrape(fleet)
        assert total(found, "outbox_process_up{") == 1
        assert "process_resident_memory_bytes{process=supervisor}" in found
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_until(lambda: total(scrape(fleet), "outbox_process_up{") == 2, timeout=30)


def test_a_port_that_somebody_has_is_a_mistake_that_is_told_at_the_start(tmp_path: Path, cloned_url: str) -> None:
    config = tmp_path / "outbox.toml"
    config.write_text('[channels.email]\nproviders = ["console"]\n[worker]\nmetrics_host = "127.0.0.1"\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for processes in ("1", "2"):
            done = run_process(
                cloned_url,
                *("worker", "--channel", "email", "--config", config, "--drain"),
                *("--metrics-port", port, "--processes", processes),
            )
            assert done.returncode == 2
            assert f"worker.metrics_port: cannot listen at 127.0.0.1, port {port}" in done.stderr
            assert "Traceback" not in done.stderr


def test_an_address_that_is_not_ours_is_refused_in_words() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen at no such host, port 9464"):
        port.serve({"": metrics.page(CollectorRegistry())}, host="no such host", port=9464, key="worker.metrics_port")
