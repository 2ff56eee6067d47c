"""replay and discard: what becomes of dead letters when somebody looks at them."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox import connections
from outbox.errors import NotInTransaction, NotMigrated
from outbox.outcomes import Retry, Sent
from outbox.queue import replay as replaying
from outbox.queue.audit import list_audit
from outbox.queue.dead_letters import find_dead_letters
from outbox.queue.discard import discard
from outbox.queue.enqueue import enqueue
from outbox.queue.judge import MAX_REPLAYS, judge
from outbox.queue.letter_selection import Selection
from outbox.queue.reopen import reopen
from outbox.queue.replay import replay
from tests.endings import REFUSED, claim_due, end, put, put_dead, settle_as
from tests.hands import rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from outbox.queue.replay import Replayed

UNKNOWN = UUID("01890a5d-ac96-774b-bcce-b302099a8057")


def state_of(url: str, identity: UUID) -> str:
    return str(rows(url, "SELECT state FROM outbox.status WHERE id = %s", identity)[0][0])


def resolutions(url: str) -> list[tuple[Any, ...]]:
    return rows(url, "SELECT resolution, replays FROM outbox.dead_letters ORDER BY notification_id")


def drop_by_retention(url: str, *ids: UUID) -> None:
    with psycopg.connect(url) as conn:
        conn.execute("DELETE FROM outbox.notifications WHERE id = ANY (%s)", [list(ids)])
        conn.execute("DELETE FROM outbox.attempts WHERE notification_id = ANY (%s)", [list(ids)])


def test_a_replayed_dead_letter_is_due_again_with_all_its_attempts_before_it(
    database_url: str, conn: psycopg.Connection
) -> None:
    [identity] = put_dead(database_url)
    replayed = replay(conn, [identity])
    conn.commit()

    assert replayed.ids == (identity,)
    assert not replayed.anew
    assert not replayed.skipped
    assert state_of(database_url, identity) == "due"
    assert resolutions(database_url) == [("replayed", 1)]
    [claimed] = claim_due(database_url)
    assert (claimed.id, claimed.attempt, claimed.lost) == (identity, 0, 0)


def test_its_claims_go_on_after_those_it_had(database_url: str, conn: psycopg.Connection) -> None:
    put(database_url)
    end(database_url, Retry(provider="smtp", delay=0.0))
    [identity] = end(database_url, REFUSED)
    replay(conn, [identity])
    conn.commit()
    end(database_url, Sent(provider="smtp", provider_message_id="250 ok"))

    claims = rows(database_url, "SELECT claim, outcome FROM outbox.attempts ORDER BY claim")
    assert claims == [(1, "retry"), (2, "dead"), (3, "sent")]
    assert state_of(database_url, identity) == "sent"


def test_the_verdict_of_a_claim_before_the_replay_changes_nothing(database_url: str, conn: psycopg.Connection) -> None:
    put(database_url)
    stale = claim_due(database_url)
    settle_as(database_url, stale, REFUSED)
    replay(conn, [stale[0].id])
    conn.commit()

    before = rows(database_url, "SELECT q, (SELECT array_agg(a) FROM outbox.attempts a) FROM outbox.queue q")
    settle_as(database_url, stale, REFUSED)
    assert rows(database_url, "SELECT q, (SELECT array_agg(a) FROM outbox.attempts a) FROM outbox.queue q") == before
    assert state_of(database_url, stale[0].id) == "due"


def test_one_that_dies_again_is_an_open_dead_letter_again(database_url: str, conn: psycopg.Connection) -> None:
    [identity] = put_dead(database_url)
    for times in (1, 2):
        replay(conn, [identity])
        conn.commit()
        end(database_url, REFUSED)
        assert resolutions(database_url) == [(None, times)]
    assert len(rows(database_url, "SELECT claim FROM outbox.attempts")) == 3


def test_nothing_happens_when_the_transaction_is_rolled_back(database_url: str, conn: psycopg.Connection) -> None:
    [identity] = put_dead(database_url)
    replay(conn, [identity])
    conn.rollback()
    assert state_of(database_url, identity) == "dead"
    assert resolutions(database_url) == [(None, 0)]


def test_what_is_no_open_dead_letter_is_left_alone_and_says_why(database_url: str, conn: psycopg.Connection) -> None:
    before, closed, fresh = put_dead(database_url, 3)
    replay(conn, [before])
    discard(conn, [closed])
    replayed = replay(conn, [UNKNOWN, closed, before, fresh, fresh])

    assert replayed.ids == (fresh,)
    assert replayed.skipped == {UNKNOWN: "unknown", closed: "discarded", before: "replayed"}
    assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (2,)


def test_one_that_was_delivered_after_all_is_not_sent_again(database_url: str, conn: psycopg.Connection) -> None:
    put(database_url)
    vanished = claim_due(database_url, lease=0, worker=2)
    [identity] = end(database_url, REFUSED)
    settle_as(database_url, vanished, Sent(provider="smtp"), worker=2)

    assert replay(conn, [identity]).skipped == {identity: "sent"}


def test_one_in_the_queue_is_not_put_there_twice(database_url: str, conn: psycopg.Connection) -> None:
    [identity] = put_dead(database_url)
    conn.execute("INSERT INTO outbox.queue (id, run_at, priority, channel) VALUES (%s, now(), 5, 'email')", [identity])
    assert replay(conn, [identity]).skipped == {identity: "queued"}


def test_a_rate_spaces_out_when_they_are_due(database_url: str, conn: psycopg.Connection) -> None:
    ids = put_dead(database_url, 4)
    asked = [ids[2], ids[0], ids[3], ids[1]]
    assert replay(conn, asked, rate=0.5, after=10).ids == tuple(asked)
    conn.commit()

    due = dict(rows(database_url, "SELECT id, date_part('epoch', run_at - (min(run_at) OVER ())) FROM outbox.queue"))
    assert [round(due[identity], 3) for identity in asked] == [0, 2, 4, 6]
    assert [state_of(database_url, identity) for identity in asked] == ["scheduled"] * 4


def test_a_rate_is_above_zero(conn: psycopg.Connection) -> None:
    with pytest.raises(ValueError, match="above zero"):
        replay(conn, [], rate=0)


def test_one_that_retention_dropped_is_enqueued_anew_from_its_copy(database_url: str, conn: psycopg.Connection) -> None:
    about: dict[str, Any] = {
        "template": "welcome",
        "payload": {"name": "Ada", "n": [1, {"x": None}]},
        "priority": "high",
        "topic": "news",
        "group_key": "order:42",
        "locale": "pt-BR",
        "headers": {"List-Unsubscribe": "<mailto:x@example.org>"},
    }
    [old] = put_dead(database_url, **about)
    columns = "channel, recipient, template, payload, priority, topic, group_key, locale, headers"
    before = rows(database_url, f"SELECT {columns} FROM outbox.notifications")
    drop_by_retention(database_url, old)
    replayed = replay(conn, [old], rate=1, after=60)
    conn.commit()

    new = replayed.anew[old]
    assert not replayed.ids
    assert len(replayed) == 1
    assert new != old
    assert rows(database_url, f"SELECT {columns} FROM outbox.notifications") == before
    assert state_of(database_url, new) == "scheduled"
    assert resolutions(database_url) == [("replayed", 1)]


def test_one_that_is_enqueued_anew_expires_and_waits_as_it_did(database_url: str, conn: psycopg.Connection) -> None:
    [inapp] = put(database_url, 1, channel="inapp")
    conditions: dict[str, Any] = {"unless_read": inapp, "unless_sent": inapp, "expires_at": timedelta(hours=1)}
    [old] = put_dead(database_url, **conditions)
    columns = "SELECT expires_at, unless_read, unless_sent FROM outbox.notifications WHERE id = %s"
    before = rows(database_url, columns, old)
    drop_by_retention(database_url, old)
    new = replay(conn, [old]).anew[old]
    conn.commit()

    assert before[0][1:] == (inapp, inapp)
    assert rows(database_url, columns, new) == before
    assert rows(database_url, "SELECT replaced_by FROM outbox.dead_letters") == [(new,)]


def test_one_that_has_expired_by_then_ends_as_expired_unsent(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url, expires_at=timedelta(hours=1))
    rows(database_url, "UPDATE outbox.dead_letters SET expires_at = now() - interval '1 s'")
    drop_by_retention(database_url, old)
    assert [judged.is_expired for judged in judge(conn, [old])] == [True]
    new = replay(conn, [old]).anew[old]
    conn.commit()

    [claimed] = claim_due(database_url)
    assert claimed.id == new
    assert claimed.expires_in is not None
    assert claimed.expires_in < 0


def test_what_died_of_every_replay_is_left_alone_until_somebody_insists(
    database_url: str, conn: psycopg.Connection
) -> None:
    [identity] = put_dead(database_url)
    for _ in range(MAX_REPLAYS):
        assert replay(conn, [identity]).ids == (identity,)
        conn.commit()
        end(database_url, REFUSED)

    assert [judged.verdict for judged in judge(conn, [identity])] == ["too_often"]
    assert replay(conn, [identity]).skipped == {identity: "too_often"}
    assert replay(conn, [identity], max_replays=MAX_REPLAYS + 1).ids == (identity,)
    conn.rollback()
    assert replay(conn, [identity], max_replays=None).ids == (identity,)


def test_a_loop_through_new_ids_is_a_loop(database_url: str, conn: psycopg.Connection) -> None:
    [identity] = put_dead(database_url)
    for _ in range(MAX_REPLAYS):
        drop_by_retention(database_url, identity)
        identity = replay(conn, [identity]).anew[identity]
        conn.commit()
        assert end(database_url, REFUSED) == [identity]

    assert replay(conn, [identity]).skipped == {identity: "too_often"}
    assert len(replay(conn, [identity], max_replays=None)) == 1


def test_who_replays_and_discards_is_written_down_with_it(database_url: str, conn: psycopg.Connection) -> None:
    first, second, third, fourth = put_dead(database_url, 4)
    replay(conn, [first], actor="ada@desk", reason="the relay is back")
    replay(conn, [first, second, third], actor="ada@desk", selected=Selection(channels=["email"]))
    discard(conn, [fourth], actor="bob@desk", reason="a typo")
    replay(conn, [first], actor="ada@desk")
    replay(conn, [UNKNOWN])

    closed, by_filter, by_id = list_audit(conn)
    assert (by_id.action, by_id.actor, by_id.subject, by_id.reason) == (
        *("replay", "ada@desk", str(first)),
        "the relay is back",
    )
    assert by_id.details == {"replayed": 1, "anew": 0, "left_alone": {}, "ids": [str(first)]}
    assert by_filter.subject == "channel:email"
    assert by_filter.details["left_alone"] == {"replayed": 1}
    assert (closed.action, closed.subject, closed.reason) == ("discard", str(fourth), "a typo")


def test_the_audit_names_a_hundred_ids_and_counts_more(database_url: str, conn: psycopg.Connection) -> None:
    ids = put_dead(database_url, 100)
    replay(conn, ids[:99], actor="ada@desk")
    discard(conn, [*ids[99:], UNKNOWN], actor="ada@desk")
    conn.execute("UPDATE outbox.dead_letters SET resolution = 'discarded'")
    ids += put_dead(database_url, 1)
    reopen(conn, ids, actor="ada@desk")
    conn.execute("UPDATE outbox.dead_letters SET resolution = 'discarded', resolved_at = now()")
    assert len(reopen(conn, ids, actor="ada@desk")) == 101

    every, hundred, _, some = list_audit(conn)
    assert len(some.details["ids"]) == 99
    assert len(hundred.details["ids"]) == 100
    assert (every.details["reopened"], "ids" in every.details) == (101, False)


def test_a_discarded_one_says_why_and_is_opened_again(database_url: str, conn: psycopg.Connection) -> None:
    closed, back = put_dead(database_url, 2)
    discard(conn, [closed], reason="a typo")
    replay(conn, [back])
    assert conn.execute("SELECT discard_reason FROM outbox.dead_letters ORDER BY 1").fetchall() == [
        ("a typo",),
        (None,),
    ]

    reopened = reopen(conn, [closed, back, UNKNOWN], actor="ada@desk", reason="no typo")
    assert (reopened.ids, reopened.skipped) == ((closed,), {back: "replayed", UNKNOWN: "unknown"})
    assert reopen(conn, [closed]).skipped == {closed: "open"}
    assert conn.execute("SELECT DISTINCT discard_reason FROM outbox.dead_letters").fetchall() == [(None,)]
    assert [(entry.action, entry.reason) for entry in list_audit(conn)] == [("reopen", "no typo")]
    assert replay(conn, [closed]).ids == (closed,)


def test_a_reason_that_there_is_no_room_for_is_refused(conn: psycopg.Connection) -> None:
    with pytest.raises(ValueError, match="at most 1,000 characters"):
        discard(conn, [UNKNOWN], reason="x" * 1_001)


def test_an_idempotency_key_goes_over_to_what_is_enqueued_anew(database_url: str, conn: psycopg.Connection) -> None:
    [old] = put_dead(database_url, idempotency_key="welcome:1", payload={})
    drop_by_retention(database_url, old)
    new = replay(conn, [old]).anew[old]
    again = enqueue(conn, channel="email", recipient="user0@example.org", idempotency_key="welcome:1")
    assert (again.id, again.created) == (new, False)


def test_a_key_that_stands_for_another_notification_by_now_is_respected(
    database_url: str, conn: psycopg.Connection
) -> None:
    [old] = put_dead(database_url, idempotency_key="welcome:1", payload={})
    drop_by_retention(database_url, old)
    conn.execute("DELETE FROM outbox.idempotency_keys")
    enqueue(conn, channel="email", recipient="user0@example.org", idempotency_key="welcome:1")

    assert replay(conn, [old]).skipped == {old: "key_taken"}
    assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (1,)


def test_a_key_that_is_taken_meanwhile_costs_the_others_nothing(
    database_url: str, conn: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, free = put_dead(database_url, 1, idempotency_key="a")[0], put_dead(database_url, 1)[0]
    for old in (taken, free):
        drop_by_retention(database_url, old)
    rows(database_url, "DELETE FROM outbox.idempotency_keys")
    run = connections.run

    def overtaken(on: Any, sql: str, *given: Any, **more: Any) -> Any:
        if sql == replaying.ENQUEUE_ANEW:
            with psycopg.connect(database_url) as other:
                enqueue(other, channel="email", recipient="eve@example.org", idempotency_key="a")
        return run(on, sql, *given, **more)

    monkeypatch.setattr(connections, "run", overtaken)
    done = replay(conn, [taken, free])
    assert (set(done.anew), done.skipped) == ({free}, {taken: "key_taken"})


def test_judging_tells_what_a_replay_would_do_and_writes_nothing(database_url: str, conn: psycopg.Connection) -> None:
    kept, gone, closed = put_dead(database_url, 3)
    drop_by_retention(database_url, gone)
    discard(conn, [closed])
    verdicts = [judged.verdict for judged in judge(conn, [kept, gone, closed, UNKNOWN])]
    assert verdicts == ["replay", "anew", "discarded", "unknown"]
    assert conn.execute("SELECT count(*) FROM outbox.queue").fetchone() == (0,)


@contextmanager
def second_replay(url: str, ids: Iterable[UUID]) -> Iterator[list[Replayed]]:
    """Replay in another transaction, which waits for that of the block; at its end, the list holds what it did."""
    done: list[Replayed] = []

    def work() -> None:
        with psycopg.connect(url, application_name="second replay") as other:
            done.append(replay(other, ids))

    thread = threading.Thread(target=work)
    thread.start()
    waits = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'second replay' AND wait_event_type = 'Lock'"
    wait_until(lambda: rows(url, waits))
    yield done
    thread.join(timeout=10)


def test_two_replays_at_once_put_each_back_once(database_url: str, conn: psycopg.Connection) -> None:
    ids = put_dead(database_url, 20)
    assert len(replay(conn, ids)) == 20
    with second_replay(database_url, reversed(ids)) as second:
        conn.commit()

    assert second[0].skipped == dict.fromkeys(ids, "replayed")
    assert rows(database_url, "SELECT count(*) FROM outbox.queue") == [(20,)]


def test_one_that_died_again_while_a_replay_waited_for_it_keeps_all_its_attempts(
    database_url: str, conn: psycopg.Connection
) -> None:
    [identity] = put_dead(database_url)
    replay(conn, [identity])
    conn.execute("DELETE FROM outbox.queue")
    attempt = "INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome) VALUES (%s, 2, 1, 'dead')"
    conn.execute(attempt, [identity])
    conn.execute("UPDATE outbox.dead_letters SET resolution = NULL, resolved_at = NULL")
    with second_replay(database_url, [identity]) as second:
        conn.commit()

    assert second[0].ids == (identity,)
    assert rows(database_url, "SELECT claim FROM outbox.queue") == [(2,)]


def test_a_discarded_one_is_closed_and_kept(database_url: str, conn: psycopg.Connection) -> None:
    [identity, other] = put_dead(database_url, 2)
    discarded = discard(conn, [identity, UNKNOWN, identity])
    conn.commit()

    assert discarded.ids == (identity,)
    assert discarded.skipped == {UNKNOWN: "unknown"}
    assert resolutions(database_url) == [("discarded", 0), (None, 0)]
    assert discard(conn, [identity]).skipped == {identity: "discarded"}
    assert find_dead_letters(conn, Selection()) == [other]


def test_they_refuse_a_connection_that_commits_by_itself(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as conn:
        for verb in (replay, discard, reopen):
            with pytest.raises(NotInTransaction):
                verb(conn, [UNKNOWN])


def test_they_say_when_the_database_is_not_migrated(empty_url: str) -> None:
    with psycopg.connect(empty_url) as conn, pytest.raises(NotMigrated):
        replay(conn, [UNKNOWN])


def test_they_take_what_enqueue_takes(database_url: str) -> None:
    [first, second] = put_dead(database_url, 2)
    url = database_url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        assert replay(connection, [str(first)]).ids == (first,)
        assert discard(connection, [str(second)]).ids == (second,)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(["die", "retry", "replay", "discard", "replay half", "give up"]), max_size=8))
def test_whatever_is_done_every_claim_is_on_record_and_nothing_is_in_two_places(
    database_url: str, deeds: list[str]
) -> None:
    with psycopg.connect(database_url) as conn:
        conn.execute("DELETE FROM outbox.notifications")
        conn.execute("DELETE FROM outbox.attempts")
        conn.execute("DELETE FROM outbox.dead_letters")
    ids = put(database_url, 3)
    claims = 0
    for deed in deeds:
        with psycopg.connect(database_url) as conn:
            match deed:
                case "replay":
                    replay(conn, ids)
                case "replay half":
                    replay(conn, ids[:1])
                case "discard":
                    discard(conn, ids[1:])
        if deed in {"die", "retry"}:
            claims += len(end(database_url, REFUSED if deed == "die" else Retry(provider="smtp", delay=0.0)))
        if deed == "give up":
            claim_due(database_url, lease=0)
    recorded = rows(database_url, "SELECT count(*) FROM outbox.attempts WHERE outcome <> 'lost'")
    assert recorded == [(claims,)]
    places = """
        SELECT count(q.id) + count(d.notification_id) FILTER (WHERE d.resolution IS DISTINCT FROM 'replayed')
        FROM outbox.notifications n
        LEFT JOIN outbox.queue q ON q.id = n.id
        LEFT JOIN outbox.dead_letters d ON d.notification_id = n.id
        GROUP BY n.id
    """
    assert rows(database_url, places) == [(1,)] * 3
