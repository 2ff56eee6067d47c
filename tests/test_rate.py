"""A channel's rate holds for the whole fleet, and is used to the full."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.config import load
from outbox.durations import Rate, parse_rate
from outbox.errors import ConfigError
from outbox.queue.limit import Granted, take
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route, worker
from tests.waiting import await_until

if TYPE_CHECKING:
    from pathlib import Path

STARTED = "SELECT date_part('epoch', started_at) FROM outbox.attempts ORDER BY 1"


@pytest.mark.parametrize(
    ("text", "rate"),
    [("100/s", (100, 1)), ("600/m", (600, 60)), (" 2.5 / h", (2.5, 3_600)), ("1000/d", (1_000, 86_400))],
)
def test_a_rate_is_so_many_in_a_unit_of_time(text: str, rate: tuple[float, float]) -> None:
    assert parse_rate(text) == Rate(*rate)
    assert parse_rate(text).per_second == rate[0] / rate[1]


@given(st.text(max_size=12))
def test_whatever_else_is_written_is_refused_with_an_example(text: str) -> None:
    if re.fullmatch(r"\s*\d+(\.\d+)?\s*/\s*[smhd]\s*", text):
        return
    with pytest.raises(ValueError, match="100/s"):
        parse_rate(text)


@pytest.mark.parametrize("wrong", ["0/s", "100", "100/ms", "-1/s", "fast"])
def test_the_configuration_says_what_a_rate_looks_like(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text(f'[channels.email]\nproviders = ["smtp"]\nrate = "{wrong}"\n')
    with pytest.raises(ConfigError, match="100/s"):
        load(file, environ={})


async def taken(url: str, want: int, *, per_second: float = 10, burst: float = 5) -> Granted:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
        return await take(conn, scope="channel", name="email", per_second=per_second, burst=burst, want=want)


async def test_a_bucket_is_full_when_it_is_new_and_empties_and_fills(database_url: str) -> None:
    assert await taken(database_url, 2) == Granted(0, 0.0), "it is made"
    assert (await taken(database_url, 2)).tokens == 2
    assert (await taken(database_url, 9)).tokens == 3
    empty = await taken(database_url, 1, per_second=0.1)
    assert empty.tokens == 0
    assert 0 < empty.wait <= 10
    rows(database_url, "UPDATE outbox.limits SET refilled_at = refilled_at - interval '1 hour'")
    assert (await taken(database_url, 100)).tokens == 5, "and no more than it holds"
    assert (await taken(database_url, 1, per_second=0.1, burst=1)).tokens == 0


async def test_a_clock_that_is_put_back_gives_nothing_and_takes_nothing(database_url: str) -> None:
    await taken(database_url, 1)
    rows(database_url, "UPDATE outbox.limits SET tokens = 3, refilled_at = clock_timestamp() + interval '1 hour'")
    assert (await taken(database_url, 9)).tokens == 3


async def test_many_take_no_more_than_there_is(database_url: str) -> None:
    await taken(database_url, 1, per_second=0.001, burst=50)

    async def greedy() -> int:
        return sum([(await taken(database_url, 3, per_second=0.001, burst=50)).tokens for _ in range(5)])

    assert sum(await asyncio.gather(*(greedy() for _ in range(6)))) == 50


async def test_two_workers_together_keep_to_the_rate_and_use_it(database_url: str) -> None:
    count, per_second = 150, 100.0
    enqueue(database_url, count)
    await asyncio.gather(*(drain(database_url, route(Recorder(), rate=f"{per_second:g}/s")) for _ in range(2)))
    started = [at for (at,) in rows(database_url, STARTED)]
    assert len(started) == count
    burst = 3 * per_second / 10  # what the bucket holds, and what each of the two may have taken and not yet used
    for first in range(count):
        for last in range(first, count):
            assert last - first + 1 <= per_second * (started[last] - started[first]) + burst + 1
    assert rows(database_url, "SELECT 1 FROM outbox.attempts WHERE outcome <> 'sent'") == []


async def test_what_is_urgent_does_not_wait_behind_what_is_not(database_url: str) -> None:
    enqueue(database_url, 30, priority="bulk")
    (urgent,) = enqueue(database_url, priority="urgent")
    recorder = Recorder()
    await drain(database_url, route(recorder, rate="100/s"), prefetch=0, concurrency=1)
    assert urgent in {notification.id for notification in recorder.sent[:2]}, "every tenth claim is bulk's"


async def test_a_worker_that_waits_for_its_turn_stops_at_once(database_url: str) -> None:
    enqueue(database_url, 5)
    recorder = Recorder()
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    working = asyncio.create_task(worker(database_url, route(recorder, rate="1/h")).run(stop))
    await await_until(lambda: recorder.sent)
    stop.set_result("enough")
    assert await asyncio.wait_for(working, timeout=10) == 0
    assert rows(database_url, "SELECT count(*) FROM outbox.queue WHERE worker IS NULL") == [(4,)]
