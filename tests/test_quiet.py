"""Quiet hours and send windows: what may not be sent now waits until it may, and nothing is lost by that."""

from __future__ import annotations

import asyncio
import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest

import outbox
from outbox import errors, suppressions
from outbox.config import TopicConfig, load
from outbox.deliver import deliver
from outbox.errors import ConfigError
from outbox.outcomes import Ambiguous, Dead, Deferred, Expired, Outcome, Retry, Sent
from outbox.queue.claim import Claimed
from outbox.week import parse_week
from tests.command_line import run
from tests.hands import enqueue, leased, rows
from tests.recorder import Recorder, drain, route
from tests.test_docs import ROOT, blocks
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo
    from pathlib import Path
    from uuid import UUID

    from outbox.messages import Notification
    from outbox.route import Route

NIGHT = "22:00-08:00"
BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def topics(**tables: dict[str, str]) -> dict[str, TopicConfig]:
    return {name: TopicConfig.model_validate(table) for name, table in tables.items()}


def by_day(now: str, *providers: Recorder, topics: dict[str, TopicConfig] | None = None, **policy: Any) -> Route:
    """A route at a certain time."""
    made = route(*providers or (Recorder(),), topics=topics, **policy)
    made.clock = lambda: at(now)
    return made


async def attempt(to: Route, over_rate: float = 0.0, **given: Any) -> Outcome:
    identity = uuid4()
    known: dict[str, Any] = {"age": 1.0, "recipient": "ada@example.org"}
    one = Claimed(identity, str(identity), **known | given)
    return await deliver(leased(one, over_rate=over_rate), to)


def recorders(to: Route) -> Sequence[Recorder]:
    return [provider for provider in to.providers.values() if isinstance(provider, Recorder)]


def words(outcome: Outcome) -> str:
    assert outcome.failure is not None
    return outcome.failure.detail


async def test_in_quiet_hours_it_is_put_off_to_their_end_and_no_attempt_is_used() -> None:
    to = by_day("2026-07-01T23:00+02:00", topics=topics(news={"quiet_hours": NIGHT, "time_zone": BERLIN}))
    outcome = await attempt(to, topic="news")
    assert isinstance(outcome, Deferred)
    assert words(outcome) == "quiet hours of topic news until 08:00 Europe/Berlin"
    assert outcome.failure is not None
    assert outcome.failure.error_class == "quiet_hours"
    assert not outcome.used
    assert outcome.delay is not None
    assert 9 * 3600 <= outcome.delay <= 9 * 3600 + 60, "spread over a minute, so that a million do not come at once"
    assert recorders(to)[0].keys == []


async def test_out_of_them_and_without_the_topic_it_is_sent() -> None:
    of = topics(news={"quiet_hours": NIGHT})
    assert isinstance(await attempt(by_day("2026-07-01T12:00Z", topics=of), topic="news"), Sent)
    assert isinstance(await attempt(by_day("2026-07-01T23:00Z", topics=of), topic="bills"), Sent)
    assert isinstance(await attempt(by_day("2026-07-01T23:00Z", topics=of)), Sent)


async def test_the_recipients_time_zone_goes_before_the_topics_and_that_before_the_channels() -> None:
    of = topics(news={"quiet_hours": NIGHT, "time_zone": "America/New_York"}, bills={"quiet_hours": NIGHT})
    noon_in_berlin = by_day("2026-07-01T12:00+02:00", topics=of, time_zone="Asia/Tokyo")
    assert isinstance(await attempt(noon_in_berlin, topic="news", time_zone=BERLIN), Sent)
    in_new_york = await attempt(noon_in_berlin, topic="news")
    assert words(in_new_york) == "quiet hours of topic news until 08:00 America/New_York"
    assert isinstance(await attempt(noon_in_berlin, topic="bills"), Sent), "it is seven in the evening in Tokyo"
    assert isinstance(await attempt(by_day("2026-07-01T23:00Z", quiet_hours=NIGHT)), Deferred), "else it is UTC"


async def test_what_is_urgent_is_sent_at_any_time() -> None:
    assert isinstance(await attempt(by_day("2026-07-01T23:00Z", quiet_hours=NIGHT), priority=0), Sent)
    assert isinstance(await attempt(by_day("2026-07-01T23:00Z", quiet_hours=NIGHT), priority=1), Deferred)


async def test_outside_a_send_window_it_waits_for_the_next() -> None:
    friday = by_day("2026-07-03T17:00Z", topics=topics(news={"send_window": "Mon-Fri 09:00-17:00"}))
    outcome = await attempt(friday, topic="news")
    assert words(outcome) == "outside the send window of topic news until Mon 09:00 UTC"
    assert outcome.failure is not None
    assert outcome.failure.error_class == "send_window"
    inside = by_day("2026-07-03T16:59Z", topics=topics(news={"send_window": "Mon-Fri 09:00-17:00"}))
    assert isinstance(await attempt(inside, topic="news"), Sent)


async def test_the_rules_of_the_channel_and_of_the_topic_both_hold_and_the_last_to_end_is_named() -> None:
    of = topics(news={"send_window": "09:00-17:00"})
    for now in ("2026-07-01T23:00Z", "2026-07-02T08:30Z"):
        outcome = await attempt(by_day(now, topics=of, quiet_hours=NIGHT), topic="news")
        assert words(outcome) == "outside the send window of topic news until 09:00 UTC"
    outcome = await attempt(by_day("2026-07-01T23:00Z", topics=of, quiet_hours="22:00-10:00"), topic="news")
    assert words(outcome) == "quiet hours of channel email until 10:00 UTC"


async def test_a_time_zone_that_nobody_here_knows_is_taken_for_the_default_and_told() -> None:
    to = by_day("2026-07-01T23:00+02:00", quiet_hours=NIGHT, time_zone=BERLIN)
    for _ in range(2):
        outcome = await attempt(to, time_zone="Mars/Olympus_Mons\n")
        assert words(outcome) == (
            "quiet hours of channel email until 08:00 Europe/Berlin "
            "(the recipient's time zone, Mars/Olympus_Mons, is not known here)"
        )
    assert words(await attempt(to)) == "quiet hours of channel email until 08:00 Europe/Berlin"
    to.clock = lambda: at("2026-07-01T12:00+02:00")
    assert isinstance(await attempt(to, time_zone="Mars/Olympus_Mons"), Sent)


async def test_what_is_remembered_of_a_night_ends_with_it() -> None:
    to = by_day("2026-07-01T23:00Z", quiet_hours=NIGHT)
    for now, kind in (
        ("2026-07-01T23:00Z", Deferred),
        ("2026-07-02T07:59:59.999999Z", Deferred),
        ("2026-07-02T08:00Z", Sent),
        ("2026-07-02T21:59Z", Sent),
        ("2026-07-02T22:00Z", Deferred),
        ("2026-07-02T12:00Z", Sent),  # a clock that was put back
    ):
        to.clock = lambda now=now: at(now)  # type: ignore[misc]
        assert isinstance(await attempt(to), kind), now


async def test_what_expires_before_the_opening_ends_at_once_and_says_so() -> None:
    to = by_day("2026-07-01T23:00Z", quiet_hours=NIGHT)
    outcome = await attempt(to, expires_in=3600.0)
    assert isinstance(outcome, Expired)
    assert words(outcome) == "quiet hours of channel email until 08:00 UTC, and it expires before that"
    barely = await attempt(to, expires_in=9 * 3600 + 2.0)
    assert isinstance(barely, Deferred)
    assert barely.delay is not None
    assert barely.delay < 9 * 3600 + 1, "its place in the first minute is before it expires"


async def test_who_must_not_be_sent_anything_is_told_so_also_in_the_night() -> None:
    to = by_day("2026-07-01T23:00Z", quiet_hours=NIGHT)
    assert (await attempt(to, suppression="complaint")).name == "suppressed"
    assert (await attempt(to, lost=5)).reason == "poison"
    assert (await attempt(to, expires_in=-1.0)).name == "expired"


async def test_a_retry_that_would_come_in_the_night_comes_in_the_morning() -> None:
    busy = Recorder()
    busy.failing = errors.Temporary("busy", code="451")
    to = by_day("2026-07-01T21:55Z", busy, quiet_hours=NIGHT, backoff=("10m",))
    outcome = await attempt(to)
    assert isinstance(outcome, Retry)
    assert outcome.used
    assert words(outcome) == "busy; then quiet hours of channel email until 08:00 UTC"
    assert outcome.delay is not None
    assert 10 * 3600 + 300 <= outcome.delay <= 10 * 3600 + 360
    to.clock = lambda: at("2026-07-01T12:00Z")
    at_noon = await attempt(to)
    assert at_noon.delay is not None
    assert at_noon.delay <= 720
    assert (await attempt(to, priority=0)).delay is not None


async def test_a_retry_that_would_come_too_late_for_the_night_ends_it_with_both_reasons() -> None:
    busy = Recorder()
    busy.failing = errors.Temporary("busy", code="451")
    to = by_day("2026-07-01T21:55Z", busy, quiet_hours=NIGHT, backoff=("10m",))
    outcome = await attempt(to, expires_in=3600.0)
    assert isinstance(outcome, Expired)
    assert words(outcome) == (
        "recorder0 said 451 busy; quiet hours of channel email until 08:00 UTC, and it expires before that"
    )
    busy.failing = errors.Ambiguous("who knows")
    doubtful = await attempt(to, expires_in=3600.0)
    assert isinstance(doubtful, Ambiguous), "that it may have been sent is worth more"


async def test_the_night_makes_nothing_too_old() -> None:
    slow = Recorder()
    slow.failing = errors.Throttled("slow", code="429")
    to = by_day("2026-07-02T08:10Z", slow, quiet_hours=NIGHT, max_age="1h")
    assert isinstance(await attempt(to, age=10 * 3600.0), Deferred), "due at 22:10, and it might be sent from 8:00 on"
    late = await attempt(to, age=11.5 * 3600.0)
    assert isinstance(late, Dead), "due at 20:40, so that it might be sent for 90 minutes"
    assert late.reason == "too_old"
    assert (await attempt(by_day("2026-07-02T08:10Z", slow, max_age="1h"), age=10 * 3600.0)).reason == "too_old"
    assert (await attempt(to, age=10 * 3600.0, priority=0)).reason == "too_old", "urgent might be sent all night"
    assert to.policy.max_age == 3600


async def test_a_turn_of_the_recipients_comes_no_nearer_in_the_night() -> None:
    to = by_day("2026-07-01T21:00Z", quiet_hours=NIGHT)
    outcome = await attempt(to, over_rate=7200.0)
    assert isinstance(outcome, Deferred)
    assert outcome.delay == 12 * 3600, "an hour in the evening, and one from eight to nine"
    assert (await attempt(to, over_rate=60.0)).delay == 60
    assert (await attempt(to, over_rate=float("inf"))).reason == "too_old"


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        ('[topics.news]\nquiet_hours = "22-8"', r"topics\.news\.quiet_hours: '22-8' .* write it like 22:00-08:00"),
        ('[topics.news]\nquiet_hours = "Mon-Sun"', "topics.news.quiet_hours: 'Mon-Sun' is the whole week"),
        ('[topics.news]\nquiet_hours = "8:00-9:00"\nsend_window = "8:10-8:50"', "'8:10-8:50' lies within quiet_hours"),
        ('[topics.news]\ntime_zone = "Europe/Berln"', "topics.news.time_zone: .* did you mean Europe/Berlin"),
        ('[topics.news]\nquiet_hour = "22:00-08:00"', "did you mean quiet_hours?"),
        ('[topics.news]\nsend_window = "23:00-23:30"', "topics.news and channels.sms are never open at the same time"),
    ],
)
def test_what_cannot_be_meant_is_refused_when_it_is_read(tmp_path: Path, lines: str, problem: str) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text(f'[channels.sms]\nproviders = ["twilio"]\nquiet_hours = "22:00-08:00"\n{lines}\n')
    with pytest.raises(ConfigError, match=problem):
        load(file, environ={})


def test_hours_can_be_given_by_the_environment_and_in_several_rules(tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.sms]\nproviders = ["twilio"]\nquiet_hours = ["22:00-08:00", "Sun"]\n[topics.news]\n')
    known = load(file, environ={"OUTBOX_TOPICS_NEWS_SEND_WINDOW": "Mon-Fri 9:00-12:00, 13:00-17:00; Sat 10:00-14:00"})
    assert known.channels["sms"].quiet_hours is not None
    assert known.channels["sms"].quiet_hours.text == "22:00-08:00; Sun"
    assert known.topics["news"].send_window is not None
    assert len(known.topics["news"].send_window.spans) == 11


def around(minutes_from: int, minutes_to: int, zone: tzinfo = UTC) -> str:
    """Hours from so many minutes before now to so many after."""
    now = datetime.now(zone)
    begin, end = now + timedelta(minutes=minutes_from), now + timedelta(minutes=minutes_to)
    return f"{begin:%H:%M}-{end:%H:%M}"


def waiting(url: str) -> list[tuple[Any, ...]]:
    # Before PostgreSQL 17 nothing can be subtracted from infinity, when those are due that stand in line.
    minutes = "date_part('epoch', nullif(run_at, 'infinity') - now()) / 60"
    return rows(url, f"SELECT id, {minutes}, attempt, worker FROM outbox.queue ORDER BY id")


async def test_a_worker_defers_what_is_quiet_now_and_sends_what_is_urgent_or_lives_elsewhere(database_url: str) -> None:
    quiet = around(-60, 60)
    (deferred,) = enqueue(database_url, topic="news")
    (urgent,) = enqueue(database_url, topic="news", priority="urgent")
    (other,) = enqueue(database_url, topic="bills")
    (elsewhere,) = enqueue(database_url, topic="news", time_zone="Asia/Kathmandu")  # 5:45 ahead of UTC
    (short,) = enqueue(database_url, topic="news", expires_at=timedelta(minutes=30))
    recorder = Recorder()
    await drain(database_url, route(recorder, topics=topics(news={"quiet_hours": quiet})))
    assert {each.id for each in recorder.sent} == {urgent, other, elsewhere}
    ((identity, minutes, attempt, holder),) = waiting(database_url)
    assert (identity, attempt, holder) == (deferred, 0, None)
    assert 59 <= minutes <= 61
    told = rows(
        database_url,
        "SELECT notification_id, outcome, error_class, error FROM outbox.attempts WHERE outcome <> 'sent' ORDER BY 1",
    )
    end = quiet.partition("-")[2]
    assert told == [
        (deferred, "deferred", "quiet_hours", f"quiet hours of topic news until {end} UTC"),
        (short, "expired", "expired", f"quiet hours of topic news until {end} UTC, and it expires before that"),
    ]


async def test_what_was_deferred_is_delivered_when_the_window_opens(database_url: str) -> None:
    ids = enqueue(database_url, 3, channel="sms", recipient="+447700900001", ordering_key="ada")
    closed = route(Recorder(), channel="sms", send_window=around(30, 90))
    await drain(database_url, closed)
    assert [identity for identity, *_ in waiting(database_url)] == ids, "the head is deferred, the others are behind it"
    rows(database_url, "UPDATE outbox.queue SET run_at = now() WHERE run_at < 'infinity'")  # the time has come
    recorder = Recorder()
    opened = route(recorder, channel="sms", send_window=around(-1, 60))
    async with running(database_url, opened, idle_poll=0.05):
        await await_until(lambda: len(recorder.sent) == 3)
    assert [each.id for each in recorder.sent] == ids
    assert rows(
        database_url, "SELECT claim, attempt, outcome FROM outbox.attempts WHERE notification_id = %s", ids[0]
    ) == [
        (1, 0, "deferred"),
        (2, 1, "sent"),
    ]


def explained(url: str, identity: UUID, file: Path) -> dict[str, Any]:
    result = run(url, "explain", identity, "--json", "--config", file)
    assert result.exit_code == 0, result.stderr
    document: dict[str, Any] = json.loads(result.stdout)
    return document


async def test_explain_says_which_rule_holds_it_and_when_it_is_tried_by_the_recipients_clocks(
    database_url: str, tmp_path: Path
) -> None:
    tokyo = timezone(timedelta(hours=9))
    quiet = around(-60, 60, tokyo)
    file = tmp_path / "outbox.toml"
    file.write_text(f'[channels.email]\nproviders = ["smtp"]\n[topics.news]\nquiet_hours = "{quiet}"\n')
    (identity,) = enqueue(database_url, topic="news", time_zone="Asia/Tokyo")
    (short,) = enqueue(database_url, topic="news", time_zone="Asia/Tokyo", expires_at=timedelta(minutes=30))
    (urgent,) = enqueue(database_url, topic="news", time_zone="Asia/Tokyo", priority="urgent")
    end = quiet.partition("-")[2]
    rule = f"quiet hours of topic news until {end} Asia/Tokyo"

    before = explained(database_url, identity, file)
    assert before["next"].endswith(f"the next claim takes it, and puts it off: {rule}.")
    assert before["kept_back"] == {"rules": f"quiet hours of topic news ({quiet})", "time_zone": "Asia/Tokyo"}
    assert explained(database_url, short, file)["next"].endswith(
        f"and ends it as expired, unsent: {rule}, and it expires before that."
    )
    assert explained(database_url, urgent, file)["kept_back"] is None

    await drain(database_url, route(Recorder(), topics=load(file, environ={}).topics))
    after = explained(database_url, identity, file)
    assert after["state"] == "deferred"
    assert after["why"].endswith(f"without using an attempt, because {rule}.")
    due = re.search(r"it is taken when it is due \(.*; (\d\d:\d\d) in Asia/Tokyo\)", after["next"])
    assert due is not None
    minutes = datetime.strptime(due[1], "%H:%M") - datetime.strptime(end, "%H:%M")  # noqa: DTZ007 - both of one zone
    assert minutes.seconds <= 60
    shown = run(database_url, "explain", identity, "--config", file).stdout
    assert f"quiet hours of topic news ({quiet}), by the clocks of Asia/Tokyo" in shown


async def test_what_expires_with_a_slow_provider_ends_at_a_worker_and_never_reaches_the_next(database_url: str) -> None:
    async def take_long(_: Notification) -> None:
        await asyncio.sleep(1.1)
        raise errors.Temporary("busy", code="451")

    (identity,) = enqueue(database_url, expires_at=timedelta(seconds=1))
    first, second = Recorder(take_long), Recorder()
    await drain(database_url, route(first, second))
    assert (len(first.keys), second.keys) == (1, [])
    ((outcome, attempt, provider, said),) = rows(
        database_url,
        "SELECT outcome, attempt, provider, error FROM outbox.attempts WHERE notification_id = %s",
        identity,
    )
    assert (outcome, attempt, provider) == ("expired", 0, None)
    assert re.fullmatch(r"\d\.\d s past its expires_at after recorder0 said 451: busy", said)
    assert rows(database_url, "SELECT state FROM outbox.status") == [("expired",)]


async def test_a_digest_that_closes_in_quiet_hours_waits_like_any_other(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        window: dict[str, Any] = {"digest_key": "likes", "digest_window": timedelta(minutes=1)}
        outbox.enqueue(conn, channel="email", recipient="ada@example.org", topic="news", **window)
    rows(database_url, "UPDATE outbox.digests SET closes_at = clock_timestamp()")
    rows(database_url, "SELECT outbox.close_due_digests(10)")
    recorder = Recorder()
    await drain(database_url, route(recorder, topics=topics(news={"quiet_hours": around(-60, 60)})))
    assert recorder.sent == []
    assert rows(database_url, "SELECT outcome, error_class FROM outbox.attempts") == [("deferred", "quiet_hours")]


def test_explain_of_an_open_window_says_what_will_keep_it_back_when_it_closes(
    database_url: str, tmp_path: Path
) -> None:
    quiet = around(-60, 60)
    file = tmp_path / "outbox.toml"
    file.write_text(f'[channels.email]\nproviders = ["smtp"]\n[topics.news]\nquiet_hours = "{quiet}"\n')
    with psycopg.connect(database_url) as conn:
        window: dict[str, Any] = {"digest_key": "likes", "digest_window": timedelta(minutes=1)}
        made = outbox.enqueue(conn, channel="email", recipient="ada@example.org", topic="news", **window)
    document = explained(database_url, made.id, file)
    assert document["state"] == "gathering"
    assert document["kept_back"] == {"rules": f"quiet hours of topic news ({quiet})", "time_zone": "UTC"}
    until = f"quiet hours of topic news until {quiet.partition('-')[2]} UTC"
    assert document["next"].endswith(f"; then it is put off: {until}.")
    assert (
        f"kept back     quiet hours of topic news ({quiet})"
        in run(database_url, "explain", made.id, "--config", file).stdout
    )
    with psycopg.connect(database_url) as conn:
        suppressions.add(conn, channel="email", recipient="ada@example.org", reason="unsubscribed", topic="news")
    following = explained(database_url, made.id, file)["next"]
    assert "then it ends as suppressed, unsent: unsubscribed, topic news" in following


async def test_the_page_about_time_is_right(cloned_url: str, tmp_path: Path) -> None:
    (program,) = blocks("docs/time.md", "python")
    letting_go, listed = blocks("docs/time.md", "sql")
    names: dict[str, Any] = {"outbox": outbox}
    with psycopg.connect(cloned_url) as conn:
        exec(program, names | {"conn": conn})  # noqa: S102 - our own page
        kept = conn.execute(
            "SELECT recipient, run_at, expires_at - created_at, time_zone FROM outbox.notifications ORDER BY id"
        )
        ada, code = kept.fetchall()
    assert ada[1] == at("2031-03-03T09:00+01:00")
    assert ada[3] == BERLIN
    assert timedelta(minutes=5) <= code[2] < timedelta(minutes=6)

    file = tmp_path / "outbox.toml"
    file.write_text("".join(blocks("docs/time.md", "toml")))
    known = load(file, environ={})
    sms = by_day("2026-07-05T12:00+02:00", topics=dict(known.topics), channel="sms", quiet_hours="Sun 10:00-13:00")
    outcome = await attempt(sms, topic="news", time_zone=BERLIN)
    assert words(outcome) == "quiet hours of topic news until 08:00 Europe/Berlin", "all of Sunday, and the night"
    assert outcome.delay is not None
    assert outcome.delay >= 20 * 3600
    for written in re.findall(r"`((?:\w{3}[-,\w]* )?\d\d:\d\d-\d\d:\d\d[^`]*)`", (ROOT / "docs/time.md").read_text()):
        assert parse_week(written).spans

    rows(cloned_url, "DELETE FROM outbox.notifications")
    enqueue(cloned_url, 2, topic="news")
    await drain(cloned_url, route(Recorder(), topics=topics(news={"quiet_hours": around(-60, 60)})))
    ((channel, by, _, count),) = rows(cloned_url, listed)
    assert (channel, by, count) == ("email", "quiet_hours", 2)
    rows(cloned_url, letting_go)
    recorder = Recorder()
    await drain(cloned_url, route(recorder))
    assert len(recorder.sent) == 2
