"""Preferences: what people want, said in the application's transaction, and heeded by every claim."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import outbox
from outbox import InvalidNotification, InvalidPreference, NotInTransaction, migrate, preferences, reasons, suppressions
from outbox.config import TopicConfig
from outbox.outcomes import Sent
from outbox.preferences import PreferenceCleared, PreferenceSet
from outbox.queue.topics import remove
from tests.hands import claim, enqueue, rows, settle
from tests.kinds import KINDS, Async, opened
from tests.recorder import Recorder, delivered, drain, route
from tests.topical import ADA, choose, say

if TYPE_CHECKING:
    from uuid import UUID

NOTHING = PreferenceSet(changed=True, ended=0, in_hand=0, lifted=None, kept=())
NUMBER = "+447700900001"


def states(url: str) -> dict[UUID, str]:
    return dict(rows(url, "SELECT id, state FROM outbox.status"))


def words(url: str) -> list[str]:
    return [row[0] for row in rows(url, "SELECT error FROM outbox.attempts WHERE outcome = 'suppressed' ORDER BY 1")]


# Saying what one wants


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
async def test_every_kind_of_connection_sets_finds_and_clears_in_its_transaction(kind: Any, database_url: str) -> None:
    say(
        database_url,
        news={},
        offers={"default": "opt_in"},
        receipts={"transactional": True},
        calls={"channels": ["sms"]},
    )
    enqueue(database_url, 2, recipient="Ada@Example.org", topic="news")
    async with opened(kind, database_url) as transaction:
        conn, waits = transaction.conn, isinstance(transaction, Async)

        async def ask(name: str, *arguments: Any, **named: Any) -> Any:
            verb = getattr(preferences, f"a{name}" if waits else name)
            return await verb(conn, *arguments, **named) if waits else verb(conn, *arguments, **named)

        to_ada = {"channel": "email", "recipient": "ADA@example.org"}
        done = await ask("set", **to_ada, topic="news", wanted=False, source="the form")
        assert done == PreferenceSet(changed=True, ended=2, in_hand=0, lifted=None, kept=())
        done = await ask(
            "set_many",
            [
                to_ada | {"topic": "offers", "wanted": True},
                {"channel": "sms", "recipient": NUMBER, "topic": "calls", "wanted": False},
                to_ada | {"topic": "news", "wanted": False},
            ],
        )
        assert done == [NOTHING, NOTHING, PreferenceSet(changed=False, ended=0, in_hand=0, lifted=None, kept=())]
        found = await ask("find", channel="email", recipient=ADA)
        assert [(one.topic, one.wanted, one.why, one.source, one.suppression) for one in found] == [
            ("news", False, "explicit", "person", None),
            ("offers", True, "explicit", "person", None),
            ("receipts", True, "transactional", None, None),
        ]
        assert await ask("get", **to_ada, topic="news") == found[0]
        assert (await ask("get", channel="sms", recipient=NUMBER, topic="calls")).wanted is False
        assert await ask("clear", **to_ada, topic="news") == PreferenceCleared(cleared=True, ended=0, in_hand=0)
        assert await ask("clear", **to_ada, topic="news") == PreferenceCleared(cleared=False, ended=0, in_hand=0)
        again = await ask("get", **to_ada, topic="news")
        assert (again.wanted, again.why, again.updated_at) == (True, "default", None)
        with pytest.raises(InvalidPreference):
            await ask("set", **to_ada, topic="newz", wanted=True)
        await ask("find", channel="email", recipient=ADA)
        await transaction.rollback()
    assert rows(database_url, "SELECT count(*) FROM outbox.preferences") == [(0,)]
    assert set(states(database_url).values()) == {"due"}, "it was rolled back"


async def test_a_no_ends_what_waits_of_that_and_nothing_else(database_url: str) -> None:
    sent, leased, due = enqueue(database_url, 3, recipient=ADA, topic="news")
    (scheduled,) = enqueue(database_url, recipient="ADA@EXAMPLE.ORG", topic="news", run_at=timedelta(hours=1))
    others = [
        *enqueue(database_url, recipient=ADA, topic="other"),
        *enqueue(database_url, recipient=ADA),
        *enqueue(database_url, recipient="eve@example.org", topic="news"),
        *enqueue(database_url, recipient=ADA, topic="news", channel="push"),
    ]
    first, _ = await claim(database_url, limit=2)
    await settle(database_url, first, Sent(provider="smtp"))
    assert choose(database_url, "news", wanted=False) == PreferenceSet(
        changed=True, ended=2, in_hand=1, lifted=None, kept=()
    )
    found = states(database_url)
    assert {identity: found[identity] for identity in (sent, leased, due, scheduled)} == {
        sent: "sent",
        leased: "leased",
        due: "suppressed",
        scheduled: "suppressed",
    }
    assert {found[identity] for identity in others} == {"due"}
    (today,) = rows(database_url, "SELECT updated_at::date FROM outbox.preferences")[0]
    assert words(database_url) == [f"opted out, topic news, since {today}"] * 2


def test_of_a_form_each_no_counts_its_own(database_url: str) -> None:
    for count, topic in enumerate(("a", "b", "c")):
        enqueue(database_url, count, recipient=ADA, topic=topic)
        enqueue(database_url, count, recipient=NUMBER, topic=topic, channel="sms")
    form = [
        {"channel": channel, "recipient": recipient, "topic": topic, "wanted": topic == "b"}
        for topic in ("c", "b", "a")
        for channel, recipient in (("sms", NUMBER), ("email", ADA))
    ]
    with psycopg.connect(database_url) as conn:
        assert [one.ended for one in preferences.set_many(conn, form)] == [2, 2, 0, 0, 0, 0]
        assert preferences.set_many(conn, []) == []


async def test_a_yes_lifts_an_unsubscription_from_that_topic_and_says_what_stands(database_url: str) -> None:
    say(database_url, news={})
    with psycopg.connect(database_url) as conn:
        for topic, reason in (("news", "unsubscribed"), (None, "unsubscribed")):
            suppressions.add(conn, channel="email", recipient=ADA, topic=topic, reason=reason)
    assert choose(database_url, "news", wanted=True) == replace(NOTHING, lifted="unsubscribed", kept=("unsubscribed",))
    with psycopg.connect(database_url) as conn:
        (one,) = preferences.find(conn, channel="email", recipient=ADA)
        assert (one.wanted, one.suppression) == (True, "unsubscribed")
        suppressions.remove(conn, channel="email", recipient=ADA)
        suppressions.add(conn, channel="email", recipient=ADA, topic="news", reason="complaint")
    assert choose(database_url, "news", wanted=True).kept == ("complaint",)
    enqueue(database_url, recipient=ADA, topic="news")
    assert await delivered(database_url) == []


def test_what_is_forgotten_of_an_opt_in_topic_ends_what_waits(database_url: str) -> None:
    say(database_url, offers={"default": "opt_in"}, news={})
    for topic in ("offers", "news"):
        choose(database_url, topic, wanted=True)
        enqueue(database_url, 2, recipient=ADA, topic=topic)
    with psycopg.connect(database_url) as conn:
        to_ada: dict[str, Any] = {"channel": "email", "recipient": ADA}
        assert preferences.clear(conn, **to_ada, topic="offers") == PreferenceCleared(cleared=True, ended=2, in_hand=0)
        assert preferences.clear(conn, **to_ada, topic="news") == PreferenceCleared(cleared=True, ended=0, in_hand=0)
    assert words(database_url) == ["did not opt in, topic offers"] * 2


async def test_what_is_enqueued_later_ends_at_its_claim_and_says_why(database_url: str) -> None:
    say(database_url, offers={"default": "opt_in"}, news={})
    choose(database_url, "news", wanted=False)
    choose(database_url, "offers", wanted=True, recipient="eve@example.org")
    for topic in ("offers", "news"):
        for recipient in ("Ada@example.org", "eve@example.org"):
            enqueue(database_url, recipient=recipient, topic=topic)
    assert [(one.topic, one.recipient) for one in await delivered(database_url)] == [
        ("offers", "eve@example.org"),
        ("news", "eve@example.org"),
    ]
    did_not, opted_out = words(database_url)
    assert (did_not, opted_out[:30]) == ("did not opt in, topic offers", "opted out, topic news, since 2")


async def test_a_no_holds_when_its_topic_is_declared_no_more(database_url: str) -> None:
    say(database_url, news={}, other={})
    choose(database_url, "news", wanted=False)
    enqueue(database_url, recipient=ADA, topic="news", run_at=timedelta(seconds=0))
    with psycopg.connect(database_url) as conn:
        remove(conn, ["news"])
    assert await delivered(database_url) == []


# The decision, against a model

PEOPLE, TOPICS = (ADA, "eve@example.org"), ("a", "b")
SAID = st.dictionaries(st.tuples(st.sampled_from(PEOPLE), st.sampled_from(TOPICS)), st.booleans())
KINDS_OF_TOPIC = st.sampled_from(["opt_out", "opt_in", "transactional"])
SUPPRESSED = st.dictionaries(
    st.tuples(st.sampled_from(PEOPLE), st.sampled_from([None, *TOPICS])), st.sampled_from([*reasons.KNOWN, "own"])
)


def may_be_sent(
    person: str, topic: str | None, kinds: dict[str, str], said: dict[Any, bool], suppressed: dict[Any, str]
) -> bool:
    """The rule, as docs/topics.md has it."""
    kind = kinds.get(topic or "", "opt_out")
    binding = {suppressed.get((person, None)), suppressed.get((person, topic))} - {None}
    if kind == "transactional":
        return binding <= {"unsubscribed"}
    return not binding and said.get((person, topic), kind == "opt_out")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.fixed_dictionaries(dict.fromkeys(TOPICS, KINDS_OF_TOPIC)),
    said=SAID,
    suppressed=SUPPRESSED,
    late=st.booleans(),
)
def test_what_is_sent_is_what_the_model_says(
    database_url: str,
    kinds: dict[str, str],
    said: dict[tuple[str, str], bool],
    suppressed: dict[tuple[str, str | None], str],
    late: bool,  # noqa: FBT001 - drawn
) -> None:
    """Whether it was enqueued before all that was said, or after."""
    rows(database_url, "DELETE FROM outbox.notifications; DELETE FROM outbox.topics; DELETE FROM outbox.preferences; "
         "DELETE FROM outbox.suppressions; DELETE FROM outbox.attempts")  # fmt: skip
    topics = {
        name: TopicConfig(transactional=kind == "transactional", default="opt_in" if kind == "opt_in" else "opt_out")
        for name, kind in kinds.items()
    }
    say(database_url, **{name: topic.model_dump(exclude_defaults=True) for name, topic in topics.items()})
    every = [(person, topic) for person in PEOPLE for topic in (None, *TOPICS)]

    def put() -> None:
        for person, topic in every:
            enqueue(database_url, recipient=person, topic=topic)

    if not late:
        put()
    chosen = {key: wanted for key, wanted in said.items() if kinds[key[1]] != "transactional"}
    with psycopg.connect(database_url) as conn:
        form = [
            {"channel": "email", "recipient": person.upper(), "topic": topic, "wanted": wanted}
            for (person, topic), wanted in chosen.items()
        ]
        preferences.set_many(conn, form)
        for (person, topic), reason in suppressed.items():
            suppressions.add(conn, channel="email", recipient=person, topic=topic, reason=reason)
    if late:
        put()
    recorder = Recorder()
    transactional = tuple(name for name, topic in topics.items() if topic.transactional)
    asyncio.run(drain(database_url, route(recorder, transactional=transactional), topics=topics))
    sent = {(one.recipient, one.topic) for one in recorder.sent}
    assert sent == {one for one in every if may_be_sent(*one, kinds, chosen, suppressed)}
    ended = rows(database_url, "SELECT count(*) FROM outbox.status WHERE state = 'suppressed' AND last_error <> ''")
    assert ended == [(len(every) - len(sent),)]


# Mistakes


@pytest.mark.parametrize(
    ("given", "field", "problem"),
    [
        ({"topic": "newz"}, "topic", r"'newz' is not declared; did you mean news\?"),
        ({"topic": "calls"}, "topic", "'calls' is not sent by email; it is sent by sms"),
        ({"topic": "receipts"}, "topic", "'receipts' is transactional: everybody gets it, and nobody chooses"),
        ({"topic": ""}, "topic", "is missing"),
        ({"topic": 7}, "topic", "must be a text, not int"),
        ({"channel": "E-Mail"}, "channel", "lower-case letters"),
        ({"recipient": "ada"}, "recipient", "looks like name@example.org"),
        ({"wanted": "no"}, "wanted", "must be True or False, not str"),
        ({"source": ""}, "source", "a text of 1 to 100 printable characters"),
    ],
)
def test_a_mistake_says_what_would_be_right(
    given: dict[str, Any], field: str, problem: str, conn: psycopg.Connection, database_url: str
) -> None:
    say(database_url, news={}, calls={"channels": ["sms"]}, receipts={"transactional": True})
    right: dict[str, Any] = {"channel": "email", "recipient": ADA, "topic": "news", "wanted": True}
    with pytest.raises(InvalidPreference, match=problem) as refused:
        preferences.set(conn, **right | given)
    assert refused.value.field == field
    one = {name: value for name, value in (right | given).items() if name != "source"}
    if "source" not in given:
        with pytest.raises(InvalidPreference, match=problem) as refused:
            preferences.set_many(conn, [right | {"recipient": "eve@example.org"}, one])
        assert refused.value.field == f"[1].{field}"
    assert conn.execute("SELECT count(*) FROM outbox.preferences").fetchone() == (0,)


def test_a_form_with_two_words_about_one_thing_is_refused(conn: psycopg.Connection) -> None:
    one = {"channel": "email", "recipient": ADA, "topic": "news", "wanted": True}
    with pytest.raises(InvalidPreference, match=r"\[1\]: is about the same as one before it"):
        preferences.set_many(conn, [one, one | {"recipient": "ADA@example.org", "wanted": False}])
    with pytest.raises(InvalidPreference, match=r"\[0\]\.wanted: is missing"):
        preferences.set_many(conn, [{"channel": "email", "recipient": ADA, "topic": "news"}])
    with pytest.raises(InvalidPreference, match=r"\[0\]\.until: is no field; these are: channel, "):
        preferences.set_many(conn, [one | {"until": "2030"}])


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        ("'email', 'a@b.c', 'newz', true", "topic 'newz' is not declared"),
        ("'sms', '1', 'news', true", "topic 'news' is not sent by sms"),
        ("'email', 'a@b.c', 'receipts', false", "topic 'receipts' is transactional"),
        ("'E-mail', 'a@b.c', 'news', false", "channel of a preference is not a name"),
        ("'email', '', 'news', false", "recipient of a preference is empty"),
        ("'email', 'a@b.c', 'news', false, ''", "source of a preference must have"),
    ],
)
def test_in_sql_a_mistake_is_an_error(call: str, problem: str, conn: psycopg.Connection, database_url: str) -> None:
    say(database_url, news={"channels": ["email"]}, receipts={"transactional": True})
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=problem):
        conn.execute(f"SELECT outbox.set_preference({call})".encode())


def test_a_connection_that_commits_by_itself_is_refused(database_url: str) -> None:
    given: dict[str, Any] = {"channel": "email", "recipient": ADA, "topic": "news"}
    with psycopg.connect(database_url, autocommit=True) as conn:
        with pytest.raises(NotInTransaction):
            preferences.set(conn, **given, wanted=False)
        preferences.set(conn, **given, wanted=False, allow_autocommit=True)
        assert preferences.get(conn, **given).wanted is False


# A person's data


def test_of_an_erased_person_the_yeses_go_and_the_noes_stay_unless_asked(database_url: str) -> None:
    for topic, wanted in (("a", True), ("b", False)):
        choose(database_url, topic, wanted, recipient="Ada@example.org")
        choose(database_url, topic, wanted, recipient=NUMBER, channel="sms")
        choose(database_url, topic, wanted, recipient="eve@example.org")
    left = "SELECT channel, wanted FROM outbox.preferences WHERE recipient <> 'eve@example.org' ORDER BY 1, 2"
    with psycopg.connect(database_url) as conn:
        assert outbox.erase(conn, recipient="ADA@example.org").suppressions == 0
        assert conn.execute(left.encode()).fetchall() == [("email", False), ("sms", False), ("sms", True)]
        assert outbox.erase(conn, recipient="ADA@example.org", suppressions=True).suppressions == 1
        assert outbox.erase(conn, recipient=NUMBER, channel="sms", suppressions=True).suppressions == 1
    assert rows(database_url, left) == []
    assert rows(database_url, "SELECT count(*) FROM outbox.preferences") == [(2,)]


# Migrations


def test_a_no_outlives_a_step_down_as_a_suppression_of_its_topic(cloned_url: str) -> None:
    say(cloned_url, news={}, offers={"default": "opt_in", "channels": ["email"], "expires": "1h"})
    choose(cloned_url, "news", wanted=False, source="the form")
    choose(cloned_url, "offers", wanted=True)
    enqueue(cloned_url, topic="news")
    migrate.downgrade(cloned_url, "0016")
    rows(
        cloned_url, "INSERT INTO outbox.notifications (channel, recipient, topic) VALUES ('email', 'a@b.c', 'anything')"
    )
    kept = "SELECT recipient, topic, reason, source FROM outbox.suppressions"
    assert rows(cloned_url, kept) == [(ADA, "news", "unsubscribed", "the form")]
    migrate.upgrade(cloned_url)
    assert rows(cloned_url, "SELECT name, opt_in FROM outbox.topics ORDER BY 1") == [("news", False), ("offers", False)]
    with pytest.raises(InvalidNotification, match="'anything' is not declared"):
        enqueue(cloned_url, topic="anything")
