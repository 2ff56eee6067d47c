"""The clocks of the scenarios are as wrong as they should be."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.scenarios.late_commits import Clock
from tests.hands import claim, enqueue

ROOT = Path(__file__).parents[2]

# What a program sees that is run under a wrong clock, by every way in which one asks for the time of day.
_ASK = """
from datetime import UTC, datetime
import time
print(time.time(), time.time_ns() / 1e9, datetime.now(UTC).timestamp(), datetime.now().timestamp())
print(time.mktime(time.localtime()), time.monotonic(), isinstance(datetime(2020, 1, 1), datetime))
"""


def test_a_wrong_clock_is_wrong_whoever_asks_for_the_time_of_day(tmp_path: Path) -> None:
    (tmp_path / "asking.py").write_text(_ASK)
    command = [sys.executable, "-m", "tests.chaos.wrong_clock", "3600", "0", "asking"]
    env = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT, env=env)
    *wrong, monotonic, is_datetime = done.stdout.split()
    for moment in wrong:
        assert float(moment) == pytest.approx(time.time() + 3_600, abs=60)
    assert float(monotonic) == pytest.approx(time.monotonic(), abs=60)
    assert is_datetime == "True"


async def test_the_sessions_of_a_stepped_clock_see_what_is_due_by_it(cloned_url: str) -> None:
    clock = Clock(cloned_url)
    enqueue(cloned_url, 2)
    clock.set(-60.0)
    assert await claim(clock.url) == []
    clock.set(0.0)
    assert len(await claim(clock.url)) == 2


def test_what_is_due_is_so_since_the_clock_last_reached_it(cloned_url: str) -> None:
    clock = Clock(cloned_url)
    clock._steps = [(0.0, 0.0), (10.0, 5.0), (20.0, -5.0), (30.0, 0.0)]  # noqa: SLF001 - its history, in seconds
    assert clock.due_since(3.0, 8.0) == 3.0
    assert clock.due_since(3.0, 15.0) == 3.0
    assert clock.due_since(12.0, 15.0) == 10.0, "the step ahead made it due"
    assert clock.due_since(17.0, 35.0) == 22.0, "the step back made it wait again"
    assert clock.due_since(28.0, 35.0) == 30.0, "it was due at once when the clock was right again"
