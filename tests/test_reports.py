"""What workers tell of themselves while they work: what each counted and holds, and how it went by the minute."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import errors, events
from outbox.events import Attempted
from outbox.outcomes import Dead, Deferred, Failure, Retry, Sent
from outbox.queue import sample
from outbox.queue.attend import heartbeat
from outbox.queue.fleet import Fleet, fleet
from outbox.queue.samples import samples
from outbox.reports import Hold, InHand, Report, Tally
from outbox.worker import telling
from outbox.worker.leases import Leases
from outbox.worker.reporting import Reporting
from tests.endings import enter
from tests.hands import enqueue, rows
from tests.recorder import Recorder, drain, route
from tests.test_docs import blocks
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from outbox.messages import Notification
    from outbox.queue.samples import Sample

ID = UUID("01980000-0000-7000-8000-000000000000")
REFUSED = Failure("rejected", "550", "no")


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVERY", 0.05)


def seen(url: str) -> Fleet:
    with psycopg.connect(url) as conn:
        return fleet(conn)


def sent(url: str) -> int:
    """How many the live workers say that they have sent."""
    return sum(it.total for it in seen(url).traffic(lambda it: it.outcome, lambda it: it.outcome == "sent").values())


async def test_two_workers_say_together_what_was_sent_and_how_fast(database_url: str) -> None:
    enqueue(database_url, 300)
    some = [route(Recorder()), route(Recorder())]
    async with running(database_url, some[0], concurrency=10), running(database_url, some[1], concurrency=10):
        await await_until(lambda: sent(database_url) == 300)
        now = seen(database_url)
        traffic = now.traffic(lambda it: (it.channel, it.provider, it.outcome))[("email", "recorder0", "sent")]
        assert traffic.per_second > 300 / 11
        assert sum(traffic.latencies) == 300
        assert traffic.p50 is not None
        assert traffic.p99 is not None
        assert 0 < traffic.p50 <= traffic.p99 < 5
        assert [worker.report.concurrency for worker in now.workers if worker.report] == [10, 10]
        assert now.held() == []


def in_hand(now: Fleet) -> dict[str, InHand]:
    """Return what the workers that reported have in hand."""
    return {channel: hand for worker in now.workers if worker.report for channel, hand in worker.report.in_hand.items()}


async def test_a_worker_says_what_it_has_in_hand_and_whether_it_hears(database_url: str) -> None:
    gate = asyncio.Event()

    async def behave(_: Notification) -> None:
        await gate.wait()

    enqueue(database_url, 2)
    async with running(database_url, route(Recorder(behave)), concurrency=2):
        await await_until(lambda: in_hand(seen(database_url)) == {"email": InHand(ready=0, sending=2)})
        assert seen(database_url).in_hand() == {"email": 2}
        (worker,) = seen(database_url).workers
        assert worker.in_hand == 2
        await await_until(lambda: (report := seen(database_url).workers[0].report) and report.listening)
        gate.set()
        await await_until(lambda: seen(database_url).in_hand() == {})


async def test_a_held_provider_is_told_with_why_since_when_and_until_when(database_url: str) -> None:
    enqueue(database_url, 1)
    recorder = Recorder()
    recorder.failing = errors.Misconfigured("bad password of ada@example.org", code="535 5.7.8")
    began = datetime.now(UTC)
    async with running(database_url, route(recorder)):
        (held,) = await await_until(lambda: seen(database_url).held())
        assert (held.channel, held.provider, held.error_class) == ("email", "recorder0", "misconfigured")
        assert held.code == "535 5.7.8"
        assert began - timedelta(seconds=1) < held.since < datetime.now(UTC) + timedelta(seconds=1)
        assert held.probe_at - held.since == pytest.approx(timedelta(seconds=30), abs=timedelta(seconds=2))
        assert [held.worker] == [worker.id for worker in seen(database_url).workers]
    stored = rows(database_url, "SELECT details FROM outbox.audit UNION ALL SELECT report FROM outbox.workers")
    assert "example" not in json.dumps(stored)


async def test_nothing_of_a_message_is_in_a_report(database_url: str) -> None:
    enqueue(database_url, 3, recipient="secret@example.org", payload={"text": "a secret"}, topic="secrets")
    refusing = Recorder()
    refusing.failing = errors.Rejected("a secret of secret@example.org", code="550")
    async with running(database_url, route(refusing)):
        await await_until(lambda: seen(database_url).traffic(lambda it: it.outcome))
        ((report,),) = rows(database_url, "SELECT report::text FROM outbox.workers")
    assert "secret" not in report
    assert {it["class"] for it in json.loads(report)["ended"]} == {"rejected"}


async def test_a_worker_that_has_nothing_to_tell_writes_no_more_than_its_heartbeats(database_url: str) -> None:
    async with running(database_url, route(Recorder()), idle_after=0.01, idle_poll=60, lease=30):
        await await_until(lambda: rows(database_url, "SELECT idle FROM outbox.workers") == [(["email"],)])
        await await_until(lambda: (report := seen(database_url).workers[0].report) and report.listening)
        version = "SELECT xmin::text, seen_at FROM outbox.workers"
        before = rows(database_url, version)
        await asyncio.sleep(0.5)  # ten looks
        assert rows(database_url, version) == before


async def test_the_skew_of_a_worker_s_clock_is_seen(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(database_url, route(Recorder())):
        await await_until(lambda: [worker.skew for worker in seen(database_url).workers] not in ([], [None]))
        (worker,) = seen(database_url).workers
        assert worker.skew == pytest.approx(0, abs=1)
    clock = time.time
    monkeypatch.setattr("outbox.worker.reporting.time.time", lambda: clock() + 300)
    async with running(database_url, route(Recorder())):
        await await_until(lambda: [worker.skew for worker in seen(database_url).workers] not in ([], [None]))
        (worker,) = seen(database_url).workers
        assert worker.skew == pytest.approx(300, abs=1)


async def test_what_a_worker_did_is_in_the_history_when_it_has_left(database_url: str) -> None:
    enqueue(database_url, 20)
    enqueue(database_url, 5, channel="sms")
    dying = Recorder()
    dying.failing = errors.Rejected("no", code="550")
    await drain(database_url, route(Recorder()), route(dying, channel="sms"))
    with psycopg.connect(database_url) as conn:
        every = {(it.channel, it.provider): it for it in samples(conn, since=timedelta(hours=1), by_provider=True)}
    email, sms = every["email", "recorder0"], every["sms", "recorder0"]
    assert (email.sent, email.failed, email.dead, email.retried, email.untried) == (20, 0, 0, 0, 0)
    assert (sms.sent, sms.failed, sms.dead, sms.retried, sms.untried) == (0, 5, 5, 0, 0)
    assert sum(email.latencies) == 20
    assert email.p99 is not None
    assert rows(database_url, "SELECT count(*) FROM outbox.workers") == [(0,)]


async def test_the_history_has_each_minute_once_it_is_over(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    minute = 1
    monkeypatch.setattr(telling, "_minute", lambda: minute)
    enqueue(database_url, 20)
    recorder = Recorder()
    async with running(database_url, route(recorder)):
        await await_until(lambda: sent(database_url) == 20)
        assert rows(database_url, "SELECT count(*) FROM outbox.samples WHERE sent > 0") == [(0,)]
        minute = 2
        await await_until(lambda: rows(database_url, "SELECT sum(sent) FROM outbox.samples") == [(20,)])
        enqueue(database_url, 3)
        await await_until(lambda: sent(database_url) == 23)
        minute = 3
        await await_until(lambda: rows(database_url, "SELECT sum(sent) FROM outbox.samples") == [(23,)])


# What is counted, by hand

ENDINGS = st.sampled_from(
    [
        Sent(provider="smtp"),
        Retry(provider="smtp", failure=REFUSED, delay=1),
        Dead(provider="smtp", failure=REFUSED, reason="rejected"),
        Dead(failure=REFUSED, reason="too_old"),
        Deferred(failure=REFUSED, delay=1),
        Sent(provider="ses"),
    ]
)


@given(st.lists(st.tuples(ENDINGS, st.floats(0, 100), st.booleans()), max_size=60))
def test_every_ending_is_in_the_history_once_however_it_is_cut(endings: list[tuple[Sent, float, bool]]) -> None:
    reporting = Reporting(leases=Leases(30.0), concurrency=1, levels=(5,), drain=False)
    passed: list[events.Event] = []
    tell = reporting.before(passed.append)
    added: list[sample.Sample] = []
    for outcome, seconds, cut in endings:
        tell(Attempted(ID, "email", 1, outcome, seconds, 0.0))
        if cut:
            some, mark = reporting.samples()
            added += some
            reporting.sampled(mark)
    added += reporting.samples()[0]
    assert len(passed) == len(endings)
    outcomes = [outcome for outcome, _, _ in endings]
    assert sum(it.sent + it.failed + it.untried for it in added if it.provider) + sum(
        it.untried for it in added if not it.provider
    ) == len(endings)
    assert sum(it.sent for it in added) == sum(isinstance(it, Sent) for it in outcomes)
    assert sum(it.dead for it in added) == sum(isinstance(it, Dead) for it in outcomes)
    assert sum(it.retried for it in added) == sum(isinstance(it, Retry) for it in outcomes)
    assert sum(sum(it.delivery) for it in added) == sum(it.provider is not None for it in outcomes)
    report = reporting.report(listening=None)
    assert sum(tally.total for tally in report.tallies) == len(endings)


def test_what_could_not_be_written_is_told_again() -> None:
    reporting = Reporting(leases=Leases(30.0), concurrency=1, levels=(5,), drain=False)
    tell = reporting.before(lambda _: None)
    tell(Attempted(ID, "email", 1, Sent(provider="smtp"), 0.1, 0.0))
    first, _ = reporting.samples()
    tell(Attempted(ID, "email", 1, Sent(provider="smtp"), 0.1, 0.0))
    second, mark = reporting.samples()
    assert (first[0].sent, second[0].sent) == (1, 2)
    reporting.sampled(mark)
    assert reporting.samples()[0] == []


def test_only_the_last_seconds_are_recent(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter(range(100, 1_000, 5))
    monkeypatch.setattr("outbox.worker.reporting.time.monotonic", lambda: next(moments))
    reporting = Reporting(leases=Leases(30.0), concurrency=1, levels=(5,), drain=False)
    tell = reporting.before(lambda _: None)
    told = []
    for number in range(12):
        if number < 10:
            tell(Attempted(ID, "email", 1, Sent(provider="smtp"), 0.1, 0.0))
        report = reporting.report(listening=True)
        told += [(tally.total, tally.recent, report.window) for tally in report.tallies]
    assert told == [(1, 1, 5), *((number, 2, 10) for number in range(2, 11)), (10, 1, 10), (10, 0, 10)]


def test_a_provider_that_fails_its_probes_is_held_since_it_was_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("outbox.worker.reporting.time.monotonic", lambda: now)
    reporting = Reporting(leases=Leases(30.0), concurrency=1, levels=(5,), drain=False)
    tell = reporting.before(lambda _: None)
    tell(events.ProviderHeld("email", "smtp", 1.0, errors.Temporary("away", code="421")))
    now += 2
    tell(events.ProviderHeld("email", "smtp", 2.0, errors.Temporary("away", code="451")))
    now += 0.5
    assert reporting.report(listening=None).holds == (Hold("email", "smtp", "temporary", "451", 2.5, 1.5),)
    tell(events.ProviderResumed("email", "smtp"))
    assert not reporting.report(listening=None).holds


NUMBERS = st.integers(0, 2**40)
WORDS = st.text("abcdefghij-", min_size=1, max_size=8)
REPORTS = st.builds(
    Report,
    clock=st.integers(0, 2**32).map(float),
    window=st.integers(0, 100).map(float),
    listening=st.sampled_from([None, True, False]),
    concurrency=NUMBERS,
    levels=st.lists(st.integers(0, 9), unique=True).map(tuple),
    drain=st.booleans(),
    in_hand=st.dictionaries(WORDS, st.builds(InHand, NUMBERS, NUMBERS)),
    tallies=st.lists(
        st.builds(Tally, WORDS, WORDS | st.none(), WORDS, WORDS | st.none(), NUMBERS, st.just(3), st.just((0, 1, 2)))
    ).map(tuple),
    holds=st.lists(st.builds(Hold, WORDS, WORDS, WORDS, WORDS | st.none(), st.just(1.5), st.just(-0.25))).map(tuple),
)


@given(REPORTS)
def test_a_report_is_read_as_it_was_written(report: Report) -> None:
    assert Report.from_json(json.loads(json.dumps(report.to_json()))) == report


# What several workers add


def history(url: str, **given: object) -> list[Sample]:
    with psycopg.connect(url) as conn:
        return samples(conn, since=timedelta(days=1), **given)  # type: ignore[arg-type]


def add(url: str, *some: sample.Sample) -> None:
    with psycopg.connect(url) as conn:
        sample.add(conn, some)


def test_many_workers_add_to_the_same_minute_at_once_and_nothing_is_lost(database_url: str) -> None:
    one = sample.Sample("email", "smtp", 3, 2, 1, 1, 0, [0, 4, 1])
    other = sample.Sample("email", "", 0, 0, 0, 1, 5, [])
    longer = sample.Sample("sms", "twilio", 1, 0, 0, 0, 0, [0, 0, 0, 0, 1])

    async def work() -> None:
        await asyncio.gather(*(asyncio.to_thread(add, database_url, one, other, longer) for _ in range(8)))

    asyncio.run(work())
    every = history(database_url, by_provider=True)
    sums = {
        key: [sum(getattr(it, name) for it in every if (it.channel, it.provider) == key) for name in sample.COUNTED]
        for key in {(it.channel, it.provider) for it in every}
    }
    assert sums == {
        ("email", "smtp"): [24, 16, 8, 8, 0],
        ("email", ""): [0, 0, 0, 8, 40],
        ("sms", "twilio"): [8, 0, 0, 0, 0],
    }
    assert [sum(it.latencies) for it in every if it.provider == "smtp"][-1] % 5 == 0
    assert sum(sum(it.latencies) for it in every) == 8 * 6


def test_a_longer_step_adds_up_the_counts_and_takes_the_last_measurement(database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.samples (at, channel, provider, sent, delivery, waiting, due, leased, dead_letters) "
        "SELECT date_trunc('day', now()) - interval '1 hour' + n * interval '1 minute', 'email', p.provider, n, "
        "       ARRAY[0, n], p.measured * n, p.measured * n, p.measured * n, p.measured * n "
        "FROM generate_series(0, 9) AS n, (VALUES ('', 1), ('smtp', NULL)) AS p (provider, measured)",
    )
    with psycopg.connect(database_url) as conn:
        first, second = samples(conn, since=timedelta(days=2), step=300)
    assert (first.sent, second.sent) == (2 * (0 + 1 + 2 + 3 + 4), 2 * (5 + 6 + 7 + 8 + 9))
    assert (first.waiting, second.waiting, second.dead_letters) == (4, 9, 9)
    assert second.latencies == [0, 70]
    assert second.at - first.at == timedelta(minutes=5)


def test_a_moment_without_a_time_zone_or_a_step_below_a_minute_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        with pytest.raises(ValueError, match="time zone"):
            samples(conn, since=datetime(2026, 1, 1))  # noqa: DTZ001 - that is the mistake
        with pytest.raises(ValueError, match="at least 60 seconds, not 1"):
            samples(conn, since=timedelta(hours=1), step=1)


# Who reads


async def test_the_questions_on_the_page_about_metrics_are_answered(database_url: str) -> None:
    deep, hours, held = blocks("docs/metrics.md", "sql")
    enqueue(database_url, 3)
    enqueue(database_url, 1, channel="sms")
    away = Recorder()
    away.failing = errors.Misconfigured("no", code="401")
    async with running(database_url, route(Recorder()), route(away, channel="sms")):
        await await_until(lambda: rows(database_url, held), timeout=20)
        ((_, channel, provider, error_class, code, since),) = rows(database_url, held)
        assert (channel, provider, error_class, code) == ("sms", "recorder0", "misconfigured", "401")
        assert abs(since - datetime.now(UTC)) < timedelta(minutes=1)
        await await_until(lambda: len(rows(database_url, deep)) == 2, timeout=20)
    assert [row[1:3] for row in rows(database_url, hours) if row[1] == "email"] == [("email", 3)]


def test_a_worker_that_makes_no_reports_is_in_the_fleet_and_says_nothing(database_url: str) -> None:
    enter(database_url, "email")
    (worker,) = seen(database_url).workers
    assert (worker.report, worker.skew, worker.in_hand) == (None, None, 0)
    assert seen(database_url).traffic(lambda it: it.outcome) == {}
    with psycopg.connect(database_url) as conn:
        assert fleet(conn, ["sms"]).workers == ()
        assert len(fleet(conn, ["sms", "email"]).workers) == 1


def test_what_a_worker_did_before_it_fell_silent_is_no_rate_any_more(database_url: str) -> None:
    worker = enter(database_url, "email")
    report = Report(
        clock=time.time(),
        window=10.0,
        listening=True,
        concurrency=1,
        levels=(5,),
        drain=False,
        tallies=(Tally("email", "smtp", "sent", None, 1_000, 50, (0, 50)),),
    )
    with psycopg.connect(database_url, autocommit=True) as conn:
        heartbeat(conn, worker, ["email"], report=json.dumps(report.to_json()))
    assert seen(database_url).traffic(lambda it: it.channel)["email"].per_second == 5
    rows(database_url, "UPDATE outbox.workers SET seen_at = seen_at - interval '40 s'")
    silent = seen(database_url).traffic(lambda it: it.channel)["email"]
    assert (silent.per_second, silent.total, silent.p50) == (0, 1_000, None)
