"""Dead letters in the dashboard: looked at, replayed, changed, closed and opened again."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from outbox.outcomes import Sent
from outbox.queue.letter_groups import groups
from tests.aftermath import BUSY, IN_DOUBT, NOBODY, put_many_dead
from tests.dashboard import USERS, configured, visiting
from tests.endings import end, enter, put_dead
from tests.hands import rows
from tests.scenery import configuration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from uuid import UUID

    import psycopg

    from tests.dashboard import Visitor

AUDIT = "SELECT actor, action, subject, reason FROM outbox.audit WHERE action <> 'sign_out' ORDER BY id"
STATES = "SELECT coalesce(resolution, 'open'), count(*) FROM outbox.dead_letters GROUP BY 1 ORDER BY 1"
WELCOME: dict[str, Any] = {"template": "welcome", "payload": {"name": "Ada"}}


@pytest.fixture
def visitor(database_url: str, tmp_path: Path) -> Iterator[Visitor]:
    with visiting(configured(database_url, configuration(tmp_path), **USERS)) as visitor:
        visitor.sign_in()
        yield visitor


def group_of(conn: psycopg.Connection) -> str:
    (group,) = groups(conn).groups
    conn.commit()
    return group.id


def test_what_failed_for_the_same_reason_is_one_line(visitor: Visitor, database_url: str) -> None:
    put_dead(database_url, 3, BUSY, **WELCOME)
    put_dead(database_url, 2, NOBODY)
    page = visitor.get("/dead-letters").text
    assert "5 open letters in 2 groups" in page
    assert "greylisted, try again in 5 minutes" in page
    assert page.index("451 4.7.1") < page.index("550 5.1.1")
    page = visitor.get("/dead-letters?class=unreachable&since=1h").text
    assert "2 open letters in 1 group" in page
    assert "451 4.7.1" not in page
    assert "No open dead letter matches." in visitor.get("/dead-letters?template=farewell").text


@pytest.mark.parametrize("asked", ["class=nonsense", "since=yesterday", "reason=x", f"code={'x' * 300}", "channel=%00"])
def test_a_filter_that_is_none_says_so(visitor: Visitor, asked: str) -> None:
    answer = visitor.get(f"/dead-letters?{asked}")
    assert answer.status_code == 400
    assert "<h1>That cannot be understood</h1>" in answer.text


def test_letters_are_listed_page_after_page_each_once(visitor: Visitor, database_url: str) -> None:
    put_many_dead(database_url, 120)
    ids = [str(row[0]) for row in rows(database_url, "SELECT notification_id FROM outbox.dead_letters")]
    rows(database_url, "UPDATE outbox.dead_letters SET died_at = date_trunc('hour', died_at)")  # all at once
    seen: list[str] = []
    path: str | None = "/dead-letters/letters"
    while path is not None:
        page = visitor.get(path).text
        found = re.findall(r'href="/dead-letters/letters/([0-9a-f-]{36})"', page)
        assert len(found) <= 50
        seen += found
        further = re.search(r'rel="next" href="([^"]+)"', page)
        path = f"/dead-letters/letters{further[1].replace('&amp;', '&')}" if further else None
    assert len(seen) == 120
    assert {*seen} == {*ids}


def test_a_group_shows_its_letters_by_their_state(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    ids = put_dead(database_url, 3, BUSY)
    group = group_of(conn)
    visitor.get(f"/dead-letters/letters/{ids[0]}")
    visitor.post(f"/dead-letters/letters/{ids[0]}/discard", reason="a test")
    page = visitor.get(f"/dead-letters/groups/{group}").text
    assert str(ids[0]) not in page
    assert str(ids[1]) in page
    assert str(ids[0]) in visitor.get(f"/dead-letters/groups/{group}?state=discarded").text
    assert visitor.get("/dead-letters/groups/0123456789").status_code == 404
    assert visitor.get("/dead-letters/groups/nonsense").status_code == 404


def test_a_letter_is_discarded_with_a_reason_and_opened_again(visitor: Visitor, database_url: str) -> None:
    [identity] = put_dead(database_url)
    where = f"/dead-letters/letters/{identity}"
    visitor.get(where)
    visitor.post(f"{where}/discard")
    assert "Say why" in visitor.get(where).text
    visitor.post(f"{where}/discard", reason="they left")
    page = visitor.get(where).text
    assert "It was discarded." in page
    assert "they left" in page
    visitor.post(f"{where}/discard", reason="again")
    assert "Left alone, discarded before." in visitor.get(where).text
    visitor.post(f"{where}/reopen", reason="they are back")
    assert "It is open again." in visitor.get(where).text
    assert rows(database_url, AUDIT) == [
        ("ada", "discard", str(identity), "they left"),
        ("ada", "reopen", str(identity), "they are back"),
    ]


def test_a_letter_is_replayed_and_is_due(visitor: Visitor, database_url: str) -> None:
    [identity] = put_dead(database_url)
    visitor.get(f"/dead-letters/letters/{identity}")
    done = visitor.post(f"/dead-letters/letters/{identity}/replay", reason="mended")
    assert done.headers["location"] == f"/notifications/{identity}"
    assert rows(database_url, AUDIT) == [("ada", "replay", str(identity), "mended")]
    assert end(database_url, Sent(provider="smtp")) == [identity]


def test_what_was_replayed_three_times_wants_somebody_who_insists(visitor: Visitor, database_url: str) -> None:
    [identity] = put_dead(database_url)
    rows(database_url, "UPDATE outbox.dead_letters SET replays = 3")
    where = f"/dead-letters/letters/{identity}"
    assert "died each time" in visitor.get(where).text
    visitor.post(f"{where}/replay")
    assert rows(database_url, STATES) == [("open", 1)]
    visitor.post(f"{where}/replay", again="yes")
    assert rows(database_url, STATES) == [("replayed", 1)]


def test_a_letter_goes_to_somebody_else_with_another_payload(visitor: Visitor, database_url: str) -> None:
    [identity] = put_dead(database_url, 1, NOBODY, recipient="grace@exmaple.org", **WELCOME)
    where = f"/dead-letters/letters/{identity}/edit"
    assert "&#34;name&#34;: &#34;Ada&#34;" in visitor.get(where).text
    done = visitor.post(where, recipient="grace@example.org", payload='{"name": "Grace"}', reason="a typo")
    new = rows(database_url, "SELECT replaced_by FROM outbox.dead_letters")[0][0]
    assert done.headers["location"] == f"/notifications/{new}"
    told = rows(database_url, "SELECT recipient, payload FROM outbox.notifications WHERE id = %s", new)
    assert told == [("grace@example.org", {"name": "Grace"})]
    assert rows(database_url, AUDIT) == [("ada", "edit", str(identity), "a typo")]
    assert "another was enqueued in its place" in visitor.get(f"/dead-letters/letters/{identity}").text


@pytest.mark.parametrize(
    ("recipient", "payload", "problem"),
    [
        ("nobody", '{"name": "Ada"}', "The recipient "),
        ("ada@example.org", "{", "The payload is not JSON"),
        ("ada@example.org", "[1]", "The payload "),
        ("ada@example.org", "{}", "Its template cannot say that"),
    ],
)
def test_what_cannot_be_sent_is_said_beside_what_was_written(
    visitor: Visitor, database_url: str, recipient: str, payload: str, problem: str
) -> None:
    [identity] = put_dead(database_url, **WELCOME)
    where = f"/dead-letters/letters/{identity}/edit"
    visitor.get(where)
    page = visitor.post(where, recipient=recipient, payload=payload, reason="kept").text
    assert problem in page
    assert f'value="{recipient}"' in page
    assert 'value="kept"' in page
    assert rows(database_url, STATES) == [("open", 1)]
    assert rows(database_url, AUDIT) == []


def test_the_numbers_of_a_replay_are_told_before_it(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    put_dead(database_url, 4, IN_DOUBT)
    rows(database_url, "UPDATE outbox.dead_letters SET replays = 3 WHERE recipient = 'user0@example.org'")
    page = visitor.get(f"/dead-letters/groups/{group_of(conn)}/replay").text
    assert "<dt>Would be replayed</dt><dd>3</dd>" in page
    assert "<dt>Left alone</dt><dd>1</dd>" in page
    assert "<dt>Perhaps delivered already</dt><dd>3</dd>" in page
    assert "1 left alone: replayed three times and dead each time" in page
    assert "No live worker serves email" in page
    assert rows(database_url, STATES) == [("open", 4)]


def begin(visitor: Visitor, group: str, **how: str) -> str:
    visitor.get(f"/dead-letters/groups/{group}/replay")
    done = visitor.post(f"/dead-letters/groups/{group}/replay", channel="email", reason="mended", **how)
    assert done.status_code == 303
    return done.headers["location"]


def test_a_few_go_first_and_the_rest_when_they_were_sent(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    put_dead(database_url, 30, BUSY)
    enter(database_url, "email")
    where = begin(visitor, group_of(conn), first="5", share="100", rate="1000")
    assert rows(database_url, STATES) == [("open", 25), ("replayed", 5)]
    assert "The first 5 are on their way" in visitor.get(where).text
    visitor.post(where)  # too early: nothing follows
    assert rows(database_url, STATES) == [("open", 25), ("replayed", 5)]
    assert len(end(database_url, Sent(provider="smtp"))) == 5
    assert "The rest follows: 25 to go." in visitor.get(where).text
    where = visitor.post(where).headers["location"]
    assert "All is put back" in visitor.get(where).text
    assert rows(database_url, STATES) == [("replayed", 30)]
    told = rows(database_url, "SELECT action, subject, reason, details->>'replayed' FROM outbox.audit ORDER BY id")
    assert [(action, reason, replayed) for action, _, reason, replayed in told] == [
        ("replay", "mended", "5"),
        ("replay", "mended", "25"),
    ]
    spread = "SELECT max(run_at) - min(run_at) > interval '20 ms' FROM outbox.queue"
    assert rows(database_url, spread) == [(True,)]


def test_when_the_first_die_again_the_rest_stays_unless_somebody_insists(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    put_dead(database_url, 12, BUSY)
    where = begin(visitor, group_of(conn), first="4", share="100", rate="0")
    end(database_url, BUSY)
    page = visitor.get(where).text
    assert "The first of them died again." in page
    assert "8 letters left as they were" in page
    visitor.post(where)
    assert rows(database_url, STATES) == [("open", 12)]
    where = visitor.post(where, insists="yes").headers["location"]
    # Those that died of it are left for another replay.
    assert rows(database_url, STATES) == [("open", 4), ("replayed", 8)]
    assert "All is put back" in visitor.get(where).text


def test_a_replay_goes_on_past_what_is_left_alone_and_ends(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    put_dead(database_url, 8, BUSY)
    rows(database_url, "UPDATE outbox.dead_letters SET replays = 3 WHERE recipient < 'user3'")
    where = begin(visitor, group_of(conn), first="0", share="100", rate="0")
    where = visitor.post(where).headers["location"]
    page = visitor.get(where).text
    assert "All is put back but 3, which are left alone." in page
    assert rows(database_url, STATES) == [("open", 3), ("replayed", 5)]


def test_a_replay_that_was_stopped_goes_on_when_somebody_opens_its_address(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    put_many_dead(database_url, 1_500)
    where = begin(visitor, group_of(conn), first="0", share="100", rate="0")
    assert rows(database_url, STATES) == [("open", 500), ("replayed", 1_000)]
    page = visitor.get(f"{where}&stopped=yes").text
    assert "Stopped. 500 letters are left as they were." in page
    assert ">Go on</a>" in page
    visitor.get(where)
    visitor.post(where)
    assert rows(database_url, STATES) == [("replayed", 1_500)]


def test_a_group_is_discarded_after_a_question(visitor: Visitor, database_url: str, conn: psycopg.Connection) -> None:
    put_many_dead(database_url, 1_200)
    put_dead(database_url, 1, NOBODY)
    group = next(each.id for each in groups(conn).groups if each.count > 1)
    conn.commit()
    where = f"/dead-letters/groups/{group}/discard"
    assert "Discard 1,200 dead letters?" in visitor.get(where).text
    visitor.post(where)
    assert "Say why" in visitor.get(where).text
    visitor.post(where, reason="a list that was bought")
    assert "1,200 dead letters discarded." in visitor.get("/dead-letters").text
    assert rows(database_url, STATES) == [("discarded", 1_200), ("open", 1)]
    assert {row[2] for row in rows(database_url, AUDIT)} == {f"group:{group}"}


def actions(identity: UUID, group: str) -> list[str]:
    one, many = f"/dead-letters/letters/{identity}", f"/dead-letters/groups/{group}"
    return [*(f"{one}/{what}" for what in ("replay", "discard", "reopen", "edit")), f"{many}/replay", f"{many}/discard"]


@pytest.mark.parametrize("who", ["a viewer", "somebody with a token of nobody's"])
def test_who_may_not_changes_nothing(visitor: Visitor, database_url: str, conn: psycopg.Connection, who: str) -> None:
    [identity] = put_dead(database_url, payload={"subject": "Hi", "text": "the password is tiramisu"})
    group = group_of(conn)
    if who == "a viewer":
        visitor.become("bob")
        page = visitor.get(f"/dead-letters/letters/{identity}").text
        assert "Edit and replay" not in page
        assert visitor.get(f"/dead-letters/letters/{identity}/edit").status_code == 403
        assert "tiramisu" not in visitor.get(f"/dead-letters/letters/{identity}/edit").text
        assert "Only operators may replay" in visitor.get(f"/dead-letters/groups/{group}/replay").text
    visitor.get(f"/dead-letters/groups/{group}")
    visitor.token += "" if who == "a viewer" else "x"
    for path in actions(identity, group):
        fields = {"reason": "x", "recipient": "a@example.org", "payload": "{}", "first": "1"}
        assert visitor.post(path, **fields).status_code == 403, path
    assert rows(database_url, STATES) == [("open", 1)]
    assert rows(database_url, AUDIT) == []


def test_what_providers_said_is_text_and_no_markup(
    visitor: Visitor, database_url: str, conn: psycopg.Connection
) -> None:
    [identity] = put_dead(database_url)
    rows(database_url, "UPDATE outbox.dead_letters SET error = '<script>alert(1)</script>', error_code = '<b>1</b>'")
    group = group_of(conn)
    for path in ("/dead-letters", "/dead-letters/letters", f"/dead-letters/letters/{identity}"):
        assert "<script>alert" not in visitor.get(path).text
    assert "<b>1</b>" not in visitor.get(f"/dead-letters/groups/{group}").text
