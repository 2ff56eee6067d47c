"""structure: whether the tables, indexes and triggers are those of this version of the program."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, failure, ok, warning
from outbox.doctor.settings import SETTINGS, undone

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

_APPLIED = """
SELECT count(*) = 2 AS there FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'outbox' AND c.relname IN ('migrations', 'queue')
"""
_REVISION = "SELECT m.version_num AS revision FROM outbox.migrations m"


def look_at_schema(patient: Patient) -> Iterator[Finding]:
    """Compare the revision of the database with that of the program."""
    from outbox import migrate  # noqa: PLC0415 - Alembic and SQLAlchemy take longer to import than a check to make

    head = migrate.head()
    if not patient.ask_one(_APPLIED).there:
        yield failure("the database has no outbox", "outbox migrate", applied=None, head=head)
        return
    applied = patient.ask_one(_REVISION).revision
    if applied == head:
        yield ok(f"revision {applied}, that of this program", applied=applied, head=head)
    elif migrate.knows(applied):
        problem = f"the database is behind: it has revision {applied}, and this program wants {head}"
        yield failure(problem, "outbox migrate", applied=applied, head=head)
    else:
        problem = f"the database is newer (revision {applied}) than this program, whose newest is {head}"
        remedy = "install the version of outbox that migrated it: pip install --upgrade outbox"
        yield failure(problem, remedy, applied=applied, head=head)


@cache
def wanted_indexes() -> Mapping[str, str]:
    """Return every index that the schema wants, by name, with the statement that makes it."""
    from sqlalchemy import PrimaryKeyConstraint, UniqueConstraint  # noqa: PLC0415 - as above
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415
    from sqlalchemy.schema import AddConstraint, CreateIndex  # noqa: PLC0415

    from outbox import schema  # noqa: PLC0415

    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    wanted: dict[str, str] = {}
    for table in schema.metadata.tables.values():
        for index in table.indexes:
            made = " ".join(str(CreateIndex(index).compile(dialect=dialect)).split())
            partitioned = table.name in _PARTITIONED
            wanted[str(index.name)] = made if partitioned else made.replace(" INDEX ", " INDEX CONCURRENTLY ", 1)
        for constraint in table.constraints:
            if isinstance(constraint, PrimaryKeyConstraint | UniqueConstraint) and constraint.columns:
                name = str(constraint.name or f"{table.name}_pkey")
                named = str(AddConstraint(constraint).compile(dialect=dialect)).replace(
                    "ADD PRI", f"ADD CONSTRAINT {name} PRI"
                )
                wanted[name] = " ".join(named.split())
    return wanted


_PARTITIONED = ("notifications", "attempts")

_INDEXES = """
SELECT c.relname AS name, CAST(c.oid AS regclass)::text AS object, c.relkind, i.indisvalid AND i.indisready AS valid
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = CAST('outbox' AS regnamespace)
"""
_LEFT_OVER = ("_ccnew", "_ccold")  # by a REINDEX CONCURRENTLY that was interrupted


def look_at_indexes(patient: Patient) -> Iterator[Finding]:
    """Compare the indexes with those of the schema."""
    there = {index.name: index for index in patient.ask(_INDEXES)}
    for name, statement in wanted_indexes().items():
        if name not in there:
            yield failure(f"the index {name} is missing: what it is for reads the whole table", statement, index=name)
    for index in there.values():
        if index.valid:
            continue
        if index.name.rstrip("0123456789").endswith(_LEFT_OVER):
            remedy = f"DROP INDEX CONCURRENTLY {index.object}"
            yield warning(f"{index.name} was left behind half made, and slows every write", remedy, index=index.name)
        else:
            kind = "REINDEX INDEX" if index.relkind == "I" else "REINDEX INDEX CONCURRENTLY"
            problem = f"the index {index.name} is not valid: it is written to, and not read"
            yield failure(problem, f"{kind} {index.object}", index=index.name)


# Some triggers are what makes an INSERT an enqueue: without them it is a row that nobody will ever look at.
TRIGGERS: Mapping[str, str] = {
    "notifications_are_immutable": "notifications",
    "notifications_empty_queue": "notifications",
    "notifications_put_into_queue": "notifications",
    "notifications_take_idempotency_key": "notifications",
    "notifications_take_out_of_queue": "notifications",
    "queue_stand_in_line": "queue",
    "tell_of_arrivals": "inbox",
    "heed_reading": "inbox",
    "schedules_tell": "schedules",
}
_TRIGGERS = """
SELECT t.tgname AS name, c.relname AS "table", t.tgenabled IN ('O', 'A') AS enabled
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
WHERE NOT t.tgisinternal AND c.relnamespace = CAST('outbox' AS regnamespace) AND t.tgparentid = 0
"""


def look_at_triggers(patient: Patient) -> Iterator[Finding]:
    """Look whether each trigger is there, and at work."""
    there = {trigger.name: trigger for trigger in patient.ask(_TRIGGERS)}
    for name, table in TRIGGERS.items():
        if name not in there:
            remedy = "outbox migrate --sql has the statement that makes it: run that"
            yield failure(f"the trigger {name} of {table} is missing", remedy, trigger=name)
    for trigger in there.values():
        if not trigger.enabled:
            remedy = f"ALTER TABLE outbox.{trigger.table} ENABLE TRIGGER {trigger.name}"
            yield failure(f"the trigger {trigger.name} of {trigger.table} is turned off", remedy, trigger=trigger.name)
    (setting,) = patient.ask(SETTINGS, names=["session_replication_role"])
    if setting.value == "replica":
        problem = "session_replication_role is replica for this role: no trigger is at work, so nothing is enqueued"
        yield failure(problem, undone(setting, "origin"))


CHECKS = (
    Check(
        "schema",
        "a schema that is older or newer than the program, or not there",
        "statements that fail, or that do what another version wanted",
        "`outbox migrate`, or the newer program",
        "the schema is that of this program",
        look_at_schema,
        needs="server",
    ),
    Check(
        "indexes",
        "an index that is missing, or not valid",
        "each claim reads the whole table, and it gets slower by the day",
        "the `CREATE INDEX` or `REINDEX` that is printed",
        "every index is there, and valid",
        look_at_indexes,
    ),
    Check(
        "triggers",
        "a trigger that is missing or turned off, by a restore for example",
        "what is inserted is never put into the queue, and nobody notices",
        "`ALTER TABLE … ENABLE TRIGGER …`",
        "every trigger is at work",
        look_at_triggers,
    ),
)
