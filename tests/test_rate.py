"""A channel's rate holds for the whole fleet, and is used to the full."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

import outbox
from outbox.config import load
from outbox.durations import Rate, parse_rate
from outbox.errors import ConfigError
from outbox.messages import Notification, Sms
from outbox.queue.limit import Granted, forget, take
from outbox.worker.pace import Pace
from outbox.worker.process import routes
from tests.hands import claim, enqueue, expire_leases, rows
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


async def test_a_recipient_is_sent_so_many_and_the_others_wait_for_their_turn_in_order(database_url: str) -> None:
    ids = [enqueue(database_url, recipient="ann@example.org")[0] for _ in range(6)]
    (other,) = enqueue(database_url, recipient="bob@example.org")
    recorder = Recorder()
    await drain(database_url, route(recorder, recipient_rate="2/h"))
    assert {each.id for each in recorder.sent} == {*ids[:2], other}
    waits = rows(
        database_url,
        "SELECT date_part('epoch', run_at - now()) / 60, attempt FROM outbox.queue ORDER BY run_at",
    )
    assert [(round(minutes / 30), attempt) for minutes, attempt in waits] == [(1, 0), (2, 0), (3, 0), (4, 0)]
    told = rows(database_url, "SELECT DISTINCT outcome, error_class FROM outbox.attempts WHERE outcome <> 'sent'")
    assert told == [("deferred", "throttled")]
    rows(database_url, f"UPDATE outbox.queue SET run_at = now() WHERE id = '{ids[2]}'")
    await drain(database_url, route(recorder, recipient_rate="2/h"))
    assert [each.id for each in recorder.sent][-1] == ids[2], "it had its token, and is asked for none again"


async def test_who_has_no_turn_yet_has_none_either_when_the_worker_that_found_out_stops(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pace, "ahead", lambda _, most: most)
    enqueue(database_url, 9, recipient="ann@example.org")
    recorder = Recorder()
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def behave(_: Notification) -> None:
        leased = "SELECT count(*) FROM outbox.queue WHERE worker IS NOT NULL"
        await await_until(lambda: rows(database_url, leased) == [(9,)])
        stop.set_result("SIGTERM")

    limited: dict[str, Any] = {"recipient_rate": "1/h", "max_age": "210m"}
    assert await worker(database_url, route(Recorder(behave), **limited), concurrency=1, prefetch=50).run(stop) == 0
    assert rows(database_url, "SELECT count(*) FROM outbox.queue WHERE run_at < now() + interval '50 minutes'") == [
        (0,)
    ]
    await drain(database_url, route(recorder, **limited))
    assert recorder.sent == []
    found = rows(database_url, "SELECT state, count(*) FROM outbox.status GROUP BY 1 ORDER BY 1")
    assert found == [("dead", 5), ("deferred", 3), ("sent", 1)]


async def test_what_a_vanished_worker_may_have_sent_takes_another_token(database_url: str) -> None:
    enqueue(database_url, 3, recipient="ann@example.org")
    await claim(database_url, worker=99)
    expire_leases(database_url)
    recorder = Recorder()
    await drain(database_url, route(recorder, recipient_rate="1/h"))
    assert len(recorder.sent) == 1


async def test_who_erases_somebody_in_a_transaction_that_stays_open_keeps_nobody_from_being_claimed(
    cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.worker.worker.LONGEST_WAIT", 0.2)
    enqueue(cloned_url, recipient="ann@example.org")
    recorder = Recorder()
    await drain(cloned_url, route(recorder, recipient_rate="1/h"))
    with psycopg.connect(cloned_url) as application:
        outbox.erase(application, recipient="ann@example.org")
        (late,) = enqueue(cloned_url, recipient="ann@example.org")
        (other,) = enqueue(cloned_url, recipient="bob@example.org")
        async with asyncio.timeout(10):
            await drain(cloned_url, route(recorder, recipient_rate="1/h"))
        application.rollback()
    assert {each.id for each in recorder.sent[1:]} == {late, other}


async def test_who_would_wait_for_longer_than_max_age_is_a_dead_letter_and_takes_nobodys_turn(
    database_url: str,
) -> None:
    enqueue(database_url, 5, recipient="ann@example.org")
    recorder = Recorder()
    await drain(database_url, route(recorder, recipient_rate="1/h", max_age="150m"))
    assert len(recorder.sent) == 1
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(2,)]
    assert rows(database_url, "SELECT reason FROM outbox.dead_letters") == [("too_old",), ("too_old",)]
    assert rows(database_url, "SELECT round(tokens) FROM outbox.limits") == [(-2,)]


async def test_what_is_kept_of_a_recipient_is_a_digest_until_its_bucket_is_full_again(database_url: str) -> None:
    enqueue(database_url, recipient="Ann@example.org")
    enqueue(database_url, recipient="ann@EXAMPLE.org")
    await drain(database_url, route(Recorder(), recipient_rate="2/h"))
    ((name,),) = rows(database_url, "SELECT name FROM outbox.limits")
    assert re.fullmatch("email:[0-9a-f]{64}", name)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as conn:
        assert not await forget(conn, batch=10)
        assert rows(database_url, "SELECT count(*) FROM outbox.limits") == [(1,)]
        rows(database_url, "UPDATE outbox.limits SET refilled_at = refilled_at - interval '61 minutes'")
        assert await forget(conn, batch=1), "there may be more"
    assert rows(database_url, "SELECT count(*) FROM outbox.limits") == [(0,)]


async def test_a_providers_rate_sends_the_rest_to_the_next(database_url: str) -> None:
    enqueue(database_url, 40)
    slow, fast = Recorder(), Recorder()
    limited = route(slow, fast, rates={"recorder0": Rate(10, 1)})
    await drain(database_url, limited)
    assert len(slow.sent) + len(fast.sent) == 40
    assert 0 < len(slow.sent) <= 10 + 1
    assert rows(database_url, "SELECT count(*) FROM outbox.attempts WHERE outcome <> 'sent'") == [(0,)]


async def test_a_provider_with_a_rate_is_used_to_the_full_though_the_next_has_none(database_url: str) -> None:
    slow, fast = Recorder(), Recorder()
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    limited = route(slow, fast, rates={"recorder0": Rate(20, 1)})
    serving = asyncio.create_task(worker(database_url, limited, idle_poll=0.05).run(stop))
    for _ in range(20):
        enqueue(database_url, 10)
        await asyncio.sleep(0.1)
    await await_until(lambda: len(slow.sent) + len(fast.sent) == 200)
    stop.set_result("the test is over")
    await serving
    (took,) = rows(database_url, "SELECT date_part('epoch', max(started_at) - min(started_at)) FROM outbox.attempts")[0]
    assert 20 * took / 2 <= len(slow.sent) <= 20 * took + 2 + 1


async def test_the_rates_of_all_providers_together_bound_what_is_claimed(database_url: str) -> None:
    count = 60
    enqueue(database_url, count)
    first, second = Recorder(), Recorder()
    both = route(first, second, rates={"recorder0": Rate(20, 1), "recorder1": Rate(40, 1)})
    await drain(database_url, both)
    started = [at for (at,) in rows(database_url, STARTED)]
    assert len(started) == count
    assert started[-1] - started[0] >= (count - 2 * 6 - 1) / 60
    assert rows(database_url, "SELECT count(*) FROM outbox.attempts WHERE outcome <> 'sent'") == [(0,)]
    assert len(second.sent) > len(first.sent) > 0


async def test_a_long_text_counts_as_the_parts_that_it_is_paid_for(database_url: str) -> None:
    enqueue(database_url, 4, channel="sms", recipient="+447700900001", payload={"text": "x"})
    recorder = Recorder()
    in_parts = route(recorder, channel="sms", rate="10/s")
    in_parts.compose = lambda notification: Sms(notification.recipient, "x" * 1_000, parts=7)
    await drain(database_url, in_parts)
    started = [at for (at,) in rows(database_url, STARTED)]
    assert len(started) == 4
    assert started[-1] - started[0] >= (3 * 7 - 1) / 10 * 0.9


async def test_weights_share_the_messages_and_each_keeps_its_own_provider(database_url: str) -> None:
    enqueue(database_url, 300)
    often, seldom, never = Recorder(), Recorder(), Recorder()
    shared = route(often, seldom, never, weights=(4, 1, 0))
    await drain(database_url, shared)
    assert not never.sent
    assert 30 <= len(seldom.sent) <= 95, "a fifth of 300 is 60; six standard deviations are 42"
    for recorder, name in ((often, "recorder0"), (seldom, "recorder1")):
        for key in recorder.keys:
            assert next(iter(shared.order(key)))[0] == name
            assert [each for each, _ in shared.order(key)][-1] == "recorder2"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('providers = ["smtp", "ses"]\nweights = [1]', "1 weights for 2 providers"),
        ('providers = ["smtp", "ses"]\nweights = [0, 0]', "no weight is above 0"),
        ('providers = ["smtp"]\nweights = [-1]', "numbers, one for each provider"),
        ('providers = ["smtp"]\nrecipient_rate = "5"', "5/h"),
        ('providers = ["smtp"]\n[providers.smtp]\nrate = "quick"', "100/s"),
        ('providers = ["smtp"]\n[providers.smtp]\nmodule = 3', "name of a provider"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_read(tmp_path: Path, lines: str, problem: str) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text(f"[channels.email]\n{lines}\n")
    with pytest.raises(ConfigError, match=problem):
        load(file, environ={})


def test_a_second_relay_is_a_section_that_names_its_module(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    settings = 'host = "127.0.0.1"\ntls = "none"\nsender = "a@example.org"'
    file.write_text(
        '[channels.email]\nproviders = ["smtp", "backup"]\n'
        f'[providers.smtp]\nrate = "14/s"\n{settings}\n[providers.backup]\nmodule = "smtp"\n{settings}\n'
    )
    (made,) = routes(load(file, environ={}), ["email"], lambda _: None)
    assert [type(provider).__module__ for provider in made.providers.values()] == ["outbox.channels.email.smtp"] * 2
    assert made.rates == {"smtp": Rate(14, 1)}
