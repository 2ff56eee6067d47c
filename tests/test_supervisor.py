"""Several worker processes as one, and what becomes of them when one dies, or the one that keeps them does."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from outbox import events, routine_events
from outbox.worker import supervisor
from outbox.worker.supervisor import Supervisor, pauses
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import await_until, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url, getattr(request, "param", 0.0)) as made:
        yield made


def pids(url: str) -> list[int]:
    return [pid for (pid,) in rows(url, "SELECT pid FROM outbox.workers ORDER BY id")]


def connections(url: str) -> dict[str, int]:
    found = rows(
        url,
        "SELECT application_name, count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name LIKE 'outbox %' GROUP BY 1",
    )
    return dict(found)


def started(fleet: Fleet, url: str, count: int, *arguments: str) -> subprocess.Popen[bytes]:
    """A supervisor whose processes are all at work."""
    process = fleet.start("--processes", str(count), *arguments)
    wait_until(lambda: len(pids(url)) == count, timeout=30)
    wait_until(lambda: fleet.log().count(" serves email") == count, timeout=20)
    return process


@pytest.mark.parametrize("fleet", [0.3], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_signal_stops_all_processes_when_they_have_finished_what_they_send(
    fleet: Fleet, cloned_url: str, number: signal.Signals
) -> None:
    process = started(fleet, cloned_url, 2, "--concurrency", "5")
    enqueue(cloned_url, 100)
    wait_until(lambda: len(fleet.lines("begun")) >= 10)
    process.send_signal(number)
    assert process.wait(timeout=20) == 0, fleet.log()
    assert sorted(fleet.lines("begun")) == sorted(fleet.lines("sent"))
    assert len(rows(cloned_url, "SELECT DISTINCT worker FROM outbox.attempts")) == 2
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL OR lost > 0") == [(0,)]
    assert pids(cloned_url) == []
    assert f"stopping 2 processes ({number.name})" in fleet.log()
    for which in (1, 2):
        assert f"[{which}] worker " in fleet.log()


@pytest.mark.parametrize("fleet", [0.3], indirect=True)
def test_a_service_manager_that_signals_every_process_itself_costs_no_send(fleet: Fleet, cloned_url: str) -> None:
    """As systemd does: the supervisor's word then comes to processes that are stopping already."""
    process = started(fleet, cloned_url, 2, "--concurrency", "5")
    enqueue(cloned_url, 100)
    wait_until(lambda: len(fleet.lines("begun")) >= 10)
    for pid in [process.pid, *pids(cloned_url)]:
        os.kill(pid, signal.SIGTERM)
    assert process.wait(timeout=20) == 0, fleet.log()
    assert sorted(fleet.lines("begun")) == sorted(fleet.lines("sent"))


@pytest.mark.parametrize("fleet", [60.0], indirect=True)
def test_a_second_signal_ends_all_processes_at_once(fleet: Fleet, cloned_url: str) -> None:
    process = started(fleet, cloned_url, 2)
    enqueue(cloned_url, 2)
    wait_until(lambda: fleet.lines("begun"))
    process.terminate()
    wait_until(lambda: fleet.log().count(" stops (SIGTERM)") == 2)
    process.terminate()
    assert process.wait(timeout=3) == 128 + signal.SIGTERM
    wait_until(lambda: connections(cloned_url) == {}, timeout=3)


@pytest.mark.parametrize("fleet", [0.05], indirect=True)
def test_a_process_that_is_killed_is_replaced_and_nothing_is_lost(fleet: Fleet, cloned_url: str) -> None:
    process = started(fleet, cloned_url, 2, "--concurrency", "5")
    identities = {str(identity) for identity in enqueue(cloned_url, 200)}
    wait_until(lambda: len(fleet.lines("sent")) >= 20)
    victim = pids(cloned_url)[1]
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: fleet.log().count("[2] worker ") == 2, timeout=30)
    assert f"process 2 (pid {victim}) was killed by SIGKILL: another takes its place in 0.5 s" in fleet.log()
    wait_until(lambda: set(fleet.lines("sent")) == identities, timeout=20)
    process.terminate()
    assert process.wait(timeout=20) == 0, fleet.log()


@pytest.mark.parametrize("fleet", [0.3], indirect=True)
def test_no_process_outlives_a_supervisor_that_is_killed(fleet: Fleet, cloned_url: str) -> None:
    process = started(fleet, cloned_url, 2, "--concurrency", "5")
    enqueue(cloned_url, 200)
    wait_until(lambda: len(fleet.lines("begun")) >= 10)
    process.kill()
    wait_until(lambda: connections(cloned_url) == {}, timeout=20)
    assert fleet.log().count("stops (its supervisor is gone)") == 2
    assert sorted(fleet.lines("begun")) == sorted(fleet.lines("sent")), "and they stop in order"
    assert pids(cloned_url) == []


@pytest.mark.parametrize("fleet", [0.02], indirect=True)
def test_a_drain_ends_when_all_have_drained_and_replaces_those_that_died_meanwhile(
    fleet: Fleet, cloned_url: str
) -> None:
    identities = {str(identity) for identity in enqueue(cloned_url, 200)}
    process = fleet.start("--processes", "2", "--drain", "--concurrency", "5", "--log-format=json")
    victim = wait_until(lambda: pids(cloned_url), timeout=30)[0]
    os.kill(victim, signal.SIGKILL)
    assert process.wait(timeout=60) == 0, fleet.log()
    assert set(fleet.lines("sent")) == identities
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(0,)]
    lines = [json.loads(line) for line in fleet.log().splitlines()]
    assert [line["pid"] for line in lines if line["event"] == "ProcessDied"] == [victim]
    assert {line["process"] for line in lines if line["event"] == "WorkerStopped"} == {1, 2}


def test_a_mistake_in_the_configuration_is_told_once_and_ends_all(fleet: Fleet) -> None:
    assert fleet.start("--processes", "3", "--channel", "sms").wait(timeout=30) == 2
    assert fleet.log().count("no [channels.sms] in ") == 1
    assert "process 1 " in fleet.log()
    assert "ended with exit code 2: it cannot work" in fleet.log()


def test_a_database_that_is_not_migrated_is_told_once_and_ends_all(tmp_path: Path, empty_url: str) -> None:
    with Fleet(tmp_path, empty_url) as fleet:
        assert fleet.start("--processes", "3").wait(timeout=30) == 1
        assert fleet.log().count("run `outbox migrate`") == 1


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("0", 'worker.processes is "0"; it must be a whole number from 1 to 1000, or "auto"'),
        ("many", 'worker.processes is "many"; it must be a whole number from 1 to 1000, or "auto"'),
    ],
)
def test_a_number_of_processes_that_is_none_is_a_mistake(fleet: Fleet, given: str, problem: str) -> None:
    assert fleet.start("--processes", given).wait(timeout=30) == 2
    assert problem in fleet.log()


def test_a_process_holds_three_connections_whatever_its_concurrency(fleet: Fleet, cloned_url: str) -> None:
    process = started(fleet, cloned_url, 2, "--concurrency", "500")
    enqueue(cloned_url, 2_000)
    most = 0

    def finished() -> bool:
        nonlocal most
        found = connections(cloned_url)
        most = max(most, sum(count for purpose, count in found.items() if purpose not in for_a_moment))
        return len(fleet.lines("sent")) == 2_000

    for_a_moment = {"outbox chores", "outbox self-test"}
    wait_until(finished, timeout=30)
    assert 2 * 2 < most <= 2 * 3
    process.terminate()
    assert process.wait(timeout=20) == 0


# From here on the processes are small programs: `number` is which, `starts` how often that one was started by now.
PROGRAM = """
import os, sys, time
folder, number = sys.argv[1], int(sys.argv[-1].partition("/")[0])
say = lambda word: os.write(0, word)
hear = lambda: os.read(0, 100)
with open(f"{folder}/{number}", "a+") as file:
    file.write("x")
    file.seek(0)
    starts = len(file.read())
"""


async def supervise(program: str, folder: Path, *, count: int = 2, drain: bool = False) -> tuple[int, list[str]]:
    """Run a supervisor of such programs until it ends; returns its exit code, and what it told.

    Unless they drain, it is told to stop when all of them have said that they serve.
    """
    told: list[str] = []

    def listener(event: events.Event) -> None:
        match event:
            case events.ProcessDied(process, _, ending, pause):
                told.append(f"{process} {ending}, {pause:g} s")
            case events.ProcessUnable(process, _, ending):
                told.append(f"{process} {ending}, unable")
            case events.ProcessesStopping(reason, _):
                told.append(f"stopping: {reason}")
            case routine_events.ProcessDrained(process):
                told.append(f"{process} has drained")

    command = [sys.executable, "-c", PROGRAM + program, str(folder)]
    task = asyncio.create_task(Supervisor(command, count=count, grace=0.0, drain=drain, listener=listener).run())
    if not drain:
        await await_until(lambda: told or len(list(folder.glob("* serves"))) == count)
        if not told:
            os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(20):
        return await task, told


SERVE = """
say(b"s")
open(f"{folder}/{number} serves", "w")
"""


async def test_a_process_that_cannot_work_ends_the_others(tmp_path: Path) -> None:
    code, told = await supervise("if number == 2: sys.exit(2)\nsay(b's')\nhear()", tmp_path)
    assert code == 2
    assert told == ["2 ended with exit code 2, unable", "stopping: process 2 cannot work"]


async def test_the_exit_code_is_the_worst_of_all(tmp_path: Path) -> None:
    code, told = await supervise(SERVE + "hear()\nsys.exit(0 if number == 1 else 3)", tmp_path)
    assert code == 3
    assert told == ["stopping: SIGTERM"]


async def test_a_process_that_does_not_stop_is_killed_when_the_grace_is_well_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "OVERTIME", 0.5)
    code, told = await supervise(SERVE + "time.sleep(60)", tmp_path)
    assert code == 128 + signal.SIGKILL
    assert told == ["stopping: SIGTERM"]


DIE_TWICE = """
say(b"s")
if starts < 3: os.kill(os.getpid(), 9)
say(b"d")
"""


async def test_a_process_that_dies_and_dies_again_is_replaced_ever_more_slowly(tmp_path: Path) -> None:
    code, told = await supervise(DIE_TWICE, tmp_path, count=1, drain=True)
    assert (code, told) == (0, ["1 was killed by SIGKILL, 0.5 s", "1 was killed by SIGKILL, 1 s", "1 has drained"])


async def test_a_minute_of_health_makes_the_pauses_short_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_HEALTHY", 0.0)
    code, told = await supervise(DIE_TWICE, tmp_path, count=1, drain=True)
    assert (code, told) == (0, [*["1 was killed by SIGKILL, 0.5 s"] * 2, "1 has drained"])


async def test_a_drain_that_was_refused_is_not_begun_again(tmp_path: Path) -> None:
    code, told = await supervise("say(b's')\nsay(b'd')\nsys.exit(number - 1)", tmp_path, drain=True)
    assert (code, sorted(told)) == (1, ["1 has drained", "2 has drained"])


def test_the_pauses_double_up_to_half_a_minute() -> None:
    sequence = pauses()
    assert [next(sequence) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


BLOCKED = """
import asyncio, time
from outbox.worker import tether
tether.OVERTIME = 0.2
tether.Tether().watch(asyncio.new_event_loop(), print, grace=0.1)
time.sleep(60)
"""


def test_a_process_whose_event_loop_is_blocked_does_not_outlive_its_supervisor_either() -> None:
    with subprocess.Popen([sys.executable, "-c", BLOCKED], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=20) == 1
