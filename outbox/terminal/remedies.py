"""A database's trouble in one sentence: what was wrong, where, and what to type."""

from __future__ import annotations

import re

import psycopg

from outbox.database import describe
from outbox.errors import NotMigrated, clean

# What a statement runs into in a database without the outbox, or with an older one.
_NOT_THERE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
)

_LONGEST = 300
_MAY_NOT_CREATE = re.compile(r"permission denied for database (?P<name>\S+)")  # outbox has a schema of its own
_GUESS = re.compile(r"\s*Is the server running [^?]*\?")  # libpq's, beside which ours would be one too many

_WHERE = "OUTBOX_DATABASE_URL, --database-url or [database] in outbox.toml"
# Of a connection that was never made, libpq has the words alone; PgBouncer says `no such database`.
_REMEDIES = (
    (
        re.compile(r'database "(?P<name>[^"]*)" does not exist|no such database: (?P<pooled>\S+)'),
        "make it (createdb {name}), or name another: {where}",
    ),
    (
        re.compile(r"authentication failed|no password supplied|no such user"),
        "the user and the password are in {where}",
    ),
    (re.compile(r'role "[^"]*" (?:does not exist|is not permitted)'), "make the role, or name another in {where}"),
    (re.compile(r"pg_hba\.conf"), "the server's pg_hba.conf decides who may come from where; the URL is in {where}"),
    (
        re.compile(r"too many (?:clients|connections)|remaining connection slots"),
        "all its connections are taken: end some, raise max_connections, or put a pooler in front",
    ),
    (
        re.compile(r"could not translate host name|[Nn]ame or service not known|[Nn]ode?name nor servname|resolution"),
        "is the host spelt right? The URL is in {where}",
    ),
    (re.compile(r"starting up|shutting down|recovery mode"), "it will be back by itself: try again in a moment"),
    (
        re.compile(r"refused|No such file or directory|timeout|timed out|unreachable|No route"),
        "does the server run there? pg_isready tells; the URL is in {where}",
    ),
)


def about(error: BaseException) -> str:
    """Return one sentence about a psycopg error that a command ended with. It holds no value of a row, and no password.

    What SQLAlchemy raises is asked for what it was made from.
    """
    error = getattr(error, "orig", None) or error
    if isinstance(error, _NOT_THERE):
        return str(NotMigrated())
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:  # no server has answered a statement
        return f"the database cannot be reached: {clean(_GUESS.sub('', str(error)), _LONGEST)}{_remedy(str(error))}"
    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return f"the database said no: {describe(error)}; {_right(str(error))}"
    if isinstance(error, psycopg.errors.ReadOnlySqlTransaction):
        return f"the database said no: {describe(error)}; this is a standby: name the primary in {_WHERE}"
    return f"the database said no: {describe(error)}"


def _right(words: str) -> str:
    if (found := _MAY_NOT_CREATE.search(words)) is not None:
        return f"to make the schema it takes GRANT CREATE ON DATABASE {found['name']}, or the owner in {_WHERE}"
    return "this user lacks a right: `outbox roles --apply`, as the owner, makes roles with it, to be granted"


def _remedy(words: str) -> str:
    for pattern, remedy in _REMEDIES:
        if (found := pattern.search(words)) is not None:
            named = found.groupdict()
            return "; " + remedy.format(name=named.get("name") or named.get("pooled"), where=_WHERE)
    return ""
