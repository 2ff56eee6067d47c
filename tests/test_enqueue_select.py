"""enqueue_select: what a query returns is enqueued in one statement, and who is left out is counted, exactly."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import outbox
from outbox import InvalidFanOut, Selected, suppressions
from outbox.addresses import check_email
from tests.hands import claim, rows
from tests.kinds import KINDS, opened
from tests.topical import choose, say
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable

QUERY = "SELECT email AS recipient, jsonb_build_object('text', name) AS payload FROM people"


@pytest.fixture
def url(database_url: str) -> str:
    """A database with three people."""
    rows(
        database_url,
        "DROP TABLE IF EXISTS people; CREATE TABLE people (id bigint, email text, name text, since timestamptz); "
        "INSERT INTO people VALUES (1, 'ada@example.org', 'Ada', '2020-01-01'), (2, 'bob@example.org', 'Bob', "
        "'2021-01-01'), (3, 'eve@example.org', 'Eve', '2022-01-01')",
    )
    return database_url


def select(url: str, query: str = QUERY, parameters: dict[str, Any] | None = None, **fields: Any) -> Selected:
    with psycopg.connect(url) as conn:
        return outbox.enqueue_select(conn, query, parameters, **{"channel": "email"} | fields)


def values(*each: str | None) -> str:
    return "VALUES " + ", ".join("(NULL)" if one is None else f"($${one}$$)" for one in each)


def of(*each: str | None) -> str:
    return f"SELECT v.column1 AS recipient FROM ({values(*each)}) AS v"


def counts(selected: Selected) -> dict[str, int]:
    """Those that are not 0."""
    return {name: number for name, number in asdict(selected).items() if number}


def recipients(url: str) -> list[str]:
    return [row[0] for row in rows(url, "SELECT recipient FROM outbox.notifications ORDER BY id")]


# What is enqueued


@pytest.mark.parametrize("kind", KINDS)
async def test_each_row_is_a_notification_on_every_kind_of_connection(url: str, kind: Any) -> None:
    query = QUERY + " WHERE since < :before AND name LIKE 'A%' OR id = ANY (:ids) AND :yes AND name <> ':before'"
    parameters = {"before": datetime(2020, 6, 1, tzinfo=UTC), "ids": [3], "yes": True}
    async with opened(kind, url) as transaction:
        told = await transaction.enqueue_select(
            query, parameters, channel="email", template="news", topic="t", priority="bulk", idempotency_key="n"
        )
        assert counts(told) == {"selected": 2, "enqueued": 2}
        assert rows(url, "SELECT count(*) FROM outbox.notifications") == [(0,)], "nothing is committed yet"
        again = await transaction.enqueue_select(query, parameters, channel="email", idempotency_key="n")
        assert counts(again) == {"selected": 2, "existing": 2}
        await transaction.commit()
    async with opened(kind, url) as transaction:
        with pytest.raises(InvalidFanOut, match="FORM"):
            await transaction.enqueue_select("SELECT email AS recipient FORM people", channel="email")
        await transaction.enqueue_select(QUERY + " WHERE id = :id", {"id": 2}, channel="email")
        await transaction.rollback()
    stored = "recipient, template, topic, priority, payload, created_at = run_at, left(idempotency_key, 2)"
    assert rows(url, f"SELECT {stored} FROM outbox.notifications ORDER BY recipient") == [
        ("ada@example.org", "news", "t", 8, {"text": "Ada"}, True, "n:"),
        ("eve@example.org", "news", "t", 8, {"text": "Eve"}, True, "n:"),
    ]
    assert rows(url, "SELECT state FROM outbox.status") == [("due",), ("due",)]


def test_what_the_query_returns_comes_before_what_is_given(url: str) -> None:
    query = """
        SELECT 'sms' AS channel, name AS recipient, 0 AS priority, 'de' AS locale, 'g' AS group_key,
               now() + interval '1 hour' AS run_at, now() + interval '2 hours' AS expires_at,
               'k' || name AS idempotency_key, 't' AS topic, 'a' AS template, '{"h": "1"}'::json AS headers,
               'o' AS ordering_key, 'Asia/Tokyo' AS time_zone, '{"text": "100 % %s :x"}'::jsonb AS payload
        FROM people -- all of them
    """
    fields: dict[str, Any] = {"template": "b", "payload": {"b": 1}, "priority": "bulk", "topic": "b", "group_key": "b"}
    moments: dict[str, Any] = {"run_at": timedelta(days=1), "expires_at": timedelta(days=2), "idempotency_key": "b"}
    assert select(url, query, **fields, **moments, locale="b", headers={}, time_zone="UTC").enqueued == 3
    ((first, *row), *_) = rows(
        url,
        "SELECT recipient, channel, priority, locale, group_key, idempotency_key, topic, template, headers, "
        "ordering_key, time_zone, payload, date_part('hour', run_at - created_at + interval '1 s'), "
        "date_part('hour', expires_at - created_at + interval '1 s') FROM outbox.notifications ORDER BY id",
    )
    of_the_query = ["sms", 0, "de", "g", f"k{first}", "t", "a", {"h": "1"}, "o", "Asia/Tokyo"]
    assert row == [*of_the_query, {"text": "100 % %s :x"}, 1, 2]


def test_what_is_given_is_the_same_for_each(url: str) -> None:
    fields: dict[str, Any] = {"run_at": timedelta(hours=1), "expires_at": timedelta(hours=2), "headers": {"x": "y"}}
    select(url, "SELECT email AS recipient FROM people", payload={"text": "it's 100 %"}, locale="pt-BR", **fields)
    stored = (
        "payload, locale, headers, round(extract(epoch FROM run_at - created_at) / 60), "
        "round(extract(epoch FROM expires_at - created_at) / 60)"
    )
    assert rows(url, f"SELECT DISTINCT {stored} FROM outbox.notifications") == [
        ({"text": "it's 100 %"}, "pt-BR", {"x": "y"}, 60, 120)
    ]


async def test_they_are_claimed_in_the_order_of_the_query_and_stand_in_line_by_it(url: str) -> None:
    address = "'u' || i || '@example.org'"
    query = f"SELECT {address} AS recipient, 'k' AS ordering_key FROM generate_series(1, 12000) i ORDER BY -i"
    assert select(url, query).enqueued == 12_000
    found = rows(url, "SELECT id, recipient FROM outbox.notifications ORDER BY id")
    assert [recipient for _, recipient in found] == [f"u{i}@example.org" for i in range(12_000, 0, -1)]
    assert all(before.version == 7 and before < after for (before, _), (after, _) in pairwise(found))
    in_line = rows(url, "SELECT q.id FROM outbox.queue q ORDER BY q.position")
    assert [row[0] for row in in_line] == [row[0] for row in found]
    assert [each.recipient for each in await claim(url)] == ["u12000@example.org"]


def test_the_tables_are_found_as_the_connection_finds_them(url: str) -> None:
    rows(url, "DROP SCHEMA IF EXISTS shop CASCADE; CREATE SCHEMA shop; CREATE TABLE shop.buyers AS TABLE people")
    with psycopg.connect(url, options="-c search_path=shop,public,nowhere") as conn:
        assert outbox.enqueue_select(conn, "SELECT email AS recipient FROM buyers", channel="email").enqueued == 3
        conn.execute("CREATE TEMPORARY TABLE few AS SELECT 'eve@example.org' AS recipient")
        assert outbox.enqueue_select(conn, "TABLE few", channel="email").enqueued == 1
        conn.execute("CREATE TEMPORARY TABLE buyers AS SELECT email FROM shop.buyers LIMIT 2")
        assert outbox.enqueue_select(conn, "SELECT email AS recipient FROM buyers", channel="email").enqueued == 2
        assert conn.execute("SHOW search_path").fetchone() == ("shop,public,nowhere",)


def test_a_rollback_leaves_nothing(url: str) -> None:
    with psycopg.connect(url) as conn:
        outbox.enqueue_select(conn, QUERY, channel="email", idempotency_key="k")
        conn.rollback()
    for table in ("notifications", "queue", "idempotency_keys"):
        assert rows(url, f"SELECT count(*) FROM outbox.{table}") == [(0,)]


# Who is left out: counted, exactly

NAMES = ("ada", "Ada", "ADA", "bob", "Bob", "eve", "zoë", "ZOË")
TOPICS = (None, "news", "receipts")
NOW = timedelta(0)


class Entry(NamedTuple):
    """A suppression."""

    name: str
    topic: str
    reason: str
    until: timedelta | None


class Row(NamedTuple):
    """A row of the query; without a name it is invalid."""

    name: str | None
    topic: str | None
    due: timedelta
    key: str | None


entries = st.builds(
    Entry,
    st.sampled_from([name.lower() for name in NAMES]),
    st.sampled_from(["", "news", "receipts"]),
    st.sampled_from(["unsubscribed", "stop", "holiday"]),
    st.sampled_from([None, timedelta(hours=1), timedelta(hours=-1)]),
)
row_lists = st.lists(
    st.builds(
        Row,
        st.sampled_from([*NAMES, None]),
        st.sampled_from(TOPICS),
        st.sampled_from([NOW, timedelta(hours=2)]),
        st.sampled_from(["a", "b"]),
    ),
    max_size=20,
)


def kept_back(entry: Entry, name: str, row: Row) -> bool:
    """By what docs/suppressions.md says."""
    holds = entry.until is None or (entry.until > NOW and entry.until > row.due)
    about = entry.topic in {"", row.topic}
    return entry.name == name and holds and about and not (entry.reason == "unsubscribed" and row.topic == "receipts")


def model(
    found: Iterable[Row], held: Iterable[Entry], keys: set[str], prefix: str | None, *, own_keys: bool
) -> tuple[dict[str, int], list[str]]:
    """What is to become of the rows: counts, and the recipients in order; `keys` are those taken, which it adds to."""
    count = dict.fromkeys(Selected.__dataclass_fields__, 0)
    seen: set[Any] = set()
    enqueued = []
    for row in found:
        count["selected"] += 1
        if row.name is None:
            count["invalid"] += 1
            continue
        name = row.name.lower()
        place = (name, row.key if own_keys else None)
        key = row.key if own_keys else f"{prefix}:{name}" if prefix else None
        if place in seen:
            count["duplicates"] += 1
            continue
        seen.add(place)
        if key in keys:
            count["existing"] += 1
        elif any(kept_back(entry, name, row) for entry in held):
            count["suppressed"] += 1
        else:
            count["enqueued"] += 1
            enqueued.append(f"{row.name}@example.org")
            if key:
                keys.add(key)
    return count, enqueued


def stored(conn: psycopg.Connection, found: list[Row], held: list[Entry]) -> None:
    """Put the rows into a table `wanted`, and the suppressions where they belong."""
    conn.execute("CREATE TEMPORARY TABLE wanted (place int, email text, topic text, due interval, key text)")
    with conn.cursor().copy("COPY wanted FROM STDIN") as copy:
        for place, row in enumerate(found):
            copy.write_row((place, row.name and f"{row.name}@example.org", row.topic, row.due, row.key))
    conn.execute(
        "DELETE FROM outbox.topics; "
        "INSERT INTO outbox.topics (name, transactional) VALUES ('receipts', true), ('news', false)"
    )
    for entry in held:
        conn.execute(
            "INSERT INTO outbox.suppressions (channel, recipient, topic, reason, until) "
            "VALUES ('email', %s, %s, %s, now() + %s) ON CONFLICT DO NOTHING",
            (f"{entry.name}@example.org", entry.topic, entry.reason, entry.until),
        )


def first_of_each(held: list[Entry]) -> list[Entry]:
    """One suppression for a recipient and a topic, as the primary key has it."""
    return list({(entry.name, entry.topic): entry for entry in reversed(held)}.values())


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=row_lists, again=row_lists, held=st.lists(entries, max_size=6), prefix=st.sampled_from([None, "k"]))
def test_the_counts_are_those_of_the_model(
    url: str, found: list[Row], again: list[Row], held: list[Entry], prefix: str | None
) -> None:
    query = "SELECT email AS recipient, topic, now() + due AS run_at FROM wanted ORDER BY place"
    keys: set[str] = set()
    with psycopg.connect(url) as conn:
        for batch in (found, again):
            stored(conn, batch, held)
            before = conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() or (0,)
            told = outbox.enqueue_select(conn, query, channel="email", idempotency_key=prefix, on_invalid="skip")
            expected, recipients = model(batch, first_of_each(held), keys, prefix, own_keys=False)
            assert asdict(told) == expected
            there = conn.execute("SELECT recipient FROM outbox.notifications ORDER BY id OFFSET %s", before).fetchall()
            assert [row[0] for row in there] == recipients
            waiting = conn.execute("SELECT count(*) FROM outbox.queue").fetchone()
            assert waiting == (before[0] + len(recipients),)
            conn.execute("DROP TABLE wanted")
        conn.rollback()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=row_lists, held=st.lists(entries, max_size=3))
def test_rows_with_keys_of_their_own_are_told_apart_by_them(url: str, found: list[Row], held: list[Entry]) -> None:
    found = [row._replace(key=f"{row.key}:{row.name.lower() if row.name else ''}") for row in found]
    query = "SELECT email AS recipient, topic, now() + due AS run_at, key AS idempotency_key FROM wanted ORDER BY place"
    keys: set[str] = set()
    with psycopg.connect(url) as conn:
        stored(conn, found, held)
        for _ in range(2):
            told = outbox.enqueue_select(conn, query, channel="email", on_invalid="skip")
            assert asdict(told) == model(found, first_of_each(held), keys, None, own_keys=True)[0]
        conn.rollback()


async def test_whom_it_leaves_out_a_claim_would_have_left_out(url: str) -> None:
    say(url, receipts={"transactional": True}, news={})
    with psycopg.connect(url) as conn:
        suppressions.add(conn, channel="email", recipient="ADA@example.org", reason="unsubscribed")
        suppressions.add(conn, channel="email", recipient="bob@example.org", reason="stop", topic="news")
    assert counts(select(url, topic="news")) == {"selected": 3, "enqueued": 1, "suppressed": 2}
    assert counts(select(url, topic="receipts")) == {"selected": 3, "enqueued": 3}
    assert {each.suppression for each in await claim(url) if each.topic == "news"} == {None}


async def test_who_does_not_want_it_is_counted_and_left_out(url: str) -> None:
    say(url, offers={"default": "opt_in"}, news={}, receipts={"transactional": True})
    choose(url, "news", wanted=False, recipient="ADA@example.org")
    choose(url, "offers", wanted=True, recipient="bob@example.org")
    assert counts(select(url, topic="news")) == {"selected": 3, "enqueued": 2, "unwanted": 1}
    assert counts(select(url, topic="offers")) == {"selected": 3, "enqueued": 1, "unwanted": 2}
    assert counts(select(url, topic="receipts")) == {"selected": 3, "enqueued": 3}
    assert counts(select(url)) == {"selected": 3, "enqueued": 3}
    assert {each.suppression for each in await claim(url)} == {None}


def test_another_content_under_a_key_that_was_taken_is_there_already(url: str) -> None:
    select(url, idempotency_key="k")
    assert counts(select(url, idempotency_key="k", template="other")) == {"selected": 3, "existing": 3}
    assert counts(select(url, of("ADA@EXAMPLE.ORG"), idempotency_key="k")) == {"selected": 1, "existing": 1}


def test_two_at_once_with_one_key_enqueue_each_once(url: str) -> None:
    query = "SELECT 'u' || i || '@example.org' AS recipient FROM generate_series(1, 2000) i ORDER BY random()"
    told: list[Selected] = []
    with psycopg.connect(url) as first:
        told.append(outbox.enqueue_select(first, query, channel="email", idempotency_key="k"))
        second = threading.Thread(target=lambda: told.append(select(url, query, idempotency_key="k")))
        second.start()
        waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        wait_until(lambda: rows(url, waits))
    second.join()
    assert [counts(each) for each in told] == [
        {"selected": 2_000, "enqueued": 2_000},
        {"selected": 2_000, "existing": 2_000},
    ]
    for table in ("notifications", "queue", "idempotency_keys"):
        assert rows(url, f"SELECT count(*) FROM outbox.{table}") == [(2_000,)]


# What is refused


BAD_ROWS = (
    (of(None), "recipient is missing"),
    (of(""), "recipient is missing"),
    (of("ada@"), "recipient is no email address"),
    ("SELECT 'a' || chr(10) AS recipient, 'sms' AS channel", "recipient has control characters"),
    ("SELECT repeat('a', 5000) AS recipient, 'sms' AS channel", "recipient is longer than 4,096 bytes"),
    ("SELECT 'a' AS recipient, NULL::text AS channel", "channel is not a name, such as email"),
    ("SELECT 'a' AS recipient, 'E-mail' AS channel", "channel is not a name, such as email"),
    ("SELECT 'a@b.c' AS recipient, 10 AS priority", "priority is not from 0 (first) to 9 (last)"),
    ("SELECT 'a@b.c' AS recipient, '[]'::jsonb AS payload", "payload is not a JSON object of at most 2 MiB"),
    ("SELECT 'a@b.c' AS recipient, '1'::jsonb AS headers", "headers is not a JSON object of at most 128 KiB"),
    ("SELECT 'a@b.c' AS recipient, now() AS run_at, now() AS expires_at", "expires_at is not after run_at, or now"),
    ("SELECT 'a@b.c' AS recipient, now() - interval '1 s' AS expires_at", "expires_at is not after run_at, or now"),
    ("SELECT 'a@b.c' AS recipient, '9001-01-01'::timestamptz AS run_at", "run_at is not in 1970 to 8999"),
    ("SELECT 'a@b.c' AS recipient, 'infinity'::timestamptz AS expires_at", "expires_at is not in 1970 to 8999"),
    ("SELECT 'a@b.c' AS recipient, '' AS topic", "topic must have 1 to 255 characters"),
    (
        "SELECT 'a@b.c' AS recipient, repeat('k', 256) AS idempotency_key",
        "idempotency_key must have 1 to 255 characters",
    ),
    ("SELECT 'a@b.c' AS recipient, '' AS time_zone", "time_zone must have 1 to 64 characters"),
)


@pytest.mark.parametrize(("query", "problem"), BAD_ROWS)
def test_a_row_that_can_be_no_notification_is_told_and_may_be_skipped(url: str, query: str, problem: str) -> None:
    query = f"SELECT * FROM ({query}) b"
    with psycopg.connect(url) as conn:
        outbox.enqueue(conn, channel="email", recipient="before@example.org")
        with pytest.raises(InvalidFanOut) as refused:
            outbox.enqueue_select(conn, query, channel="email")
        assert f"1 of 1 rows can be no notification, and none was enqueued (1: {problem})" in str(refused.value)
        ((recipient, said),) = refused.value.examples
        assert said == problem
        assert not recipient or f"{recipient!r}" not in str(refused.value)
        told = outbox.enqueue_select(conn, query, channel="email", on_invalid="skip")
        assert counts(told) == {"selected": 1, "invalid": 1}
    assert recipients(url) == ["before@example.org"], "and the transaction stays usable"


def test_one_bad_row_of_many_keeps_all_back_unless_it_is_skipped(url: str) -> None:
    query = of("ada@example.org", "bob", "bob", None, "ADA@example.org", "eve@example.org")
    with pytest.raises(InvalidFanOut) as refused:
        select(url, query)
    assert "3 of 6 rows can be no notification, and none was enqueued (2: recipient is no email address; 1: " in str(
        refused.value
    )
    assert [recipient for recipient, _ in refused.value.examples] == ["bob", "bob", None]
    assert recipients(url) == []
    told = select(url, query, on_invalid="skip")
    assert counts(told) == {"selected": 6, "enqueued": 2, "duplicates": 1, "invalid": 3}


BAD_QUERIES = (
    ("SELECT email FROM people", "returns 'email', which is not a field"),
    ("SELECT email AS receipient FROM people", "did you mean recipient?"),
    ("SELECT name AS topic FROM people", "returns no recipient: name a column so, as in SELECT email AS recipient"),
    ("SELECT email AS recipient, name AS recipient FROM people", "returns 'recipient' twice"),
    ("SELECT email AS recipient\nFORM people", r'at or near "FORM" \(line 2, column 1\)'),
    ("SELECT emial AS recipient FROM people", r'column "emial" does not exist \(line 1, column 8\)'),
    ("SELECT email AS recipient FROM persons", r'relation "persons" does not exist \(line 1, column 32\)'),
    ("INSERT INTO people VALUES (4) RETURNING email AS recipient", "it must be one SELECT"),
    ("DELETE FROM people RETURNING email AS recipient", "it must be one SELECT"),
    ("WITH gone AS (DELETE FROM people RETURNING email) SELECT email AS recipient FROM gone", "it must be one SELECT"),
    ("SELECT email AS recipient INTO mine FROM people", "it must be one SELECT"),
    ("SELECT email AS recipient FROM people; DELETE FROM people", "it must be one SELECT"),
    ("SELECT email AS recipient FROM people) q; DELETE FROM people --", "it must be one SELECT"),
    ("DROP TABLE people", "it must be one SELECT"),
    (" ; ", "must be one SELECT"),
    ("SELECT email AS recipient, name AS payload FROM people", '"payload" is of type jsonb'),
    ("SELECT email AS recipient FROM people WHERE name = :name", "the query has :name, which is not given"),
)


@pytest.mark.parametrize(("query", "problem"), BAD_QUERIES)
def test_a_query_that_will_not_do_is_refused_and_the_transaction_stays_usable(
    url: str, query: str, problem: str
) -> None:
    with psycopg.connect(url) as conn:
        with pytest.raises(InvalidFanOut, match=problem) as refused:
            outbox.enqueue_select(conn, query, channel="email")
        assert refused.value.field in {"query", "parameters"}
        assert conn.execute("SELECT count(*) FROM people").fetchone() == (3,)
    assert recipients(url) == []


def test_what_a_query_runs_into_is_told_as_the_driver_has_it_and_without_what_messages_say(url: str) -> None:
    with psycopg.connect(url) as conn, pytest.raises(psycopg.errors.DivisionByZero) as failed:
        outbox.enqueue_select(conn, QUERY + " WHERE 1 / (id - 2) > 0", channel="email", headers={"secret": "s3cret"})
    assert str(failed.value).startswith("division by zero\n")
    assert "s3cret" not in str(failed.value)
    looks = (
        "CREATE FUNCTION pg_temp.looks() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN (SELECT 1 FROM gone); END $$"
    )
    with psycopg.connect(url) as conn:
        conn.execute(looks)
        with pytest.raises(psycopg.errors.UndefinedTable, match="gone"):
            outbox.enqueue_select(conn, "SELECT pg_temp.looks() AS recipient", channel="email")


BAD_ARGUMENTS: tuple[tuple[dict[str, Any], str, str], ...] = (
    ({"channel": None}, "channel", "is not given, and the query does not return it"),
    ({"channel": "E-Mail"}, "channel", "is not a channel name"),
    ({"payload": []}, "payload", "must be a JSON object"),
    ({"priority": "later"}, "priority", "is none of urgent"),
    ({"run_at": datetime(2030, 1, 1)}, "run_at", "without a time zone"),  # noqa: DTZ001 - that is the point
    ({"recipient": "a@b.c"}, "recipient", "cannot be the same for each notification"),
    ({"idempotency_key": "k" * 201}, "idempotency_key", "at most 200 characters"),
    ({"on_invalid": "ignore"}, "on_invalid", "neither refuse nor skip"),
    ({"parameters": {"x": 1}}, "parameters", "x: the query has no :x"),
    ({"parameters": {"x": object()}}, "parameters", "the query has no :x"),
    ({"time_zone": "Mars"}, "time_zone", "Mars"),
)


@pytest.mark.parametrize(("given_", "field", "problem"), BAD_ARGUMENTS)
def test_an_argument_that_will_not_do_is_named(url: str, given_: dict[str, Any], field: str, problem: str) -> None:
    with psycopg.connect(url) as conn, pytest.raises(InvalidFanOut) as refused:
        outbox.enqueue_select(conn, QUERY, **{"channel": "email"} | given_)
    assert refused.value.field == field
    assert problem in refused.value.problem


def test_it_insists_on_a_transaction_as_enqueue_does(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        with pytest.raises(outbox.NotInTransaction):
            outbox.enqueue_select(conn, QUERY, channel="email")
        assert outbox.enqueue_select(conn, QUERY, channel="email", allow_autocommit=True).enqueued == 3


def test_a_database_without_the_outbox_says_so(empty_url: str) -> None:
    with psycopg.connect(empty_url) as conn, pytest.raises(outbox.NotMigrated):
        outbox.enqueue_select(conn, "SELECT 'a@b.c' AS recipient", channel="email")


# Parameters


PARAMETERS = (
    ("text", 'it\'s "so" \\ {a,b} % :x'),
    ("bigint", 2**62),
    ("numeric", 10**30),
    ("numeric", Decimal("1.50")),
    ("double precision", 0.1),
    ("boolean", True),
    ("timestamptz", datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)),
    ("date", date(2026, 3, 1)),
    ("interval", timedelta(hours=1, microseconds=7)),
    ("uuid", UUID(int=7)),
    ("jsonb", {"a": ["ä", None]}),
    ("bigint[]", [1, None, 3]),
    ("text[]", ["a,b", '"', "\\", None, "NULL", ""]),
    ("boolean[]", (True, False)),
)


@pytest.mark.parametrize(("kind", "value"), PARAMETERS)
def test_a_parameter_has_the_type_of_its_value(url: str, kind: str, value: Any) -> None:
    query = (
        "SELECT 'a@b.c' AS recipient, jsonb_build_object('type', pg_typeof(:v)::text, 'text', (:v)::text) AS payload"
    )
    select(url, query, {"v": value})
    ((payload,),) = rows(url, "SELECT payload FROM outbox.notifications")
    assert payload["type"] == {"timestamptz": "timestamp with time zone"}.get(kind, kind)
    with psycopg.connect(url) as conn:
        dumped = json.dumps(value) if isinstance(value, dict) else list(value) if isinstance(value, tuple) else value
        assert conn.execute(f"SELECT (%s::{kind})::text", (dumped,)).fetchone() == (payload["text"],)


def test_nothing_and_an_empty_list_are_whatever_they_must_be(url: str) -> None:
    assert select(url, QUERY + " WHERE id = ANY (:ids)", {"ids": []}).selected == 0
    assert select(url, QUERY + " WHERE id > 0 AND coalesce(:id, id) = id", {"id": None}).selected == 3


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (object(), "a object is none that can be passed"),
        ([1, "a"], "a list of bigint, text is none of one type"),
        ("\0", "contains a NUL"),
        ("\ud800", "contains a NUL or half a surrogate pair"),
    ],
)
def test_what_cannot_be_passed_is_refused(url: str, value: Any, problem: str) -> None:
    with pytest.raises(InvalidFanOut, match=problem):
        select(url, QUERY + " WHERE name = :v", {"v": value})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))
@example("'); DELETE FROM people; --")
@example("$1[1]")
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_parameter_is_never_read_as_sql(url: str, text: str) -> None:
    query = (
        "SELECT 'a@b.c' AS recipient, jsonb_build_object('v', :v) AS payload FROM people WHERE ':v' = '%:v' OR id = 1"
    )
    with psycopg.connect(url) as conn:
        outbox.enqueue_select(conn, query, {"v": text}, channel="email")
        assert conn.execute("SELECT payload ->> 'v' FROM outbox.notifications").fetchall() == [(text,)]
        conn.rollback()


def test_a_colon_that_begins_no_parameter_is_left_alone(url: str) -> None:
    query = """
        SELECT email AS recipient, jsonb_build_object(
            'a', ':x', 'b', E'\\':x', 'c', $$:x$$, 'd', $t$ $$:x $t$, 'e', (ARRAY[1, 2])[id:id]::text, 'f', :x::text
        ) AS payload  -- it's :x
        /* and :x */ FROM people AS ":x" WHERE id = 1
    """
    select(url, query, {"x": 1})
    assert rows(url, "SELECT payload FROM outbox.notifications") == [
        ({"a": ":x", "b": "':x", "c": ":x", "d": " $$:x ", "e": "{1}", "f": "1"},)
    ]


# Addresses

LETTERS = "ab.-@Z9_'é字\u200b=? \"\t!\uff0e\u0660"


@given(
    st.one_of(
        st.text(LETTERS, max_size=16),
        st.from_regex(r"[a-z.]{1,3}@([a-z0-9-]{1,3}\.){0,2}[a-z0-9-]{1,3}", fullmatch=True),
    )
)
@example("a@" + "b" * 63 + ".c")
@example("a@" + "b" * 64 + ".c")
@example("a@b." + "c" * 64)
@example("é@" + "b" * 64 + ".c")
@example("a" * 64 + "@b.c")
@example("a" * 65 + "@b.c")
@example("é" * 33 + "@b.c")
@example("a@" + ".".join(["b" * 60] * 4) + ".cdefg")
@example("a@" + ".".join(["b" * 60] * 4) + ".cdefghij")
@example("a@b.12")
@example("a@1.b")
@example("=?utf-8?q?a?=@b.c")
@example("a@b.c\n")
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_database_takes_those_addresses_for_mailboxes_that_the_package_does(
    conn: psycopg.Connection, address: str
) -> None:
    last = address.rpartition("@")[2].rpartition(".")[2]
    if not last.isascii() and last.isdecimal():
        return  # digits that are none of ASCII: the database does not know them all, and a delivery looks again
    try:
        check_email(address)
    except ValueError:
        sound = False
    else:
        sound = True
    assert conn.execute("SELECT outbox.is_mailbox(%s)", (address,)).fetchone() == (sound,)


@given(st.integers(0x80, 0x10FFFF).filter(lambda code: not 0xD800 <= code <= 0xDFFF))
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_takes_the_characters_beyond_ascii_that_the_package_does(conn: psycopg.Connection, code: int) -> None:
    address = f"a{chr(code)}@{chr(code)}b.example"
    try:
        check_email(address)
    except ValueError:
        sound = False
    else:
        sound = True
    assert conn.execute("SELECT outbox.is_mailbox(%s)", (address,)).fetchone() == (sound,)
