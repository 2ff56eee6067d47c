"""Whether a worker lives and is ready, as whoever starts it again is told: processes frozen, killed and cut off."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from outbox import events
from outbox.devdb import LocalPostgres
from outbox.health import Household
from outbox.members import Members
from outbox.migrate import upgrade
from outbox.routine_events import Heartbeat, ProcessDrained
from outbox.worker import vitals
from outbox.worker.vitals import Pulse, Vitals
from tests.asking import asked, health_at, wait_for
from tests.command_line import run_process
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = ("--health-port", "0")


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url, getattr(request, "param", 0.0)) as made:
        yield made


def pids(url: str) -> list[int]:
    return [pid for (pid,) in rows(url, "SELECT pid FROM outbox.workers ORDER BY id")]


def check(found: Vitals | Household, name: str, look: str) -> vitals.Check:
    checks = found.live() if look == "live" else found.ready()
    return next(each for each in checks if each.name == name)


@pytest.mark.parametrize("fleet", [3.0], indirect=True)
def test_a_worker_is_ready_when_it_serves_and_lives_on_while_it_stops(fleet: Fleet, cloned_url: str) -> None:
    process = fleet.start(*PORT, "--grace", "20s")
    url = health_at(fleet)
    wait_for(url, "/ready", 200)
    assert asked(url, "/live") == (200, {})
    enqueue(cloned_url, 1)
    wait_until(lambda: fleet.lines("begun"), timeout=30)

    process.send_signal(signal.SIGTERM)
    assert wait_for(url, "/ready", 503, timeout=2) == {"stopping": "stopping: SIGTERM"}
    assert asked(url, "/live") == (200, {})
    assert process.wait(timeout=30) == 0
    assert fleet.lines("sent") == fleet.lines("begun")


def test_metrics_and_health_may_have_one_port(fleet: Fleet) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    fleet.start("--metrics-port", str(port), "--metrics-host", "127.0.0.1", "--health-port", str(port))
    url = health_at(fleet)
    assert url == f"http://127.0.0.1:{port}"
    wait_for(url, "/ready", 200)
    assert "outbox_build_info" in httpx.get(f"{url}/metrics", timeout=10).text
    assert httpx.head(f"{url}/live", timeout=10).content == b""
    assert httpx.head(f"{url}/live", timeout=10).status_code == 200
    assert httpx.post(f"{url}/live", timeout=10).status_code == 405


def test_a_port_of_health_has_nothing_else(fleet: Fleet) -> None:
    fleet.start(*PORT)
    assert httpx.get(f"{health_at(fleet)}/metrics", timeout=10).status_code == 404


def test_a_worker_whose_database_is_away_lives_and_is_not_ready(tmp_path: Path) -> None:
    with LocalPostgres() as server, Fleet(tmp_path, server.url) as fleet:
        upgrade(server.url)
        door = Path(server.host) / f".s.PGSQL.{server.port}"
        away = door.rename(f"{door}.away")
        process = fleet.start(*PORT)
        url = health_at(fleet)
        assert "database" in wait_for(url, "/ready", 503)
        assert asked(url, "/live") == (200, {})
        away.rename(door)
        wait_for(url, "/ready", 200)

        with psycopg.connect(server.url, autocommit=True) as admin:
            away = door.rename(f"{door}.away")
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'outbox %'"
            )
        assert "lost: " in wait_for(url, "/ready", 503)["database"]
        assert asked(url, "/live") == (200, {})
        away.rename(door)
        wait_for(url, "/ready", 200)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


@pytest.mark.parametrize("fleet", [3.0], indirect=True)
def test_a_supervisor_is_ready_when_all_its_processes_are_and_says_which_is_frozen(
    fleet: Fleet, cloned_url: str
) -> None:
    process = fleet.start("--processes", "2", *PORT)
    url = health_at(fleet)
    assert asked(url, "/live") == (200, {})
    wait_for(url, "/ready", 200)
    _, second = pids(cloned_url)
    os.kill(second, signal.SIGSTOP)
    try:
        assert wait_for(url, "/live", 503)["process 2"].startswith("has told nothing for ")
        assert set(asked(url, "/ready")[1]) == {"process 2"}
    finally:
        os.kill(second, signal.SIGCONT)
    wait_for(url, "/live", 200)
    wait_for(url, "/ready", 200)
    enqueue(cloned_url, 1)
    wait_until(lambda: fleet.lines("begun"), timeout=30)  # for as long as it is being sent, there is somebody to ask

    process.send_signal(signal.SIGTERM)
    assert wait_for(url, "/ready", 503, timeout=2)["stopping"] == "stopping: SIGTERM"
    assert process.wait(timeout=30) == 0


def test_a_process_that_died_and_is_replaced_leaves_the_supervisor_alive(fleet: Fleet, cloned_url: str) -> None:
    fleet.start("--processes", "2", *PORT)
    url = health_at(fleet)
    wait_for(url, "/ready", 200)
    os.kill(pids(cloned_url)[1], signal.SIGKILL)
    wait_until(lambda: "was killed by SIGKILL" in fleet.log(), timeout=30)
    assert asked(url, "/live") == (200, {})
    assert set(asked(url, "/ready")[1]) == {"process 2"}
    wait_for(url, "/ready", 200)
    assert asked(url, "/live") == (200, {})


def test_a_port_that_somebody_has_is_a_mistake_that_is_told_at_the_start(tmp_path: Path, cloned_url: str) -> None:
    config = tmp_path / "outbox.toml"
    config.write_text('[channels.email]\nproviders = ["console"]\n')
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run_process(
            cloned_url, "worker", "--channel", "email", "--config", config, "--drain", "--health-port", port
        )
    assert done.returncode == 2
    assert f"worker.health_port: cannot listen at 127.0.0.1, port {port}" in done.stderr


async def test_a_loop_that_stands_still_is_not_alive_until_it_turns_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "LONGEST_STAND", 0.5)
    monkeypatch.setattr(vitals, "_TICK", 0.05)
    pulse = Pulse()
    assert pulse.check().ok  # as one that is still being imported is
    pulse.begin(asyncio.get_running_loop())
    assert pulse.check().ok
    time.sleep(0.6)  # noqa: ASYNC251 - as a provider does that should not
    assert not pulse.check().ok
    await await_until(lambda: pulse.check().ok)


def test_a_lifeline_that_turns_no_more_is_not_alive_and_one_that_finds_no_database_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0.0
    monkeypatch.setattr("outbox.worker.vitals.time.monotonic", lambda: clock)
    worker = Vitals(lease=30.0)
    assert check(worker, "lifeline", "live").ok
    worker(events.WorkerStarted(1, ("email",)))
    assert check(worker, "database", "ready").ok
    clock = 16.0
    assert not check(worker, "database", "ready").ok
    worker(Heartbeat())
    assert check(worker, "database", "ready").ok
    worker(events.DatabaseLost("lifeline", "gone", 5.0))
    clock = 60.0
    assert check(worker, "lifeline", "live").ok
    assert not check(worker, "database", "ready").ok
    worker(events.DatabaseBack("lifeline", 5.0))
    clock = 67.0
    assert not check(worker, "lifeline", "live").ok


def test_what_is_lost_besides_claims_settlements_and_the_lifeline_is_no_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.worker.vitals.time.monotonic", lambda: 0.0)
    worker = Vitals(lease=30.0)
    worker(events.WorkerStarted(1, ("email",)))
    worker(events.DatabaseLost("chores", "gone", 5.0))
    assert all(each.ok for each in worker.ready())
    worker(events.DatabaseLost("settle", "gone", 5.0))
    assert not check(worker, "database", "ready").ok


def test_a_process_that_has_drained_lives_on_for_the_others_sake(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("outbox.health.household.time.monotonic", lambda: clock)
    household = Household(Members(), 1)
    household(events.ProcessDied(1, 4711, "was killed by SIGKILL", 1.0))
    household(ProcessDrained(1, 4712))
    clock = 600.0
    assert check(household, "process 1", "live").ok
    assert check(household, "process 1", "ready").says == "it has drained"


def test_a_place_that_nobody_takes_within_the_time_that_was_said_is_not_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr("outbox.health.household.time.monotonic", lambda: clock)
    household = Household(Members(), 1)
    assert check(household, "process 1", "ready").says == "it is not started yet"
    household(events.ProcessDied(1, 4711, "was killed by SIGKILL", 30.0))
    clock = 34.0
    assert check(household, "process 1", "live").ok
    clock = 36.0
    assert not check(household, "process 1", "live").ok
    household(events.ProcessUnable(1, 4711, "ended with exit code 2"))
    assert not check(household, "stopping", "ready").ok
