from __future__ import annotations

import psycopg
import pytest

from outbox import migrate
from outbox.doctor.structure import TRIGGERS, wanted_indexes
from tests.doctor.examined import database, finding, findings, session, status, type_
from tests.hands import rows


def test_a_database_without_an_outbox_gets_one(empty_url: str) -> None:
    found = finding(empty_url, "schema")
    assert (found.status, found.finding, found.remedy) == ("failure", "the database has no outbox", "outbox migrate")
    assert findings(empty_url, "overdue")[0].status == "unknown"
    type_(empty_url, found.remedy)
    assert status(empty_url, "schema") == status(empty_url, "overdue") == "ok"


def test_a_database_that_is_behind_is_brought_up(empty_url: str) -> None:
    migrate.upgrade(empty_url, "0020")
    found = finding(empty_url, "schema")
    assert found.finding.startswith("the database is behind: it has revision 0020, and this program wants ")
    (fan_outs,) = findings(empty_url, "fan-outs")
    assert (fan_outs.status, fan_outs.remedy) == ("unknown", "outbox migrate")
    type_(empty_url, found.remedy)
    assert status(empty_url, "schema") == status(empty_url, "fan-outs") == "ok"


def test_a_database_that_is_newer_is_told_from_one_that_is_older(cloned_url: str) -> None:
    rows(cloned_url, "UPDATE outbox.migrations SET version_num = '9999'")
    found = finding(cloned_url, "schema")
    assert found.finding.startswith("the database is newer (revision 9999) than this program, whose newest is ")


def test_the_indexes_that_are_wanted_are_those_of_the_migrated_schema(conn: psycopg.Connection) -> None:
    there = conn.execute("""
        SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
        WHERE t.relnamespace = 'outbox'::regnamespace AND NOT t.relispartition AND t.relname <> 'migrations'
    """).fetchall()
    assert {name for (name,) in there} == set(wanted_indexes())


def test_every_index_that_goes_missing_is_found_and_made_again(cloned_url: str) -> None:
    assert status(cloned_url, "indexes") == "ok"
    lost = []
    for name, statement in wanted_indexes().items():
        if statement.startswith("ALTER TABLE"):
            ((table,),) = rows(cloned_url, "SELECT indrelid::regclass::text FROM pg_index "
                                           f"WHERE indexrelid = 'outbox.{name}'::regclass")  # fmt: skip
            rows(cloned_url, f"ALTER TABLE {table} DROP CONSTRAINT {name} CASCADE")
        else:
            rows(cloned_url, f"DROP INDEX outbox.{name}")
        lost.append(name)
    found = findings(cloned_url, "indexes")
    assert sorted(one.details["index"] for one in found) == sorted(lost)
    assert {one.status for one in found} == {"failure"}
    for one in found:
        type_(cloned_url, one.remedy)
    assert status(cloned_url, "indexes") == "ok"
    (due,) = [statement for name, statement in wanted_indexes().items() if name == "queue_due"]
    assert due == "CREATE INDEX CONCURRENTLY queue_due ON outbox.queue (channel, priority, run_at)"


def test_an_index_that_is_not_valid_is_built_anew(cloned_url: str) -> None:
    rows(cloned_url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'outbox.queue_due'::regclass")
    found = finding(cloned_url, "indexes")
    assert found.finding == "the index queue_due is not valid: it is written to, and not read"
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "indexes") == "ok"


def test_what_an_interrupted_rebuild_left_behind_is_dropped(cloned_url: str) -> None:
    with (
        session(cloned_url, "LOCK TABLE outbox.queue IN ROW EXCLUSIVE MODE"),
        psycopg.connect(cloned_url, autocommit=True, options="-c statement_timeout=300ms") as conn,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        conn.execute("REINDEX INDEX CONCURRENTLY outbox.queue_due")
    found = finding(cloned_url, "indexes")
    assert found.finding == "queue_due_ccnew was left behind half made, and slows every write"
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "indexes") == "ok"


def test_a_trigger_that_is_turned_off_is_turned_on_again(cloned_url: str) -> None:
    insert = "INSERT INTO outbox.notifications (channel, recipient) VALUES ('email', 'ada@example.org')"
    rows(cloned_url, "ALTER TABLE outbox.notifications DISABLE TRIGGER notifications_put_into_queue")
    rows(cloned_url, insert)
    assert rows(cloned_url, "SELECT 1 FROM outbox.queue") == []
    found = finding(cloned_url, "triggers")
    assert found.finding == "the trigger notifications_put_into_queue of notifications is turned off"
    type_(cloned_url, found.remedy)
    assert status(cloned_url, "triggers") == "ok"
    rows(cloned_url, insert)
    assert rows(cloned_url, "SELECT 1 FROM outbox.queue") == [(1,)]


@pytest.mark.parametrize(("name", "table"), TRIGGERS.items())
def test_each_trigger_is_missed(cloned_url: str, name: str, table: str) -> None:
    rows(cloned_url, f"DROP TRIGGER {name} ON outbox.{table}")
    assert finding(cloned_url, "triggers").finding == f"the trigger {name} of {table} is missing"


def test_a_role_for_which_no_trigger_is_at_work_is_found(cloned_url: str) -> None:
    url = f"{cloned_url}{'&' if '?' in cloned_url else '?'}options=-c%20session_replication_role%3Dreplica"
    found = finding(url, "triggers")
    assert found.finding.startswith("session_replication_role is replica for this role")
    assert found.remedy == "take session_replication_role out of the options of the URL"
    type_(cloned_url, f"ALTER DATABASE {database(cloned_url)} SET session_replication_role = replica")
    type_(cloned_url, finding(cloned_url, "triggers").remedy)
    assert status(cloned_url, "triggers") == "ok"
