"""Dead letters in groups: what failed for the same reason is one, and what selects them selects what it says."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox.outcomes import Ambiguous, Dead, Failure
from outbox.queue.dead_letters import find_dead_letters, list_dead_letters, read_dead_letters
from outbox.queue.discard import discard
from outbox.queue.letter_groups import groups, groups_of_newest
from outbox.queue.letter_selection import Selection
from outbox.queue.replay import replay
from tests.endings import REFUSED, end, put_dead
from tests.hands import rows

if TYPE_CHECKING:
    import psycopg

    from outbox.queue.dead_letters import DeadLetter

BUSY = Dead(provider="smtp", failure=Failure("temporary", "451", "try later"), reason="exhausted")
OLD = Dead(provider="smtp", failure=Failure("temporary", "451", "try at last"), reason="too_old")


def test_what_failed_for_the_same_reason_is_one_group_the_largest_first(
    database_url: str, conn: psycopg.Connection
) -> None:
    put_dead(database_url, 3, BUSY, template="welcome")
    put_dead(database_url, 2, BUSY, template="receipt")
    put_dead(database_url, 4, REFUSED, template="welcome")
    found = groups(conn)

    assert [(group.fingerprint, group.count) for group in found.groups] == [
        ("email smtp rejected 554 5.6.0 welcome", 4),
        ("email smtp temporary 451 welcome", 3),
        ("email smtp temporary 451 receipt", 2),
    ]
    assert (found.count, found.letters) == (3, 9)
    busy = found.groups[1]
    assert (busy.channel, busy.provider, busy.error_class) == ("email", "smtp", "temporary")
    assert (busy.error_code, busy.template) == ("451", "welcome")
    assert busy.first_died_at <= busy.last_died_at
    assert busy.error == "try later"


def test_a_group_says_for_which_reasons_its_letters_were_given_up(database_url: str, conn: psycopg.Connection) -> None:
    put_dead(database_url, 2, BUSY)
    [newest] = put_dead(database_url, 1, OLD)
    (group,) = groups(conn).groups

    assert group.reasons == {"exhausted": 2, "too_old": 1}
    assert (group.example, group.error) == (str(newest), "try at last")


def test_a_group_says_how_many_were_replayed_and_died_again(database_url: str, conn: psycopg.Connection) -> None:
    first, *_ = put_dead(database_url, 3)
    replay(conn, [first])
    conn.commit()
    assert [(group.count, group.replayed) for group in groups(conn).groups] == [(2, 0)]
    conn.commit()
    end(database_url, REFUSED)
    assert [(group.count, group.replayed) for group in groups(conn).groups] == [(3, 1)]


def test_its_fingerprint_is_that_of_the_failures_that_auditors_see(database_url: str, conn: psycopg.Connection) -> None:
    put_dead(database_url, 1, BUSY, template="welcome")
    put_dead(database_url, 1, Ambiguous(provider="ses", failure=Failure("ambiguous", None, "lost"), reason="in_doubt"))
    seen = rows(database_url, "SELECT DISTINCT fingerprint FROM outbox.audit_failures WHERE given_up")
    assert {group.fingerprint for group in groups(conn).groups} == {fingerprint for (fingerprint,) in seen}


def test_an_id_stays_the_same_and_stands_for_its_letters(database_url: str, conn: psycopg.Connection) -> None:
    ids = put_dead(database_url, 2, BUSY, template="welcome")
    put_dead(database_url, 2)
    (group,) = groups(conn, Selection(templates=["welcome"])).groups

    assert group.id == hashlib.sha256(b"email smtp temporary 451 welcome").hexdigest()[:10] == "c2fc52028c"
    assert find_dead_letters(conn, Selection(groups=[group.id])) == ids
    assert {letter.group for letter, _ in read_dead_letters(conn, ids)} == {group.id}


def test_closed_letters_are_in_no_group(database_url: str, conn: psycopg.Connection) -> None:
    ids = put_dead(database_url, 3)
    discard(conn, ids)
    found = groups(conn)
    assert (found.groups, found.count, found.letters) == ([], 0, 0)


def test_a_limit_leaves_out_the_small_ones_and_still_counts_them(database_url: str, conn: psycopg.Connection) -> None:
    put_dead(database_url, 2, BUSY)
    put_dead(database_url, 1)
    found = groups(conn, limit=1)
    assert ([group.count for group in found.groups], found.count, found.letters) == ([2], 2, 3)


def test_the_newest_of_each_channel_are_enough_for_a_first_look(database_url: str, conn: psycopg.Connection) -> None:
    put_dead(database_url, 3, BUSY)
    put_dead(database_url, 2)
    put_dead(database_url, 3, BUSY, channel="sms")
    found = groups_of_newest(conn, ["email", "sms"], newest=2)
    assert [(group.channel, group.error_class, group.count) for group in found.groups] == [("sms", "temporary", 2)]
    assert (found.count, found.letters) == (2, 4)


_WORDS = ("a", "b")
_PART = st.lists(st.sampled_from([*_WORDS, "c"]), max_size=2, unique=True)
_AGO = st.none() | st.sampled_from([0.0, 50.0, 150.0, 1_000.0])
_LETTERS = st.lists(
    st.fixed_dictionaries(
        {name: st.sampled_from([*_WORDS, None]) for name in ("template", "provider", "error_class", "error_code")}
        | {name: st.sampled_from(_WORDS) for name in ("channel", "reason")}
        | {"ago": st.sampled_from([0, 100, 200])}
    ),
    max_size=8,
)
_INSERT = """
INSERT INTO outbox.dead_letters
    (notification_id, enqueued_at, died_at, attempts, priority, channel, recipient, template, payload, reason,
     provider, error_class, error_code)
VALUES (outbox.uuid7(), now(), now() - make_interval(secs => %(ago)s), 1, 5, %(channel)s, 'ada', %(template)s, '{}',
        %(reason)s, %(provider)s, %(error_class)s, %(error_code)s)
"""


def matches(selection: Selection, letter: DeadLetter) -> bool:
    """What a selection says of itself, in Python."""
    asked = (
        (selection.channels, letter.channel),
        (selection.error_classes, letter.error_class),
        (selection.error_codes, letter.error_code),
        (selection.templates, letter.template),
        (selection.providers, letter.provider),
        (selection.reasons, letter.reason),
        (selection.groups, letter.group),
    )
    return (
        all(not values or value in values for values, value in asked)
        and (selection.since is None or letter.died_seconds_ago <= selection.since)
        and (selection.until is None or letter.died_seconds_ago >= selection.until)
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    letters=_LETTERS,
    parts=st.fixed_dictionaries(
        dict.fromkeys(("channels", "error_classes", "error_codes", "templates", "providers", "reasons"), _PART)
        | {"since": _AGO, "until": _AGO}
    ),
    grouped=st.booleans(),
)
def test_a_selection_finds_what_it_says(
    conn: psycopg.Connection, letters: list[dict[str, Any]], parts: dict[str, Any], *, grouped: bool
) -> None:
    conn.rollback()
    for letter in letters:
        conn.execute(_INSERT, letter)
    every, total = list_dead_letters(conn)
    assert total == len(letters)
    selection = Selection(**parts, groups=[every[0].group] if grouped and every else ())

    expected = {letter.id for letter in every if matches(selection, letter)}
    assert set(find_dead_letters(conn, selection)) == expected
    found, total = list_dead_letters(conn, selection, limit=3)
    assert total == len(expected)
    assert {letter.id for letter in found} <= expected
    assert groups(conn, selection).letters == len(expected)
    assert sum(group.count for group in groups(conn, selection).groups) == len(expected)


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (Selection(), "all"),
        (Selection(channels=["email", "sms"], reasons=["exhausted"]), "channel:email channel:sms reason:exhausted"),
        (Selection(groups=["4c2cb48c52"], since=86_400.0), "since:1d group:4c2cb48c52"),
    ],
)
def test_a_selection_is_called_by_what_it_selects(selection: Selection, words: str) -> None:
    assert str(selection) == words
