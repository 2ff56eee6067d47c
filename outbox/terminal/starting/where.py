"""Where the database is: asked for, connected to, and whether its URL may stand in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from outbox import config
from outbox.errors import ConfigError, OutboxError
from outbox.terminal.output import done, note
from outbox.terminal.remedies import about
from outbox.terminal.session import reading

if TYPE_CHECKING:
    from outbox.terminal.starting.questions import Questions

VARIABLE = "OUTBOX_DATABASE_URL"
_OLDEST = 140_000
_SECRETS = ("password", "sslpassword", "oauth_client_secret")


class Database(NamedTuple):
    """A database's URL, and whether the environment names it already."""

    url: str
    is_named: bool

    @property
    def is_secret(self) -> bool:
        """Tell whether there is a password in the URL, of the user or of the user's key."""
        parts = conninfo_to_dict(self.url)
        return any(parts.get(name) for name in _SECRETS)

    @property
    def in_the_file(self) -> str | None:
        """The URL, if it may stand in a file and has to."""
        return None if self.is_named or self.is_secret else self.url


def find(given: str | None, questions: Questions, *, connect: bool) -> Database:
    """Return the database that was given, or is named by the environment, or is answered.

    Raises:
        ConfigError: it is none, or nobody can be asked.
        psycopg.Error: it cannot be reached, and nobody can be asked for another.
    """
    if given is not None:
        return _checked(Database(config.libpq_url(given), is_named=False), connect=connect)
    named = config.database_in()
    if named is not None:
        return _checked(Database(named, is_named=True), connect=connect)
    if questions.possible:
        note("none at hand? `outbox dev-server`, in another terminal, is one to try things on, and prints its URL")
    return questions.ask(
        "Where is the database? A URL such as postgresql://localhost/app",
        f"--database-url, or {VARIABLE},",
        lambda answer: _answered(Database(config.libpq_url(answer), is_named=False), connect=connect),
    )


def _answered(database: Database, *, connect: bool) -> Database:
    """Check an answer; one that leads nowhere is no answer."""
    try:
        return _checked(database, connect=connect)
    except psycopg.Error as error:
        raise ConfigError([about(error)]) from None


def _checked(database: Database, *, connect: bool) -> Database:
    if connect:
        with reading(database.url) as conn:
            version, name = conn.info.parameter_status("server_version"), conn.info.dbname
            _refuse_old(conn.info.server_version)
            done(f"database: {name!r} as {conn.info.user!r}, PostgreSQL {(version or '').partition(' ')[0]}")
    return database


def _refuse_old(version: int) -> None:
    if version < _OLDEST:
        raise OutboxError(f"this is PostgreSQL {version // 10_000}: outbox needs {_OLDEST // 10_000} or newer")
