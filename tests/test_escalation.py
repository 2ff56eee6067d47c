"""One person, several ways: steps as rows with conditions, from a topic of the configuration or as they are given."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import config, inbox, migrate
from outbox.config import TopicConfig
from outbox.escalation import check_steps
from outbox.outcomes import Dead
from tests.command_line import run
from tests.hands import TROUBLE, claim, rows, settle
from tests.kinds import KINDS, Async, opened
from tests.recorder import Recorder, drain, route
from tests.test_docs import blocks
from tests.test_inapp import ADA
from tests.test_inapp import route as inbox_route
from tests.test_roles import made
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

STEPS = ("inapp", "wait 5m unless read", "email", "wait 30m unless read", "sms")
TO = {"inapp": ADA, "email": "ada@example.org", "sms": "+447700900001"}
MESSAGE = {"title": "Full", "subject": "Full", "text": "The disk is full"}


def escalate(url: str, steps: Sequence[str] | None = STEPS, **given: Any) -> outbox.Escalated:
    with psycopg.connect(url) as conn:
        return outbox.escalate(conn, **{"to": TO, "steps": steps, "payload": MESSAGE, **given})


def states(url: str) -> dict[str, str]:
    """The state of each step by its channel."""
    return dict(rows(url, "SELECT channel, state FROM outbox.status"))


def conditions(url: str) -> dict[str, tuple[float, str | None, str | None]]:
    """When each step is due, in minutes from the enqueue, and unless which was read, and sent."""
    return {
        channel: (minutes, read, sent)
        for channel, minutes, read, sent in rows(
            url,
            """
            SELECT n.channel, date_part('epoch', n.run_at - n.created_at) / 60, r.channel, s.channel
            FROM outbox.notifications n
            LEFT JOIN outbox.notifications r ON r.id = n.unless_read
            LEFT JOIN outbox.notifications s ON s.id = n.unless_sent
            """,
        )
    }


def test_each_step_is_a_row_with_its_time_and_its_condition(database_url: str) -> None:
    told = escalate(database_url)
    assert conditions(database_url) == {
        "inapp": (0, None, None),
        "email": (5, "inapp", None),
        "sms": (35, "inapp", None),
    }
    assert rows(database_url, "SELECT channel, id FROM outbox.notifications ORDER BY run_at") == list(told.ids.items())
    assert (told.created, told.skipped, told.group_key) == (True, (), f"escalation:{told.ids['inapp']}")
    assert rows(database_url, "SELECT DISTINCT group_key FROM outbox.notifications") == [(told.group_key,)]


@pytest.mark.parametrize(
    ("steps", "to", "expected"),
    [
        (
            ["push", "wait 2m unless sent", "sms", "wait 8m unless sent", "email"],
            ["push", "sms", "email"],
            {"push": (0, None, None), "sms": (2, None, "push"), "email": (10, None, "sms")},
        ),
        (
            ["push", "wait 2m unless read", "sms", "wait 8m unless sent", "email"],
            ["push", "sms", "email"],
            {"push": (0, None, None), "sms": (2, "push", None), "email": (10, "push", "sms")},
        ),
        (
            ["push", "wait 1m unless sent", "inapp", "wait 1h30m unless read", "email"],
            ["push", "inapp", "email"],
            {"push": (0, None, None), "inapp": (1, None, "push"), "email": (91, "inapp", None)},
        ),
        (STEPS, ["email", "sms"], {"email": (0, None, None), "sms": (30, "email", None)}),
        (STEPS, ["inapp", "sms"], {"inapp": (0, None, None), "sms": (35, "inapp", None)}),
        (STEPS, ["sms"], {"sms": (0, None, None)}),
    ],
)
def test_conditions_are_about_the_step_that_they_can_be_about(
    steps: list[str], to: list[str], expected: dict[str, Any], database_url: str
) -> None:
    everywhere = TO | {"push": "device"}
    told = escalate(
        database_url, steps, to={channel: everywhere[channel] for channel in to} | {"chat": "C1", "fax": None}
    )
    assert conditions(database_url) == expected
    assert list(told.ids) == to
    assert set(told.skipped) == {step for step in steps[::2] if step not in to}


async def test_three_steps_go_out_one_after_another_while_nobody_reads(cloned_url: str, tmp_path: Path) -> None:
    email, sms = Recorder(), Recorder()
    lanes = (inbox_route(tmp_path), route(email), route(sms, channel="sms"))
    quick = ("inapp", "wait 500ms unless read", "email", "wait 3s unless read", "sms")
    async with running(cloned_url, *lanes):
        told = escalate(cloned_url, quick)
        await await_until(lambda: states(cloned_url)["sms"] == "sent")
    assert (email.keys, sms.keys) == ([str(told.ids["email"])], [str(told.ids["sms"])])
    attempts = "FROM outbox.attempts a JOIN outbox.notifications n ON n.id = a.notification_id"
    order = rows(cloned_url, f"SELECT n.channel {attempts} ORDER BY a.finished_at")
    assert order == [("inapp",), ("email",), ("sms",)]
    in_time = rows(cloned_url, f"SELECT bool_and(a.started_at >= n.run_at) {attempts}")
    assert in_time == [(True,)], "none before its time"


async def test_reading_the_first_ends_all_that_follow(cloned_url: str, tmp_path: Path) -> None:
    email, sms = Recorder(), Recorder()
    lanes = (inbox_route(tmp_path), route(email), route(sms, channel="sms"))
    async with running(cloned_url, *lanes):
        escalate(cloned_url, ("inapp", "wait 400ms unless read", "email", "wait 1h unless read", "sms"))
        await await_until(lambda: states(cloned_url)["email"] == "sent")
        with psycopg.connect(cloned_url) as conn:
            assert inbox.mark(conn, "read", recipient=ADA) == 1
        assert states(cloned_url) == {"inapp": "sent", "email": "sent", "sms": "cancelled"}
    assert (len(email.sent), len(sms.sent)) == (1, 0)


async def test_a_reading_leaves_nothing_to_the_ways_that_are_only_for_failures(
    database_url: str, tmp_path: Path
) -> None:
    """The push ended because it was not needed: that it was not sent is no reason for the text message."""
    to = TO | {"push": "device"}
    escalate(database_url, ("inapp", "wait 1h unless read", "push", "wait 1h unless sent", "sms"), to=to)
    await drain(database_url, inbox_route(tmp_path))
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    assert states(database_url) == {"inapp": "sent", "push": "cancelled", "sms": "cancelled"}


async def test_a_step_that_dies_is_followed_at_its_time(database_url: str) -> None:
    escalate(database_url, ("email", "wait 1s unless sent", "sms"))
    (claimed,) = await claim(database_url)
    assert await settle(database_url, claimed, Dead(provider="smtp", failure=TROUBLE, reason="unreachable"))
    assert states(database_url) == {"email": "dead", "sms": "scheduled"}
    sms = Recorder()
    async with running(database_url, route(sms, channel="sms")):
        await await_until(lambda: states(database_url)["sms"] == "sent")


def test_the_group_takes_all_of_it_back_and_a_rollback_leaves_nothing(database_url: str) -> None:
    told = escalate(database_url, group_key="disk:7")
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, group_key="disk:7").cancelled == 3
        conn.commit()
        outbox.escalate(conn, to=TO, steps=STEPS)
        conn.rollback()
    assert set(states(database_url).values()) == {"cancelled"}
    assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(len(told.ids),)]


def test_one_key_stands_for_all_of_it(database_url: str) -> None:
    first = escalate(database_url, idempotency_key="k")
    again = escalate(database_url, idempotency_key="k")
    assert (first.created, again.created) == (True, False)
    assert again.ids == first.ids
    assert rows(database_url, "SELECT count(*) FROM outbox.notifications") == [(3,)]
    with psycopg.connect(database_url) as conn:
        assert outbox.cancel(conn, idempotency_key="k").cancelled == 3


@pytest.mark.parametrize(
    "other", [{"payload": {"title": "b", "subject": "b", "text": "b"}}, {"to": TO | {"sms": "+447700900002"}}]
)
def test_a_key_that_stands_for_other_content_is_a_conflict_and_enqueues_nothing(
    database_url: str, other: dict[str, Any]
) -> None:
    escalate(database_url, idempotency_key="k")
    with psycopg.connect(database_url) as conn:
        with pytest.raises(outbox.IdempotencyConflict, match="'k'"):
            outbox.escalate(conn, **{"to": TO, "steps": STEPS, "payload": MESSAGE, "idempotency_key": "k"} | other)
        assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (3,)


def test_a_key_that_one_channel_has_given_away_is_a_conflict(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        outbox.enqueue(conn, channel="sms", recipient="+447700900001", payload={"text": "Hi"}, idempotency_key="k")
        with pytest.raises(outbox.IdempotencyConflict):
            outbox.escalate(conn, to=TO, steps=STEPS, payload=MESSAGE, idempotency_key="k")
        assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (1,)


def test_a_person_who_has_another_address_by_then_is_a_conflict_too(database_url: str) -> None:
    escalate(database_url, idempotency_key="k", to={"inapp": ADA})
    with pytest.raises(outbox.IdempotencyConflict):
        escalate(database_url, idempotency_key="k")


@pytest.mark.parametrize("kind", KINDS, ids=[kind.__name__ for kind in KINDS])
async def test_it_is_done_on_every_kind_of_connection(kind: Any, database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.topics (name, transactional, escalation) VALUES ('alerts', false, %s)",
        [*STEPS],
    )
    async with opened(kind, database_url) as transaction:
        given: dict[str, Any] = {"to": TO, "topic": "alerts", "payload": MESSAGE, "run_at": timedelta(hours=1)}
        if isinstance(transaction, Async):
            told = await outbox.aescalate(transaction.conn, **given)
            await outbox.amark_read(transaction.conn, told.ids["inapp"])
        else:
            told = outbox.escalate(transaction.conn, **given)
            outbox.mark_read(transaction.conn, told.ids["inapp"])
        await transaction.commit()
    assert states(database_url) == {"inapp": "scheduled", "email": "cancelled", "sms": "cancelled"}
    assert conditions(database_url)["inapp"][0] == pytest.approx(60)


async def test_the_roles_are_enough_for_it(cloned_url: str, tmp_path: Path) -> None:
    rows(
        cloned_url,
        "INSERT INTO outbox.topics (name, transactional, escalation) VALUES ('alerts', false, %s)",
        [*STEPS],
    )
    with made(cloned_url) as roles:
        app, mailer = roles.login("enqueuer"), roles.login("worker")
        told = escalate(app, None, topic="alerts")
        for mark in (outbox.mark_read, lambda conn, _: inbox.mark(conn, "read", recipient=ADA)):
            with psycopg.connect(app) as conn, pytest.raises(psycopg.errors.InsufficientPrivilege):
                mark(conn, told.ids["inapp"])
        await drain(mailer, inbox_route(tmp_path))
        rows(cloned_url, f"GRANT SELECT, UPDATE ON outbox.inbox TO {roles.name('enqueuer')}")
        with psycopg.connect(app) as conn:
            assert inbox.mark(conn, "read", recipient=ADA) == 1
        assert states(cloned_url) == {"inapp": "sent", "email": "cancelled", "sms": "cancelled"}
        again = escalate(app, ("inapp", "wait 1s unless read", "email"))
        await drain(mailer, inbox_route(tmp_path))
        rows(cloned_url, "UPDATE outbox.queue SET unless_read = NULL, run_at = clock_timestamp()")
        with psycopg.connect(app) as conn:
            assert inbox.mark(conn, "archived", recipient=ADA) == 2
        await drain(mailer, route(Recorder()))
        told_by = "SELECT state, last_error_class FROM outbox.status WHERE id = %s"
        assert rows(roles.login("auditor"), told_by, again.ids["email"]) == [("cancelled", "needless")]
        assert run(roles.login("auditor"), "explain", again.ids["email"]).exit_code == 0


# The steps of a topic


async def test_a_worker_says_which_escalations_there_are_and_which_are_not_any_more(database_url: str) -> None:
    async def said(**escalations: Sequence[str]) -> None:
        topics = dict.fromkeys(escalations, TopicConfig())
        await drain(database_url, route(Recorder()), topics=topics, escalations=escalations)

    await said(alerts=check_steps(STEPS), news=())
    assert rows(database_url, "SELECT name, escalation FROM outbox.topics ORDER BY 1") == [
        ("alerts", ["inapp", "wait 300s unless read", "email", "wait 1800s unless read", "sms"]),
        ("news", None),
    ]
    with psycopg.connect(database_url) as conn:
        told = outbox.escalate(conn, topic="alerts", to=TO, payload=MESSAGE)
        assert list(told.ids) == ["inapp", "email", "sms"]
    await said(alerts=())
    with psycopg.connect(database_url) as conn, pytest.raises(outbox.InvalidNotification, match="'alerts' has no esc"):
        outbox.escalate(conn, topic="alerts", to=TO, payload=MESSAGE)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "steps: are missing: give them, or a topic that has an escalation"),
        (
            {"topic": "alerts"},
            "topic: 'alerts' has no escalation that a worker knew when it started: write escalation under",
        ),
        ({"steps": "inapp"}, 'steps: must be a list, such as ["inapp", "wait 5m unless read", "email"]'),
        ({"steps": ["inapp", "email"]}, "steps: step 2: there is no wait between inapp and email"),
        ({"steps": STEPS, "to": {}}, "to: has an address for none of the steps: inapp, email, sms"),
        ({"steps": STEPS, "to": ["user:1"]}, "to: must be a mapping of channels to addresses, not list"),
        ({"steps": STEPS, "to": TO | {"email": "ada"}}, "to['email']: "),
        ({"steps": STEPS, "to": TO | {"E-mail": "ada"}}, "channel: 'E-mail' is not a channel name"),
        ({"steps": STEPS, "priority": "soon"}, "priority: 'soon' is none of"),
    ],
)
def test_what_cannot_be_is_refused_and_the_transaction_stays_usable(
    conn: psycopg.Connection, given: dict[str, Any], problem: str
) -> None:
    with pytest.raises(outbox.InvalidNotification, match=f"^{re.escape(problem)}"):
        outbox.escalate(conn, **{"to": TO, "payload": MESSAGE} | given)
    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (0,)


MISTAKES = {
    '["inapp"]': "inapp is the only way: say what comes after it",
    "[]": "an escalation has two channels at least, and a wait between them",
    '["inapp", "email"]': "step 2: there is no wait between inapp and email: put ",
    '["inapp", "wait 5m unless read"]': "step 2: nothing comes after 'wait 300s unless read': end with a channel",
    '["wait 5m unless read", "email"]': "step 1: 'wait 5m unless read': nothing comes before it: begin with a channel",
    '["inapp", "wait 5m", "email"]': "step 2: 'wait 5m' does not say how long, and unless what: write ",
    '["inapp", "wait 5m unless seen", "email"]': "step 2: unless 'seen' is unknown; it is unless read, or unless sent",
    '["inapp", "wait soon unless read", "email"]': "step 2: 'soon' is not a duration: write it like 250ms",
    '["inapp", "wait 0s unless read", "email"]': "step 2: 'wait 0s unless read': a wait is longer than nothing",
    '["inapp", "wait 5m unless read", "wait 5m unless read", "email"]': "step 3: 'wait 5m unless read': a wait comes",
    '["inapp", "wait 5m unless read", "inapp"]': "step 3: inapp comes a second time; each channel is one step",
    '["inapp", "pause 5m unless read", "email"]': "step 2: 'pause 5m unless read' is neither a channel, such as",
    '["inapp", "wait 5m unless read", "emial"]': "no provider delivers emial: add [channels.emial], or take the step "
    "out; did you mean email?",
}


@pytest.mark.parametrize("written", MISTAKES)
def test_a_mistake_in_an_escalation_says_which_step_and_what_would_be_right(tmp_path: Path, written: str) -> None:
    path = tmp_path / "outbox.toml"
    channels = '[channels.inapp]\nproviders = ["inbox"]\n[channels.email]\nproviders = ["console"]\n'
    path.write_text(f"{channels}[topics.alerts]\nescalation = {written}\n")
    with pytest.raises(outbox.ConfigError) as refused:
        config.load(path, environ={})
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(f"{path}: topics.alerts.escalation: {MISTAKES[written]}")


def test_an_escalation_may_come_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "outbox.toml"
    channels = '[channels.inapp]\nproviders = ["inbox"]\n[channels.email]\nproviders = ["console"]\n'
    path.write_text(f"{channels}[topics.alerts]\n")
    loaded = config.load(path, environ={"OUTBOX_TOPICS_ALERTS_ESCALATION": "inapp, wait 1h30m unless read, email"})
    assert loaded.topics["alerts"].escalation == ("inapp", "wait 5400s unless read", "email")
    assert check_steps(loaded.topics["alerts"].escalation) == loaded.topics["alerts"].escalation, (
        "it is read as written"
    )


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ("{inapp,email}", '"email" is no wait between two channels'),
        ("{inapp,wait 5m unless read}", "is no wait between two channels"),
        ("{inapp,wait 5m unless read,inapp}", "is no channel, or comes twice"),
        ("{Inapp,wait 5m unless read,email}", "is no channel"),
        ("{sms}", "there is a recipient for none of the steps sms"),
        ("{}", "there is a recipient for none of the steps"),
        (None, "topic NULL has no escalation, and no steps were given"),
    ],
)
def test_in_sql_what_cannot_be_raises(conn: psycopg.Connection, steps: str | None, problem: str) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=problem.replace('"', "'")):
        conn.execute('SELECT * FROM outbox.escalate(\'{"inapp": "user:1"}\', steps => %s)', [steps])


# Looking at it


async def test_explain_tells_what_it_waits_for_and_which_the_other_steps_are(database_url: str, tmp_path: Path) -> None:
    told = escalate(database_url)
    await drain(database_url, inbox_route(tmp_path))

    def explained(channel: str) -> str:
        return " ".join(run(database_url, "explain", told.ids[channel]).stdout.split())

    waiting = explained("email")
    assert f"unless read {told.ids['inapp']}" in waiting
    assert f"unless {told.ids['inapp']} was read by then." in waiting
    assert f"step 1 inapp, {told.ids['inapp']}: sent step 2 email, this one: scheduled, due" in waiting
    assert f"step 3 sms, {told.ids['sms']}: scheduled, due" in waiting
    assert f"step 1 inapp, this one: sent step 2 email, {told.ids['email']}: scheduled" in explained("inapp")
    with psycopg.connect(database_url) as conn:
        inbox.mark(conn, "read", recipient=ADA)
    assert re.search(rf"it was not needed any more, .*: {told.ids['inapp']} was read at 20", explained("sms"))


async def test_explain_says_beforehand_that_it_will_not_be_sent(database_url: str) -> None:
    told = escalate(database_url, ("email", "wait 1h unless sent", "sms"))
    await drain(database_url, route(Recorder()))
    words = " ".join(run(database_url, "explain", told.ids["sms"]).stdout.split())
    assert f"and ends it as cancelled, unsent: {told.ids['email']} was sent at" in words
    assert f"unless {told.ids['email']} was sent by then." in words


def test_explain_finds_what_was_enqueued_by_itself_from_both_ends(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        first = outbox.enqueue(conn, channel="inapp", recipient=ADA, payload={"title": "a"}).id
        last = outbox.enqueue(conn, channel="email", recipient="ada@example.org", unless_read=first).id
        alone = outbox.enqueue(conn, channel="email", recipient="ada@example.org").id
    for one, other in ((first, last), (last, first)):
        words = run(database_url, "explain", one).stdout
        assert str(other) in words
        assert "step 2" in words
    assert "step" not in run(database_url, "explain", alone).stdout


async def test_erasing_one_address_leaves_the_others_which_then_are_sent(database_url: str, tmp_path: Path) -> None:
    escalate(database_url, ("inapp", "wait 1h unless read", "email", "wait 1h unless read", "sms"))
    await drain(database_url, inbox_route(tmp_path))
    with psycopg.connect(database_url) as conn:
        assert outbox.erase(conn, recipient=ADA).inbox == 1
        assert outbox.erase(conn, recipient="ada@example.org").cancelled == 1
    assert rows(
        database_url,
        "SELECT n.channel, q.unless_read IS NOT NULL FROM outbox.queue q JOIN outbox.notifications n USING (id)",
    ) == [("sms", True)]
    rows(database_url, "UPDATE outbox.queue SET run_at = clock_timestamp()")
    sms = Recorder()
    await drain(database_url, route(sms, channel="sms"))
    assert len(sms.sent) == 1


def test_the_migration_finds_what_waits_already_and_goes_back(cloned_url: str) -> None:
    migrate.downgrade(cloned_url, "0016")
    read = "01920000-0000-7000-8000-000000000000"
    rows(
        cloned_url,
        "INSERT INTO outbox.notifications (channel, recipient, unless_read) VALUES ('email', 'a@example.org', %s)",
        read,
    )
    migrate.upgrade(cloned_url)
    assert rows(cloned_url, "SELECT unless_read::text FROM outbox.queue") == [(read,)]
    told = escalate(cloned_url)
    migrate.downgrade(cloned_url, "0016")
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(1 + len(told.ids),)]


# The page


def test_the_page_about_escalation_is_right(cloned_url: str, tmp_path: Path) -> None:
    (topic,) = blocks("docs/escalation.md", "toml")
    tells, reads, one_by_one = blocks("docs/escalation.md", "python")
    (statement,) = blocks("docs/escalation.md", "sql")
    lanes = {"inapp": "inbox", "email": "console", "sms": "console"}
    channels = "".join(f'[channels.{channel}]\nproviders = ["{provider}"]\n' for channel, provider in lanes.items())
    (tmp_path / "outbox.toml").write_text(channels + topic)

    def work() -> None:
        given = ("--channel", "inapp", "--config", str(tmp_path / "outbox.toml"), "--drain")
        assert run(cloned_url, "worker", *given).exit_code == 0

    work()  # says which escalations there are
    with psycopg.connect(cloned_url) as conn:
        names: dict[str, Any] = {"conn": conn, "outbox": outbox}
        exec(tells, names)  # noqa: S102 - our own page
        conn.commit()
        assert states(cloned_url) == {"inapp": "due", "email": "scheduled", "sms": "scheduled"}
        work()
        exec(reads, names)  # noqa: S102
        conn.commit()
        assert states(cloned_url) == {"inapp": "sent", "email": "cancelled", "sms": "cancelled"}
        assert inbox.count(conn, recipient="user:42").unread == 0
        exec(one_by_one, names)  # noqa: S102
    assert [(row[0], row[2]) for row in rows(cloned_url, statement)] == [("inapp", True), ("email", True)]
