"""Who may do what: the whole matrix of rights, real use within them, and attempts to get beyond them."""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.orm import DeclarativeBase, Session

import outbox
from outbox import fan_outs, migrate, preferences, schedules, schema, suppressions
from outbox.config import RetentionConfig, TopicConfig
from outbox.errors import Rejected, Temporary
from outbox.events import ChoreFailed, Retained
from outbox.messages import Removed
from outbox.outcomes import Sent
from outbox.queue.depths import depths, gauges
from outbox.queue.fleet import fleet
from outbox.queue.samples import samples
from outbox.schedule_events import ScheduleFailed, ScheduleRan
from outbox.unsubscribe import App
from outbox.worker.chores import chores_with
from tests.backdated import names, put_days_ago
from tests.command_line import run
from tests.endings import enter, put, put_dead
from tests.hands import rows
from tests.kinds import with_driver
from tests.recorder import Recorder, drain, route
from tests.test_retention import run_until
from tests.test_worker import running
from tests.topical import choose, say
from tests.unsubscribing import configured, token
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outbox.events import Event
    from outbox.messages import Notification

TABLE_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")
READS = {"SELECT"}
WRITES = {"SELECT", "INSERT", "UPDATE"}
MESSAGE = {"payload", "headers"}

# What is not named here is forbidden. Where a right is for some columns, these are named.
GOLDEN: dict[str, dict[str, set[str]]] = {
    "enqueuer": {
        "notifications": {"INSERT", "SELECT created_at", "SELECT id", "SELECT priority", "SELECT run_at"},
        "topics": READS,
        "fan_outs": WRITES,
        "EXECUTE": {"enqueue", "enqueue_digest", "enqueue_many", "escalate", "escalation_of", "suppress", "unsuppress"}
        | {"enqueue_select", "stage_fan_out", "advance_fan_out", "staged_rows", "staged_sample", "enqueue_rows"}
        | {"check_schedule", "schedule_statement", "selected_rows", "selected_row"}
        | {"set_preference", "set_preferences", "clear_preference", "preferences_of"},
    },
    "worker": {
        "notifications": READS,
        "suppressions": WRITES,
        "preferences": READS,
        "pauses": READS,
        "throttle_digests": READS,
        "migrations": READS,
        "limits": WRITES | {"DELETE"},
        "inbox": {"SELECT", "INSERT"},
        "partitions": READS,
        "queue": {"SELECT", "UPDATE", "DELETE"},
        "attempts": WRITES,
        "dead_letters": WRITES,
        "chores": WRITES,
        "topics": WRITES,
        "workers": WRITES | {"DELETE"},
        "depths": WRITES | {"DELETE"},
        "gauges": WRITES | {"DELETE"},
        "samples": WRITES | {"DELETE"},
        "notifications_default": {"SELECT id"},
        "attempts_default": {"SELECT notification_id"},
        "schedules": READS | {f"UPDATE {column}" for column in ("next_at", "retry_at", "failures", "problem")},
        "schedule_runs": WRITES | {"DELETE"},
        "EXECUTE": {
            "run_schedule",
            "schedule_statement",
            "ensure_partitions",
            "detach_expired_partition",
            "drop_detached_partition",
            "delete_expired",
            "delete_expired_keys",
            "close_due_digests",
            "admit",
            "gather",
            "tend_throttles",
        },
    },
    "auditor": {
        "notifications": {f"SELECT {column.name}" for column in schema.notifications.c if column.name not in MESSAGE},
        "dead_letters": {f"SELECT {column.name}" for column in schema.dead_letters.c if column.name not in MESSAGE},
        "inbox": {
            f"SELECT {column.name}" for column in schema.inbox.c if column.name not in {"title", "body", "data", "url"}
        },
        "idempotency_keys": {
            f"SELECT {column.name}" for column in schema.idempotency_keys.c if column.name != "digest"
        },
        "digests": {f"SELECT {column.name}" for column in schema.digests.c if column.name != "headers"},
        "schedules": {
            f"SELECT {column.name}" for column in schema.schedules.c if column.name not in {"query", "defaults"}
        },
        "schedule_runs": READS,
        "fan_outs": READS,
        "notifications_default": {"SELECT id"},
        "attempts_default": {"SELECT notification_id"},
        "queue": READS,
        "attempts": READS,
        "workers": READS,
        "depths": READS,
        "gauges": READS,
        "samples": READS,
        "chores": READS,
        "suppressions": READS,
        "preferences": READS,
        "topics": READS,
        "limits": READS,
        "throttles": READS,
        "throttle_digests": READS,
        "EXECUTE": {"throttle_recipient"},
        "pauses": READS,
        "erasures": READS,
        "migrations": READS,
        "status": READS,
        "partitions": READS,
        "audit": READS,
        "audit_timeline": READS,
        "audit_by_recipient": READS,
        "audit_failures": READS,
        "audit_days": READS,
        "audit_daily": READS,
    },
    "stranger": {},
}
# Whatever auditors read, and what it takes to steer and to mend.
GOLDEN["operator"] = GOLDEN["auditor"] | {
    "pauses": WRITES,
    "audit": READS | {f"INSERT {column}" for column in ("actor", "action", "subject", "reason", "details")},
    "dead_letters": {"SELECT"}
    | {f"UPDATE {column}" for column in ("resolution", "resolved_at", "replays", "replaced_by", "discard_reason")},
    "queue": {"SELECT", "INSERT"},
    "notifications": GOLDEN["auditor"]["notifications"] | {"INSERT"},
    "idempotency_keys": GOLDEN["auditor"]["idempotency_keys"] | {"SELECT digest", "UPDATE digest", "DELETE"},
    "EXECUTE": GOLDEN["auditor"]["EXECUTE"] | {"suppress", "unsuppress", "lift_suppression"},
}
# They compute, or have their caller's rights; who has no right to the schema cannot even name them.
EVERYBODYS = {"uuid7", "uuid7_floor", "uuid7_time", "is_blocked", "unblock_next", "unrecognised", "sent_by", "in_doubt"}
EVERYBODYS |= {"reason_strength", "kept_suppression", "takes_topic", "heed_topic", "anybody_chooses", "unwanted"}
EVERYBODYS |= {"reason_strength", "kept_suppression", "needless_words", "why_needless", "follows_in", "is_mailbox"}
EVERYBODYS |= {"line_of", "latest_of"}


class Roles:
    """An outbox with its roles, and for each a login of somebody who was granted it."""

    def __init__(self, url: str, prefix: str) -> None:
        self.url = url
        self.prefix = prefix

    def apply(self) -> None:
        with psycopg.connect(self.url) as conn:
            conn.execute(migrate.roles_sql(self.prefix).encode())

    def name(self, role: str) -> str:
        return self.prefix + role

    def login(self, role: str) -> str:
        """The URL of somebody who was granted the role."""
        url = make_url(self.url).set(username=f"{self.prefix}{role}_login", password="trusted")
        return url.render_as_string(hide_password=False)


@contextmanager
def made(url: str) -> Iterator[Roles]:
    roles = Roles(url, f"t{secrets.token_hex(4)}_")
    roles.apply()
    logins = {role: f"{roles.name(role)}_login" for role in GOLDEN}
    rows(url, f"CREATE ROLE {roles.name('stranger')}")
    for role, login in logins.items():
        rows(url, f"CREATE ROLE {login} LOGIN PASSWORD 'trusted' IN ROLE {roles.name(role)}")
    try:
        yield roles
    finally:
        everybody = ", ".join([*logins.values(), *(roles.name(role) for role in GOLDEN)])
        rows(url, f"DROP OWNED BY {everybody} CASCADE; DROP ROLE {everybody}")


@pytest.fixture
def roles(cloned_url: str) -> Iterator[Roles]:
    with made(cloned_url) as roles:
        yield roles


def matrix(roles: Roles) -> dict[str, dict[str, set[str]]]:
    """All that each role may do, object by object, as PostgreSQL sees it."""
    tables = """
        SELECT c.relname, p.privilege
        FROM pg_class c CROSS JOIN unnest(%s::text[]) AS p (privilege)
        WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND has_table_privilege(%s, c.oid, p.privilege)
    """
    columns = """
        SELECT c.relname, p.privilege || ' ' || a.attname
        FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (privilege)
        WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v')
          AND has_column_privilege(%s, c.oid, a.attnum, p.privilege)
          AND NOT has_table_privilege(%s, c.oid, p.privilege)
    """
    sequences = """
        SELECT c.relname, p.privilege
        FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'UPDATE', 'USAGE']) AS p (privilege)
        WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind = 'S'
          AND has_sequence_privilege(%s, c.oid, p.privilege)
    """
    functions = """
        SELECT 'EXECUTE', f.proname
        FROM pg_proc f
        WHERE f.pronamespace = 'outbox'::regnamespace AND has_function_privilege(%s, f.oid, 'EXECUTE')
    """
    found: dict[str, dict[str, set[str]]] = {}
    for role in GOLDEN:
        name = roles.name(role)
        found[role] = {}
        rights = [
            *rows(roles.url, tables, list(TABLE_RIGHTS), name),
            *rows(roles.url, columns, name, name),
            *rows(roles.url, sequences, name),
            *rows(roles.url, functions, name),
        ]
        for place, right in rights:
            found[role].setdefault(place, set()).add(right)
        assert found[role].pop("EXECUTE", set()) >= EVERYBODYS
        executes = {right for place, right in rights if place == "EXECUTE"} - EVERYBODYS
        if executes:
            found[role]["EXECUTE"] = executes
    return found


def test_the_matrix_of_rights_is_exactly_this(roles: Roles) -> None:
    put_days_ago(roles.url, 40)  # a partition that is made later is as closed as the others
    assert matrix(roles) == GOLDEN


def test_the_schema_can_be_used_by_the_roles_and_nobody_else_and_holds_no_tables_of_theirs(roles: Roles) -> None:
    for role in GOLDEN:
        for right in ("USAGE", "CREATE"):
            may = rows(roles.url, "SELECT has_schema_privilege(%s, 'outbox', %s)", roles.name(role), right)
            assert may == [(right == "USAGE" and role != "stranger",)]


def test_applied_again_it_takes_away_what_somebody_added(roles: Roles) -> None:
    rows(
        roles.url,
        f"GRANT ALL ON ALL TABLES IN SCHEMA outbox TO {roles.name('worker')}; "
        f"GRANT SELECT (payload) ON outbox.notifications TO {roles.name('auditor')}; "
        f"GRANT ALL ON SCHEMA outbox TO {roles.name('enqueuer')}; "
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA outbox TO {roles.name('enqueuer')}; "
        "DO $$ DECLARE part text; BEGIN FOR part IN SELECT name FROM outbox.partitions WHERE lowest IS NOT NULL "
        f"LOOP EXECUTE format('REVOKE ALL ON outbox.%I FROM {roles.name('worker')}', part); END LOOP; END $$",
    )
    roles.apply()
    assert matrix(roles) == GOLDEN
    assert rows(roles.url, "SELECT has_schema_privilege(%s, 'outbox', 'CREATE')", roles.name("enqueuer")) == [(False,)]


def test_every_function_that_writes_for_others_is_closed_to_strangers(roles: Roles) -> None:
    """A trigger function with its owner's rights, on a table of anybody's, would write what they like."""
    open_ = rows(
        roles.url,
        "SELECT proname FROM pg_proc WHERE pronamespace = 'outbox'::regnamespace AND prosecdef "
        "AND has_function_privilege(%s, oid, 'EXECUTE')",
        roles.name("stranger"),
    )
    assert open_ == []


def allowed(url: str, statements: Sequence[str]) -> list[str]:
    """The statements that are not refused for want of a right."""
    through = []
    with psycopg.connect(url) as conn:
        for statement in statements:
            try:
                conn.execute(statement.encode())
            except psycopg.errors.InsufficientPrivilege:
                conn.rollback()
            else:
                through.append(statement)
    return through


# Enqueueing


async def test_an_enqueuer_enqueues_in_every_way(roles: Roles) -> None:
    url = roles.login("enqueuer")
    await asyncio.to_thread(enter, roles.url, "email")
    rows(roles.url, "UPDATE outbox.workers SET idle = channels")
    put(url, 2, recipient="many@example.org")
    with psycopg.connect(url) as conn:
        given: dict[str, Any] = {"channel": "email", "recipient": "one@example.org", "idempotency_key": "k"}
        first = outbox.enqueue(conn, **given)
        assert outbox.enqueue(conn, **given) == outbox.Enqueued(first.id, created=False)
        with pytest.raises(outbox.IdempotencyConflict):
            outbox.enqueue(conn, **given | {"recipient": "two@example.org"})
        conn.execute(
            "INSERT INTO outbox.notifications (channel, recipient) VALUES ('email', 'sql@example.org') RETURNING id"
        )
        with conn.cursor().copy("COPY outbox.notifications (channel, recipient, idempotency_key) FROM STDIN") as copy:
            copy.write_row(("email", "copy@example.org", "c"))
    await enqueue_asynchronously(url)
    engine = sa.create_engine(with_driver(url, "psycopg"), poolclass=sa.NullPool)

    class Base(DeclarativeBase):
        pass

    class Row(Base):
        __table__ = schema.notifications

    with Session(engine) as session:
        session.add(Row(channel="email", recipient="orm@example.org", payload={"subject": "Hello", "text": "Hi"}))
        session.commit()
        outbox.enqueue_many(session, [{"channel": "email", "recipient": "session@example.org"}])
        session.commit()
    recorder = Recorder()
    await drain(roles.url, route(recorder))
    assert sorted(message.recipient.partition("@")[0] for message in recorder.sent) == sorted(
        ["many", "many", "one", "sql", "copy", "asynchronous", "orm", "session"]
    )


async def enqueue_asynchronously(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url) as conn:
        await outbox.aenqueue(conn, channel="email", recipient="asynchronous@example.org")


def test_a_function_of_an_applications_own_trigger_enqueues(roles: Roles) -> None:
    rows(
        roles.url,
        "CREATE TABLE public.orders (email text); "
        "CREATE FUNCTION public.tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "PERFORM outbox.enqueue('email', NEW.email); RETURN NEW; END $$; "
        "CREATE TRIGGER tell AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION public.tell(); "
        f"GRANT INSERT ON public.orders TO {roles.name('enqueuer')}",
    )
    rows(roles.login("enqueuer"), "INSERT INTO public.orders VALUES ('ada@example.org')")
    assert rows(roles.url, "SELECT recipient FROM outbox.status WHERE state = 'due'") == [("ada@example.org",)]


def people(roles: Roles) -> str:
    """Three people, one of whom has opted out; returns the login of an application, which may read who they are."""
    rows(
        roles.url,
        "CREATE TABLE public.people (email text); "
        "INSERT INTO public.people VALUES ('ada@example.org'), ('bob@example.org'), ('eve@example.org'); "
        f"GRANT SELECT ON public.people TO {roles.name('enqueuer')}; "
        "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', 'bob@example.org', 'stop')",
    )
    return roles.login("enqueuer")


def test_an_enqueuer_enqueues_from_a_query_and_is_told_how_many_are_kept_back(roles: Roles) -> None:
    url, query = people(roles), "SELECT email AS recipient FROM people"
    with psycopg.connect(url) as conn:
        assert outbox.enqueue_select(conn, query, channel="email", idempotency_key="k").suppressed == 1
    with psycopg.connect(url, autocommit=True) as conn:
        counts = fan_outs.run(conn, "news", query, channel="email", idempotency_key="k").counts
        assert (counts.existing, counts.suppressed) == (2, 1)
        assert [each.name for each in fan_outs.list_all(conn)] == ["news"]


def test_a_query_of_an_enqueuers_has_its_own_rights(roles: Roles) -> None:
    url = people(roles)
    rows(roles.url, f"REVOKE SELECT ON public.people FROM {roles.name('enqueuer')}")
    with psycopg.connect(url) as conn, pytest.raises(outbox.InvalidFanOut, match="permission denied for table people"):
        outbox.enqueue_select(conn, "SELECT email AS recipient FROM people", channel="email")
    with psycopg.connect(url) as conn, pytest.raises(outbox.InvalidFanOut, match="permission denied"):
        outbox.enqueue_select(conn, "SELECT recipient FROM outbox.suppressions", channel="email")


BEYOND_AN_ENQUEUER = (
    "SELECT payload FROM outbox.notifications",
    "SELECT recipient FROM outbox.notifications",
    "SELECT * FROM outbox.notifications",
    "SELECT id FROM outbox.notifications FOR UPDATE",
    "INSERT INTO outbox.notifications (channel, recipient) VALUES ('email', 'a@b.c') RETURNING payload",
    "UPDATE outbox.notifications SET priority = 0",
    "DELETE FROM outbox.notifications",
    "TRUNCATE outbox.notifications",
    "INSERT INTO outbox.notifications_default (channel, recipient) VALUES ('email', 'a@b.c')",
    "SELECT * FROM outbox.status",
    "SELECT * FROM outbox.idempotency_keys",
    "INSERT INTO outbox.queue (id, run_at, priority, channel) VALUES (outbox.uuid7(), now(), 0, 'email')",
    "DELETE FROM outbox.queue",
    "INSERT INTO outbox.attempts (notification_id, claim, attempt, outcome) VALUES (outbox.uuid7(), 1, 1, 'sent')",
    "SELECT * FROM outbox.suppressions",
    "SELECT outbox.cancel(group_key => 'g')",
    "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('sms', '1', 'stop')",
    "DELETE FROM outbox.suppressions",
    "SELECT outbox.lift_suppression('email', 'ada@example.org')",
    "SELECT outbox.end_suppressed(ARRAY[outbox.uuid7()], ARRAY['stop'])",
    "SELECT outbox.waiting_for('email', 'ada@example.org')",
    "SELECT * FROM outbox.preferences",
    "INSERT INTO outbox.preferences (wanted, channel, recipient, topic) VALUES (true, 'sms', '1', 'news')",
    "UPDATE outbox.topics SET transactional = true",
    "SELECT outbox.end_unwanted('email', 'ada@example.org', ARRAY['news'], '')",
    "SELECT outbox.erase('ada@example.org')",
    "SELECT outbox.erase_notifications('ada@example.org')",
    "SELECT outbox.ensure_partitions()",
    "SELECT outbox.delete_expired('notifications', 1)",
    "SELECT nextval('outbox.erased_ever')",
    "SELECT * FROM outbox.schedules",
    "INSERT INTO outbox.schedules (name, cron, next_at, query, columns) VALUES ('a', '@daily', now(), '', '{}')",
    "UPDATE outbox.schedules SET query = 'SELECT 1'",
    "DELETE FROM outbox.schedules",
    "SELECT outbox.run_schedule('mine', now(), 'me')",
    "DELETE FROM outbox.fan_outs",
    "CREATE TABLE outbox.mine ()",
    "CREATE TRIGGER t BEFORE INSERT ON outbox.notifications EXECUTE FUNCTION suppress_redundant_updates_trigger()",
)


def test_an_enqueuer_may_do_nothing_else(roles: Roles) -> None:
    put(roles.url, 1)
    assert allowed(roles.login("enqueuer"), BEYOND_AN_ENQUEUER) == []


def test_an_enqueuer_records_opt_outs_and_takes_back_those_that_were_a_choice(roles: Roles) -> None:
    put(roles.url, 2, recipient="ada@example.org")
    given: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
    with psycopg.connect(roles.login("enqueuer")) as conn:
        assert suppressions.add(conn, **given, reason="unsubscribed").ended == 2
        assert suppressions.remove(conn, **given) == Removed("unsubscribed", ())
        suppressions.add(conn, **given, reason="stop")
        assert suppressions.remove(conn, **given) == Removed(None, ("stop",))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            suppressions.remove(conn, **given, strong=True)


async def test_the_application_behind_links_to_unsubscribe_needs_no_more_than_that(roles: Roles) -> None:
    transport = httpx.ASGITransport(App(configured(roles.login("enqueuer"))))
    async with httpx.AsyncClient(transport=transport, base_url="https://example.org/unsubscribe") as client:
        done = await client.post(f"/{token()}", data={"List-Unsubscribe": "One-Click"})
        (permit,) = re.findall(r'name="undo" value="([^"]+)"', done.text)
        undone = await client.post(f"/{token()}", data={"undo": permit})
    assert (done.status_code, undone.status_code) == (200, 200)


def test_an_enqueuer_writes_down_what_people_want_and_shows_it_to_them(roles: Roles) -> None:
    say(roles.url, news={}, offers={"default": "opt_in"})
    put(roles.login("enqueuer"), 2, recipient="ada@example.org", topic="news")
    given: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org"}
    with psycopg.connect(roles.login("enqueuer")) as conn:
        assert preferences.set(conn, **given, topic="news", wanted=False).ended == 2
        assert [(one.topic, one.wanted) for one in preferences.find(conn, **given)] == [
            ("news", False),
            ("offers", False),
        ]
        assert preferences.clear(conn, **given, topic="news").cleared
        with pytest.raises(outbox.InvalidNotification, match="did you mean news"):
            outbox.enqueue(conn, **given, topic="newz")


async def test_a_worker_heeds_what_people_want(roles: Roles) -> None:
    say(roles.url, news={}, offers={"default": "opt_in"})
    choose(roles.url, "news", wanted=False)
    for topic in ("news", "offers"):
        put(roles.url, recipient="ada@example.org", topic=topic)
    topics = {"news": TopicConfig(), "offers": TopicConfig(default="opt_in")}
    assert await drain(roles.login("worker"), route(Recorder()), topics=topics) == 0
    assert rows(roles.url, "SELECT DISTINCT state FROM outbox.status") == [("suppressed",)]


def test_one_grant_lets_an_application_cancel(roles: Roles) -> None:
    rows(roles.url, f"GRANT EXECUTE ON FUNCTION outbox.cancel TO {roles.name('enqueuer')}")
    put(roles.login("enqueuer"), 2, group_key="g")
    with psycopg.connect(roles.login("enqueuer")) as conn:
        assert outbox.cancel(conn, group_key="g").cancelled == 2


def test_one_grant_lets_somebody_erase(roles: Roles) -> None:
    put(roles.url, 2, recipient="ada@example.org")
    rows(
        roles.url,
        f"GRANT USAGE ON SCHEMA outbox TO {roles.name('stranger')}; "
        f"GRANT EXECUTE ON FUNCTION outbox.erase TO {roles.name('stranger')}",
    )
    with psycopg.connect(roles.login("stranger")) as conn:
        assert outbox.erase(conn, recipient="ada@example.org").notifications == 2


# Working


async def test_a_worker_delivers_retries_and_gives_up(roles: Roles) -> None:
    tried: set[str] = set()

    async def behave(message: Notification) -> None:
        if message.recipient.startswith("dead"):
            raise Rejected("no", code="554")
        if message.recipient not in tried:
            tried.add(message.recipient)
            raise Temporary("later", code="451")

    put(roles.url, 2, recipient="dead@example.org")
    put(roles.url, 3)
    rows(
        roles.url,
        "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', 'user0@example.org', 'x')",
    )
    problems: list[Event] = []
    work = drain(roles.login("worker"), route(Recorder(behave), backoff=(0.0,), jitter=0, events=problems), lease=1)
    assert await work == 0
    states = rows(roles.url, "SELECT state, count(*) FROM outbox.status GROUP BY 1 ORDER BY 1")
    assert states == [("dead", 2), ("sent", 2), ("suppressed", 1)]
    assert [event for event in problems if isinstance(event, ChoreFailed)] == []


def test_a_worker_makes_partitions_and_lets_go_of_old_ones(roles: Roles) -> None:
    put_days_ago(roles.url, 40, 2, Sent(provider="smtp"), key="k")
    put_days_ago(roles.url, 40, 2, Sent(provider="smtp"), partition=True)
    rows(roles.url, "UPDATE outbox.dead_letters SET resolution = 'discarded', resolved_at = '2000-01-01'")
    rows(roles.url, "SELECT outbox.ensure_partitions()")  # the template may be of yesterday
    ahead = "SELECT count(*) FROM outbox.partitions WHERE lowest > outbox.uuid7_floor(now())"
    before = rows(roles.url, ahead)
    last = rows(roles.url, "SELECT name FROM outbox.partitions WHERE lowest IS NOT NULL ORDER BY lowest DESC LIMIT 2")
    rows(roles.url, "; ".join(f"DROP TABLE outbox.{name}" for (name,) in last))
    events: list[Event] = []
    run_until(roles.login("worker"), chores_with(RetentionConfig(), events.append), events, Retained)
    assert [event for event in events if isinstance(event, ChoreFailed)] == []
    assert rows(roles.url, ahead) == before
    assert names(roles.url) == set()
    assert rows(roles.url, "SELECT count(*) FROM outbox.idempotency_keys") == [(0,)]


def customers(roles: Roles) -> None:
    """A schedule that is due, and the table that its query reads, which the worker may read as well."""
    rows(
        roles.url, "CREATE TABLE public.customers (email text); INSERT INTO public.customers VALUES ('ada@example.org')"
    )
    rows(roles.url, f"GRANT SELECT ON public.customers TO {roles.name('worker')}")
    with psycopg.connect(roles.url) as conn:
        schedules.add(conn, "digest", "@daily", "SELECT email AS recipient FROM customers", channel="email")
    rows(roles.url, "UPDATE outbox.schedules SET next_at = now()")


async def run_what_is_due(roles: Roles, event: type[Event]) -> Event:
    told: list[Event] = []
    async with running(roles.login("worker"), route(Recorder(), events=told)):
        return (await await_until(lambda: [each for each in told if isinstance(each, event)]))[0]


async def test_a_worker_that_may_enqueue_runs_schedules(roles: Roles) -> None:
    customers(roles)
    rows(roles.url, f"GRANT {roles.name('enqueuer')} TO {roles.name('worker')}_login")
    told = await run_what_is_due(roles, ScheduleRan)
    assert isinstance(told, ScheduleRan)
    assert told.enqueued == 1
    assert rows(roles.url, "SELECT enqueued FROM outbox.schedule_runs") == [(1,)]


async def test_a_worker_that_may_not_enqueue_says_what_it_lacks(roles: Roles) -> None:
    customers(roles)
    told = await run_what_is_due(roles, ScheduleFailed)
    assert isinstance(told, ScheduleFailed)
    assert told.problem == "InsufficientPrivilege: permission denied for table notifications"
    assert rows(roles.url, "SELECT problem FROM outbox.schedules") == [(told.problem,)]
    assert rows(roles.url, "SELECT count(*) FROM outbox.notifications") == [(0,)]


async def test_a_query_has_the_workers_rights_and_not_those_of_whoever_added_it(roles: Roles) -> None:
    customers(roles)
    rows(roles.url, f"GRANT {roles.name('enqueuer')} TO {roles.name('worker')}_login")
    rows(roles.url, f"REVOKE SELECT ON public.customers FROM {roles.name('worker')}")
    told = await run_what_is_due(roles, ScheduleFailed)
    assert isinstance(told, ScheduleFailed)
    assert told.problem == "InsufficientPrivilege: permission denied for table customers"


def test_a_worker_of_before_is_given_the_rights_by_the_migration(roles: Roles) -> None:
    migrate.downgrade(roles.url, "0010")
    migrate.upgrade(roles.url)
    found = matrix(roles)["worker"]
    for place in ("schedules", "schedule_runs"):
        assert found[place] == GOLDEN["worker"][place]
    assert matrix(roles)["enqueuer"]["fan_outs"] == GOLDEN["enqueuer"]["fan_outs"]
    assert matrix(roles)["enqueuer"]["EXECUTE"] == GOLDEN["enqueuer"]["EXECUTE"]
    assert found["EXECUTE"] >= {"admit", "gather", "tend_throttles"}
    assert found["EXECUTE"] >= {"run_schedule", "schedule_statement"}


BEYOND_A_WORKER = (
    "INSERT INTO outbox.notifications (channel, recipient) VALUES ('email', 'a@b.c')",
    "SELECT outbox.enqueue('email', 'a@b.c')",
    "UPDATE outbox.notifications SET priority = 0",
    "DELETE FROM outbox.notifications",
    "DELETE FROM outbox.notifications_default",
    "DELETE FROM outbox.attempts",
    "DELETE FROM outbox.dead_letters",
    "DELETE FROM outbox.idempotency_keys",
    "DELETE FROM outbox.suppressions",
    "DELETE FROM outbox.throttles",
    "SELECT outbox.suppress('email', 'ada@example.org', 'stop')",
    "SELECT outbox.lift_suppression('email', 'ada@example.org')",
    "INSERT INTO outbox.queue (id, run_at, priority, channel) VALUES (outbox.uuid7(), now(), 0, 'email')",
    "INSERT INTO outbox.schedules (name, cron, next_at, query, columns) VALUES ('a', '@daily', now(), '', '{}')",
    "UPDATE outbox.schedules SET query = 'SELECT 1'",
    "UPDATE outbox.schedules SET search_path = 'evil'",
    "DELETE FROM outbox.schedules",
    "SELECT outbox.check_schedule('SELECT 1', '{}', 'UTC', '{}')",
    "TRUNCATE outbox.queue",
    "SELECT outbox.cancel(group_key => 'g')",
    "SELECT outbox.erase('ada@example.org')",
    "CREATE TABLE outbox.mine ()",
    "DROP TABLE outbox.attempts_default",
    "ALTER TABLE outbox.notifications DISABLE TRIGGER ALL",
    "ALTER FUNCTION outbox.cancel SECURITY INVOKER",
)


def test_a_worker_may_do_nothing_else(roles: Roles) -> None:
    put(roles.url, 1)
    assert allowed(roles.login("worker"), BEYOND_A_WORKER) == []


# Reading


async def test_a_worker_lets_through_and_gathers_what_a_throttle_says(roles: Roles) -> None:
    put(roles.url, 3, recipient="ada@example.org", topic="news")
    rule = TopicConfig.model_validate({"throttle": "1/d", "throttle_policy": "digest"})
    recorder = Recorder()
    await drain(roles.login("worker"), route(recorder, topics={"news": rule}))
    assert len(recorder.sent) == 1
    assert rows(roles.url, "SELECT items FROM outbox.digests") == [(2,)]
    rows(roles.login("worker"), "SELECT outbox.tend_throttles(10)")
    assert rows(roles.login("auditor"), "SELECT cardinality(waiting) FROM outbox.throttles") == [(1,)]


def test_an_auditor_sees_how_things_stand_and_not_what_messages_say(roles: Roles) -> None:
    (identity,) = put_dead(roles.url, 1)
    put(roles.url, 1)
    url = roles.login("auditor")
    assert sorted(rows(url, "SELECT state FROM outbox.status")) == [("dead",), ("due",)]
    for command in (
        ["status"],
        ["explain", identity],
        ["dead-letters", "list"],
        ["dead-letters", "groups"],
        ["dead-letters", "export"],
        ["status", "--json"],
        ["schedule", "list"],
        ["migrate", "--check"],
    ):
        result = run(url, *command)
        assert result.exit_code == 0, (command, result.stderr)
    result = run(url, "dead-letters", "show", identity)
    assert (result.exit_code, "permission denied" in result.stderr) == (1, True)


BEYOND_AN_AUDITOR = (
    "SELECT payload FROM outbox.notifications",
    "SELECT headers FROM outbox.dead_letters",
    "SELECT title FROM outbox.inbox",
    "SELECT query FROM outbox.schedules",
    "SELECT defaults FROM outbox.schedules",
    "SELECT * FROM outbox.erased_keys",
    "UPDATE outbox.queue SET run_at = now()",
    "DELETE FROM outbox.queue",
    "SELECT outbox.enqueue('email', 'a@b.c')",
    "SELECT outbox.cancel(group_key => 'g')",
    "SELECT outbox.erase('ada@example.org')",
    "SELECT outbox.delete_expired('notifications', 1)",
)


async def test_a_worker_tells_what_it_knows_and_an_auditor_reads_it(roles: Roles) -> None:
    await asyncio.to_thread(put, roles.url, 3)
    problems: list[Event] = []
    auditor = roles.login("auditor")
    async with running(roles.login("worker"), route(Recorder(), events=problems), lease=1):
        await await_until(lambda: rows(auditor, "SELECT due FROM outbox.depths") == [(0,)], timeout=20)
    with psycopg.connect(auditor) as conn:
        assert [depth.channel for depth in depths(conn)] == ["email"]
        assert sum(sample.sent for sample in samples(conn, since=timedelta(hours=1))) == 3
        assert fleet(conn).workers == ()
        assert {gauge.name for gauge in gauges(conn)} >= {"dead_letters_open"}
    assert [event for event in problems if isinstance(event, ChoreFailed)] == []


def test_an_auditor_only_reads(roles: Roles) -> None:
    assert allowed(roles.login("auditor"), BEYOND_AN_AUDITOR) == []


# Steering


def test_an_operator_pauses_replays_discards_and_suppresses_and_it_is_written_down(roles: Roles) -> None:
    url = roles.login("operator")
    [first] = put_dead(roles.url, idempotency_key="welcome:1")
    second, old = put_dead(roles.url, 2)
    rows(roles.url, "DELETE FROM outbox.notifications WHERE id = %s", old)
    for command in (
        ["pause", "email", "--reason", "a bad template"],
        ["status"],
        ["resume", "email"],
        ["dead-letters", "show", first],
        ["dead-letters", "discard", first, "--yes"],
        ["dead-letters", "replay", second, old, "--yes"],
        ["dead-letters", "reopen", first],
        ["dead-letters", "edit", first, "--recipient", "ada@example.net"],
        ["suppress", "add", "--channel", "email", "--recipient", "eve@example.org"],
        ["suppress", "remove", "--channel", "email", "--recipient", "eve@example.org"],
        ["workers"],
        ["stats"],
        ["audit"],
        ["explain", second],
    ):
        result = run(url, *command)
        assert result.exit_code == 0 or command == ["workers"], (command, result.stderr)
    done = rows(roles.url, "SELECT action, login FROM outbox.audit ORDER BY id")
    assert done[:2] == [("pause", f"{roles.name('operator')}_login"), ("resume", f"{roles.name('operator')}_login")]
    assert rows(roles.url, "SELECT count(*) FROM outbox.queue") == [(3,)]


BEYOND_AN_OPERATOR = (
    "SELECT payload FROM outbox.notifications",
    "SELECT query FROM outbox.schedules",
    "UPDATE outbox.notifications SET priority = 0",
    "UPDATE outbox.queue SET run_at = now()",
    "DELETE FROM outbox.queue",
    "DELETE FROM outbox.dead_letters",
    "UPDATE outbox.dead_letters SET recipient = 'eve@example.org'",
    "UPDATE outbox.idempotency_keys SET notification_id = outbox.uuid7()",
    "DELETE FROM outbox.suppressions",
    "DELETE FROM outbox.pauses",
    "DELETE FROM outbox.audit",
    "UPDATE outbox.audit SET actor = 'eve'",
    "INSERT INTO outbox.audit (actor, action, subject, login) VALUES ('eve', 'pause', 'channel:email', 'ada')",
    "INSERT INTO outbox.audit (actor, action, subject, at) VALUES ('eve', 'pause', 'channel:email', now())",
    "SELECT outbox.cancel(group_key => 'g')",
    "SELECT outbox.erase('ada@example.org')",
    "SELECT outbox.delete_expired('notifications', 1)",
    "ALTER TABLE outbox.audit DISABLE TRIGGER ALL",
)


def test_an_operator_may_do_nothing_else(roles: Roles) -> None:
    put(roles.url, 1)
    assert allowed(roles.login("operator"), BEYOND_AN_OPERATOR) == []


def test_auditors_read_who_paused_what_and_pause_nothing(roles: Roles) -> None:
    assert run(roles.url, "pause", "email").exit_code == 0
    for command in (["status"], ["stats"], ["audit"]):
        assert run(roles.login("auditor"), *command).exit_code == 0, command
    refused = run(roles.login("auditor"), "resume", "email")
    assert (refused.exit_code, "permission denied" in refused.stderr) == (1, True)


# Getting beyond


def test_names_of_ones_own_in_front_of_the_search_path_change_nothing(roles: Roles) -> None:
    """Functions, operators, tables and types of the caller's, all named as those that the functions of ours use."""
    rows(roles.url, f"CREATE SCHEMA evil AUTHORIZATION {roles.name('enqueuer')}")
    with psycopg.connect(roles.login("enqueuer")) as conn:
        conn.execute("SET search_path = evil, pg_temp, outbox, pg_catalog")
        conn.execute(r"""
            CREATE TABLE evil.seen (what text);
            CREATE FUNCTION evil.steal(what text) RETURNS text LANGUAGE plpgsql AS $$
                BEGIN INSERT INTO evil.seen VALUES (what || ' as ' || current_user); RETURN what; END $$;
            CREATE FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql
                AS $$ SELECT evil.steal('clock'); SELECT 'epoch'::timestamptz $$;
            CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT evil.steal('lower') $$;
            CREATE FUNCTION evil.pg_notify(text, text) RETURNS void LANGUAGE sql AS $$ SELECT evil.steal('notify') $$;
            CREATE FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT evil.steal('sha256')::bytea $$;
            CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql
                AS $$ SELECT evil.steal('set_config') $$;
            CREATE FUNCTION evil.differ(bytea, bytea) RETURNS boolean LANGUAGE sql
                AS $$ SELECT evil.steal('differ') IS NULL $$;
            CREATE FUNCTION evil.same(text, text) RETURNS boolean LANGUAGE sql
                AS $$ SELECT evil.steal('same') IS NOT NULL $$;
            CREATE OPERATOR evil.<> (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = evil.differ);
            CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
            CREATE OPERATOR evil.~ (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.same);
            CREATE TEMP TABLE queue (id uuid, run_at timestamptz, priority smallint, channel text);
            CREATE TEMP TABLE fresh (id uuid, run_at timestamptz, priority smallint, channel text);
            CREATE TEMP TABLE idempotency_keys (LIKE pg_temp.queue);
            CREATE TEMP TABLE workers (idle text[], seen_at timestamptz);
            INSERT INTO pg_temp.fresh VALUES (gen_random_uuid(), now(), 0, 'stolen');
        """)
        given: dict[str, Any] = {"channel": "email", "recipient": "ada@example.org", "idempotency_key": "k"}
        first = outbox.enqueue(conn, **given)
        assert outbox.enqueue(conn, **given) == outbox.Enqueued(first.id, created=False)
        with pytest.raises(outbox.IdempotencyConflict):
            outbox.enqueue(conn, **given | {"recipient": "eve@example.org"})
        outbox.enqueue_many(conn, [given | {"idempotency_key": "many"}])
        plain = "INSERT INTO outbox.notifications (channel, recipient, idempotency_key) VALUES ('email', %s, 'plain')"
        conn.execute(plain, ["sql@example.org"])
        with pytest.raises(psycopg.errors.UniqueViolation), conn.transaction():
            conn.execute(plain, ["eve@example.org"])
        assert conn.execute("SELECT count(*) FROM pg_temp.queue").fetchone() == (0,)
        assert conn.execute("SELECT what FROM evil.seen").fetchall() == []
    assert rows(roles.url, "SELECT channel, count(*) FROM outbox.queue GROUP BY 1") == [("email", 3)]
    assert rows(roles.url, "SELECT count(*) FROM outbox.status WHERE created_at < now() - interval '1 hour'") == [(0,)]


def test_a_trigger_function_cannot_be_put_on_a_table_of_ones_own(roles: Roles) -> None:
    rows(roles.url, f"CREATE SCHEMA mine AUTHORIZATION {roles.name('enqueuer')}")
    with psycopg.connect(roles.login("enqueuer")) as conn:
        conn.execute("CREATE TABLE mine.notifications (id uuid, run_at timestamptz, priority smallint, channel text)")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(
                "CREATE TRIGGER t AFTER INSERT ON mine.notifications REFERENCING NEW TABLE AS fresh "
                "FOR EACH STATEMENT EXECUTE FUNCTION outbox.put_into_queue()"
            )


def test_a_row_cannot_carry_code_of_the_enqueuers_to_the_owner(roles: Roles) -> None:
    """A temporary function has no way into what runs with the owner's rights, not by a default or a cast either."""
    with psycopg.connect(roles.login("enqueuer")) as conn:
        conn.execute(
            "CREATE FUNCTION pg_temp.take() RETURNS text LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$"
        )
        with pytest.raises(psycopg.errors.RaiseException, match=f"ran as {roles.name('enqueuer')}_login"):
            conn.execute("SELECT outbox.enqueue('email', pg_temp.take())")


async def test_an_owner_that_is_no_superuser_is_enough(empty_url: str) -> None:
    owner = f"t{secrets.token_hex(4)}_owner"
    ((database,),) = rows(empty_url, "SELECT current_database()")
    rows(empty_url, f"CREATE ROLE {owner} LOGIN PASSWORD 'trusted'; GRANT CREATE ON DATABASE {database} TO {owner}")
    url = make_url(empty_url).set(username=owner, password="trusted").render_as_string(hide_password=False)
    try:
        await asyncio.to_thread(migrate.upgrade, url)
        with made(empty_url) as roles:
            Roles(url, roles.prefix).apply()  # the roles are there, so ownership is enough
            assert matrix(roles) == GOLDEN
            put(roles.login("enqueuer"), 2)
            recorder = Recorder()
            await drain(roles.login("worker"), route(recorder))
            assert len(recorder.sent) == 2
            owners = rows(
                empty_url, "SELECT DISTINCT relowner::regrole::text FROM pg_class WHERE relname ~ '^notifications'"
            )
            assert owners == [(owner,)]
    finally:
        rows(empty_url, f"DROP OWNED BY {owner} CASCADE; DROP ROLE {owner}")
