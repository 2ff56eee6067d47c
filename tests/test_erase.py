from __future__ import annotations

import asyncio
import contextlib
import random
import re
import threading
import time
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import outbox
from outbox import Erased
from outbox.outcomes import Ambiguous, Dead, Failure, Retry, Sent
from outbox.queue.erase import Person, erase_keys, erase_slice, list_slices
from outbox.queue.replay import replay
from tests.backdated import put_days_ago, today
from tests.endings import claim_due, end, put, put_dead, settle_as
from tests.hands import WAITING, expire_leases, rows
from tests.kinds import KINDS, Async, opened
from tests.recorder import delivered
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ADA = "Ada@example.org"
EVE = "eve@example.org"
SENT = Sent(provider="smtp", provider_message_id="250 ok")


def erase(url: str, recipient: str = "ada@example.org", **given: Any) -> Erased:
    with psycopg.connect(url) as conn:
        return outbox.erase(conn, recipient=recipient, **given)


def erase_behind(url: str, do: Callable[[psycopg.Connection[Any]], None]) -> Erased:
    """Erase Ada while a transaction that did this is open, and commit that once the erasure waits for it."""
    found: list[Erased] = []
    with psycopg.connect(url) as conn:
        do(conn)
        thread = threading.Thread(target=lambda: found.append(erase(url)))
        thread.start()
        wait_until(lambda: rows(url, WAITING))
    thread.join()
    return found[0]


def put_everything(url: str, recipient: str) -> None:
    """Leave data of a person in every table that has any: sent, dead, retrying, waiting, and in the inbox."""
    name = recipient.partition("@")[0].lower()
    given: dict[str, Any] = {"recipient": recipient, "payload": {"name": name}, "headers": {"X-Name": name}}
    put(url, 1, sent_to(recipient), idempotency_key=f"sent:{recipient}", group_key=name, **given)
    put_dead(url, 1, refused(recipient), idempotency_key=f"dead:{recipient}", topic=name, **given)
    put(url, 1, Retry(provider="smtp", failure=Failure("temporary", "451", f"{recipient} later"), delay=60), **given)
    put(url, 2, run_at=timedelta(hours=1), **given)
    rows(
        url, "INSERT INTO outbox.inbox (notification_id, recipient, title) VALUES (outbox.uuid7(), %s, 'Hi')", recipient
    )
    rows(
        url,
        "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', lower(%s), 'asked')",
        recipient,
    )
    limit = """
        INSERT INTO outbox.limits (per_second, burst, tokens, scope, name)
        SELECT 1, 1, 1, 'recipient', 'email:' || encode(sha256(convert_to(lower(%s), 'UTF8')), 'hex')"""
    rows(url, limit, recipient)


def sent_to(recipient: str) -> Sent:
    return Sent(provider="smtp", provider_message_id=f"250 ok for {recipient}")


def refused(recipient: str) -> Dead:
    failure = Failure("unreachable", "550 5.1.1", f"<{recipient}> is unknown")
    return Dead(provider="smtp", failure=failure, reason="unreachable")


def texts(url: str) -> Iterator[tuple[str, str]]:
    """Every row of every table of the outbox, as its table and its text."""
    tables = rows(
        url,
        "SELECT relname FROM pg_class WHERE relnamespace = 'outbox'::regnamespace AND relkind IN ('r', 'p') "
        "AND NOT relispartition",
    )
    for (table,) in tables:
        for (text,) in rows(url, f"SELECT t::text FROM outbox.{table} AS t"):
            yield table, re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "", text)  # one in many spells a name


def test_nothing_is_left_of_a_person_but_counts_and_the_suppression(database_url: str) -> None:
    put_everything(database_url, ADA)
    put_everything(database_url, EVE)
    before = {table: text for table, text in texts(database_url) if "eve" in text.lower()}
    assert erase(database_url) == Erased(
        notifications=5,
        cancelled=3,
        leased=0,
        attempts=3,
        dead_letters=1,
        inbox=0,  # an address's inbox is another name, in its own case
        idempotency_keys=2,
        suppressions=0,
    )
    assert erase(database_url, ADA, channel="inapp").inbox == 1
    assert {table for table, text in texts(database_url) if "ada" in text.lower()} == {"suppressions"}
    assert {table: text for table, text in texts(database_url) if "eve" in text.lower()} == before
    assert rows(database_url, "SELECT state, sum(notifications) FROM outbox.erasures GROUP BY 1 ORDER BY 1") == [
        ("cancelled", 3),
        ("dead", 1),
        ("sent", 1),
    ]
    assert rows(database_url, "SELECT * FROM outbox.status WHERE state = 'unaccounted'") == []


def test_attempts_stay_as_bare_facts(database_url: str) -> None:
    put_everything(database_url, ADA)
    query = "SELECT outcome, provider, error_class, error_code FROM outbox.attempts ORDER BY 1, 2, 3"
    before = rows(database_url, query)
    erase(database_url)
    cancelled = [("cancelled", None, None, None)] * 3
    assert rows(database_url, query) == sorted([*before, *cancelled], key=str)
    assert (
        rows(database_url, "SELECT 1 FROM outbox.attempts WHERE coalesce(error, provider_message_id) IS NOT NULL") == []
    )


async def test_what_still_waited_is_not_sent(database_url: str) -> None:
    await asyncio.to_thread(put, database_url, 3, recipient=ADA)
    await asyncio.to_thread(put, database_url, 1, recipient=EVE)
    await asyncio.to_thread(erase, database_url)
    assert [message.recipient for message in await delivered(database_url)] == [EVE]


def test_a_rollback_brings_everything_back(database_url: str) -> None:
    put_everything(database_url, ADA)
    before = sorted(texts(database_url))
    with psycopg.connect(database_url) as conn:
        assert outbox.erase(conn, recipient=ADA).notifications == 5
        conn.rollback()
    assert sorted(texts(database_url)) == before


def test_suppressions_go_if_they_are_asked_for(database_url: str) -> None:
    put_everything(database_url, ADA)
    assert erase(database_url, suppressions=True).suppressions == 1
    assert rows(database_url, "SELECT 1 FROM outbox.suppressions") == []


def test_one_channel_can_be_erased_alone(database_url: str) -> None:
    put_everything(database_url, ADA)
    put(database_url, 2, channel="sms", recipient=ADA)
    assert erase(database_url, ADA, channel="sms", suppressions=True) == Erased(2, 2, 0, 0, 0, 0, 0, 0)
    assert erase(database_url, ADA).notifications == 5


def test_case_counts_everywhere_but_in_email(database_url: str) -> None:
    put(database_url, 1, recipient="ADA@EXAMPLE.ORG")
    put(database_url, 1, channel="push", recipient="Token")
    put(database_url, 1, channel="push", recipient="token")
    assert erase(database_url).notifications == 1
    assert erase(database_url, "token").notifications == 1


def test_what_a_worker_holds_is_left_and_told_and_erased_when_it_has_ended(database_url: str) -> None:
    put(database_url, 2, recipient=ADA, idempotency_key=None)
    (held,) = claim_due(database_url, limit=1)
    first = erase(database_url)
    assert (first.notifications, first.leased) == (1, 1)
    assert settle_as(database_url, [held], SENT) == [held.id]
    second = erase(database_url)
    assert (second.notifications, second.leased) == (1, 0)
    assert [text for _, text in texts(database_url) if "ada" in text.lower()] == []


def test_a_dead_letter_whose_replay_is_being_sent_is_left_with_it(database_url: str) -> None:
    (identity,) = put_dead(database_url, 1, refused(ADA), recipient=ADA)
    with psycopg.connect(database_url) as conn:
        put_back(conn, identity)
    claim_due(database_url)
    erased = erase(database_url)
    assert (erased.notifications, erased.dead_letters, erased.leased) == (0, 0, 1)


def test_what_a_lost_worker_held_is_erased_and_its_verdict_changes_nothing(database_url: str) -> None:
    put(database_url, 1, recipient=ADA)
    claimed = claim_due(database_url)
    expire_leases(database_url)
    assert erase(database_url).cancelled == 1
    assert settle_as(database_url, claimed, refused(ADA)) == []
    assert rows(database_url, "SELECT claim, outcome FROM outbox.attempts ORDER BY 1") == [
        (1, "lost"),
        (2, "cancelled"),
    ]
    assert rows(database_url, "SELECT 1 FROM outbox.dead_letters") == []


def test_a_dead_letter_that_has_outlived_its_notification_is_erased_with_its_key(database_url: str) -> None:
    put_dead(database_url, 1, refused(ADA), recipient=ADA, idempotency_key="k")
    rows(database_url, "DELETE FROM outbox.notifications")
    erased = erase(database_url)
    assert (erased.notifications, erased.dead_letters, erased.attempts, erased.idempotency_keys) == (0, 1, 1, 1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: str(kind.__name__))
async def test_an_old_key_sends_nothing_after_the_erasure(kind: Any, database_url: str) -> None:
    given = {"channel": "email", "recipient": ADA, "payload": {"text": "Hi"}}
    async with opened(kind, database_url) as transaction:
        conn = transaction.conn
        first = await transaction.enqueue(**given, idempotency_key=f"welcome:{ADA}")
        erased = (
            await outbox.aerase(conn, recipient=ADA)
            if isinstance(transaction, Async)
            else outbox.erase(conn, recipient=ADA)
        )
        assert (erased.notifications, erased.idempotency_keys) == (1, 1)
        again = await transaction.enqueue(**given, idempotency_key=f"welcome:{ADA}")
        assert (again.id, again.created) == (first.id, False)
        many = await transaction.enqueue_many([{**given, "idempotency_key": key} for key in (f"welcome:{ADA}", "new")])
        assert [result.created for result in many] == [False, True]
        await transaction.commit()
    assert [message.recipient for message in await delivered(database_url)] == [ADA]


def test_an_old_key_sends_nothing_by_plain_sql_nor_with_other_content(database_url: str) -> None:
    put(database_url, 1, recipient=ADA, idempotency_key="k")
    erase(database_url)
    insert = (
        "INSERT INTO outbox.notifications (channel, recipient, idempotency_key) VALUES ('email', %s, 'k') RETURNING 1"
    )
    assert rows(database_url, insert, EVE) == []
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []
    put(database_url, 1, channel="sms", recipient="+447700900001", idempotency_key="k")  # another channel's key
    assert rows(database_url, "SELECT channel FROM outbox.queue") == [("sms",)]


def test_other_keys_are_taken_as_before_once_somebody_was_erased(database_url: str) -> None:
    put(database_url, 1, recipient=ADA, idempotency_key="k")
    erase(database_url)
    (first,) = put(database_url, 1, recipient=EVE, idempotency_key="e")
    assert put(database_url, 1, recipient=EVE, idempotency_key="e") == [first]
    with pytest.raises(outbox.IdempotencyConflict):
        put(database_url, 1, recipient="bob@example.org", idempotency_key="e")


def test_an_enqueue_that_waits_for_an_erasure_sends_nothing(cloned_url: str) -> None:
    """Nobody was ever erased when it began, and the key is gone when it gets on."""
    (first,) = put(cloned_url, 1, recipient=ADA, idempotency_key="k")
    again: list[Any] = []
    with psycopg.connect(cloned_url) as conn:
        outbox.erase(conn, recipient=ADA)
        thread = threading.Thread(target=lambda: again.extend(put(cloned_url, 1, recipient=ADA, idempotency_key="k")))
        thread.start()
        wait_until(lambda: rows(cloned_url, WAITING))
    thread.join()
    assert again == [first]
    assert rows(cloned_url, "SELECT 1 FROM outbox.queue") == []


def test_an_erasure_waits_for_a_replay_and_erases_what_it_put_back(database_url: str) -> None:
    (identity,) = put_dead(database_url, 1, refused(ADA), recipient=ADA)
    found = erase_behind(database_url, lambda conn: put_back(conn, identity))
    assert (found.notifications, found.cancelled, found.dead_letters) == (1, 1, 1)
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []


def test_an_erasure_finds_the_dead_letter_that_was_written_while_it_looked(database_url: str) -> None:
    (identity,) = put(database_url, 1, recipient=ADA)

    def settle(conn: psycopg.Connection[Any]) -> None:
        conn.execute("DELETE FROM outbox.queue WHERE id = %s", [identity])
        conn.execute(
            "INSERT INTO outbox.dead_letters (notification_id, enqueued_at, attempts, priority, channel, recipient, "
            "payload, reason) SELECT id, created_at, 1, priority, channel, recipient, payload, 'rejected' "
            "FROM outbox.notifications WHERE id = %s",
            [identity],
        )

    found = erase_behind(database_url, settle)
    assert (found.notifications, found.cancelled, found.dead_letters) == (1, 0, 1)
    assert rows(database_url, "SELECT 1 FROM outbox.dead_letters") == []


def test_keys_that_have_outlived_their_notifications_are_found_by_the_address_in_them(database_url: str) -> None:
    put(database_url, 1, SENT, recipient=ADA, idempotency_key="welcome:ADA@example.org:1")
    put(database_url, 1, SENT, recipient=EVE, idempotency_key="ada@example.org invited eve")  # still on record
    rows(database_url, "DELETE FROM outbox.notifications WHERE recipient = %s", ADA)
    assert erase(database_url).idempotency_keys == 1
    assert rows(database_url, "SELECT key FROM outbox.idempotency_keys") == [("ada@example.org invited eve",)]
    put(database_url, 1, recipient=ADA, idempotency_key="welcome:ADA@example.org:1")
    assert rows(database_url, "SELECT 1 FROM outbox.queue") == []


def test_a_short_recipient_is_not_looked_for_in_keys(database_url: str) -> None:
    put(database_url, 1, SENT, channel="inapp", recipient="42", idempotency_key="order:42")
    rows(database_url, "DELETE FROM outbox.notifications")
    assert erase(database_url, "42").idempotency_keys == 0


def test_in_slices_it_is_the_same_as_at_once(cloned_url: str) -> None:
    for days in (40, 3, 1):
        put_days_ago(cloned_url, days, 2, SENT, key=f"k{days}", recipient=ADA)
    put_days_ago(cloned_url, 400, 1, SENT, recipient=ADA, partition=False)
    put_everything(cloned_url, ADA)
    person = Person("ada@example.org")
    with psycopg.connect(cloned_url) as conn:
        slices = list_slices(conn)
        found = [erase_slice(conn, person, each) for each in slices]
        erase_keys(conn, person)
    assert (slices[0].since, slices[-1].until) == (None, None)
    assert all(before.until == after.since for before, after in pairwise(slices))
    assert sum(each.notifications for each in found) == 6 + 1 + 5
    assert sum(each.idempotency_keys for each in found) == 6 + 2
    assert {table for table, text in texts(cloned_url) if "ada" in text.lower()} == {
        "suppressions",
        "inbox",
        "limits",
    } - {"limits"}
    by_day = rows(
        cloned_url,
        "SELECT greatest(%s - day, 0), sum(notifications) FROM outbox.erasures GROUP BY 1 ORDER BY 1",
        today(cloned_url),
    )
    assert by_day == [(0, 5), (1, 2), (3, 2), (40, 2), (400, 1)]


def test_many_notifications_of_one_person_are_erased_at_once(database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.notifications (channel, recipient, idempotency_key) "
        "SELECT 'email', 'ada@example.org', 'k' || n FROM generate_series(1, 20000) AS n",
    )
    erased = erase(database_url)
    assert (erased.notifications, erased.cancelled, erased.idempotency_keys) == (20_000, 20_000, 20_000)


def test_nobody_is_not_erased(conn: psycopg.Connection) -> None:
    with pytest.raises(ValueError, match="empty"):
        outbox.erase(conn, recipient="")
    with pytest.raises(psycopg.errors.InvalidParameterValue):
        conn.execute("SELECT outbox.erase(NULL)")


def test_erasing_wants_a_transaction(database_url: str) -> None:
    put(database_url, 1, recipient=ADA)
    with psycopg.connect(database_url, autocommit=True) as conn:
        with pytest.raises(outbox.NotInTransaction):
            outbox.erase(conn, recipient=ADA)
        assert outbox.erase(conn, recipient=ADA, allow_autocommit=True).notifications == 1


def test_ambiguous_words_are_scrubbed_too(database_url: str) -> None:
    put(database_url, 1, recipient=ADA)
    end(database_url, Ambiguous(provider="smtp", failure=Failure("ambiguous", None, "ada@example.org?"), delay=0))
    end(database_url, SENT)
    assert erase(database_url).attempts == 2


def test_erasures_beside_everything_else_end_in_no_deadlock(database_url: str) -> None:
    erased: list[int] = []

    def enqueue(conn: psycopg.Connection[Any]) -> None:
        given = [{"channel": "email", "recipient": who, "group_key": who, "idempotency_key": who} for who in people()]
        with contextlib.suppress(psycopg.errors.SerializationFailure):  # a key went while it was looked up: try again
            outbox.enqueue_many(conn, given)

    def give_up(_: psycopg.Connection[Any]) -> None:
        settle_as(database_url, claim_due(database_url, limit=6), refused(ADA))

    def replay_all(conn: psycopg.Connection[Any]) -> None:
        replay(conn, [row[0] for row in conn.execute("SELECT notification_id FROM outbox.dead_letters")])

    def cancel(conn: psycopg.Connection[Any]) -> None:
        outbox.cancel(conn, group_key=people()[0])

    def gather(conn: psycopg.Connection[Any]) -> None:
        who = people()[0]
        window: dict[str, Any] = {"digest_key": "news", "digest_window": timedelta(hours=1)}
        outbox.enqueue(conn, channel="email", recipient=who, group_key=who, template="news", **window)
        outbox.cancel(conn, group_key=who)

    def forget(conn: psycopg.Connection[Any]) -> None:
        erased.append(outbox.erase(conn, recipient=people()[0]).notifications)

    assert (
        together(database_url, (enqueue, enqueue, give_up, replay_all, cancel, gather, forget, forget), seconds=2.5)
        == []
    )
    assert sum(erased) > 0
    orphans = "SELECT id FROM outbox.queue EXCEPT SELECT id FROM outbox.notifications"
    assert rows(database_url, orphans) == []
    assert rows(database_url, "SELECT 1 FROM outbox.status WHERE state = 'unaccounted'") == []


def people() -> list[str]:
    return random.sample([f"user{number}@example.org" for number in range(12)], 6)


def together(
    url: str, acts: Sequence[Callable[[psycopg.Connection[Any]], None]], *, seconds: float
) -> list[psycopg.Error]:
    """Do each over and over beside the others, each time in a transaction; return what went wrong."""
    until = time.monotonic() + seconds
    broken: list[psycopg.Error] = []

    def go_on(act: Callable[[psycopg.Connection[Any]], None]) -> None:
        with psycopg.connect(url) as conn:
            while time.monotonic() < until and not broken:
                try:
                    act(conn)
                    conn.rollback() if conn.info.transaction_status.name == "INERROR" else conn.commit()
                except psycopg.Error as error:
                    broken.append(error)

    threads = [threading.Thread(target=go_on, args=[act]) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return broken


def put_back(conn: psycopg.Connection[Any], identity: Any) -> None:
    assert len(replay(conn, [identity])) == 1
