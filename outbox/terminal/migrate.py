"""`outbox migrate` as people see it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from outbox import migrate
from outbox.errors import ConfigError, OutboxError
from outbox.telling.words import counted
from outbox.terminal.output import done, note, say
from outbox.terminal.progress import waiting
from outbox.terminal.session import reading
from outbox.terminal.setup import FAILED

if TYPE_CHECKING:
    from typing import TextIO

BASE = "base"
COUNT = "SELECT count(*) FROM outbox.notifications"


def refuse_contradictions(*, check: bool, sql: bool, down: str | None) -> None:
    """Refuse to do two things at once.

    Raises:
        ConfigError: more than one of the three was asked for.
    """
    if check + sql + (down is not None) > 1:
        raise ConfigError(["--check only tells, --sql only prints, and --down undoes: give one of the three"])


def up(url: str) -> int:
    """Apply what is missing, and say so.

    Raises:
        OutboxError: the database is newer than this package.
    """
    applied = _applied(url)
    with waiting("migrating"):
        migrate.upgrade(url)
    words = "already up to date" if applied == migrate.head() else "migrated"
    done(f"{words}: revision {migrate.head()}, partitions for the next 14 days")
    return 0


def down(url: str, revision: str, *, sure: bool) -> int:
    """Undo down to `revision` after asking, and say so; what the undone tables held is gone.

    Raises:
        ConfigError: there is nobody to ask, and `sure` is False.
        OutboxError: there is no such revision below what is applied, or the database is newer than this package.
    """
    if revision != BASE and not migrate.knows(revision):
        raise OutboxError(f"there is no revision {revision!r}: it is a number such as {migrate.head()}, or {BASE}")
    applied = _applied(url)
    if (applied is None and revision == BASE) or applied == revision:
        note(f"nothing to undo: the database is at {revision}")
        return 0
    if applied is None or (revision != BASE and revision > applied):  # they are numbers, of four digits each
        at = "no revision" if applied is None else f"revision {applied} only"
        raise OutboxError(f"this database has {at}, so it cannot be undone down to {revision}")
    if not (sure or _agreed(url, revision)):
        return FAILED
    with waiting("undoing"):
        migrate.downgrade(url, revision)
    done(f"undone down to {revision}")
    return 0


def check(url: str) -> int:
    """Tell whether the database is up to date; 1 when it is behind.

    Raises:
        OutboxError: the database is newer than this package.
    """
    if _applied(url) == migrate.head():
        done(f"up to date: revision {migrate.head()}")
        return 0
    say(f"behind: revision {migrate.head()} is not applied; run `outbox migrate`")
    return FAILED


def is_current(url: str) -> bool:
    """Tell whether there is nothing to do.

    Raises:
        OutboxError: the database is newer than this package.
    """
    return _applied(url) == migrate.head()


def print_sql(target: TextIO) -> None:
    """Write the SQL of all migrations."""
    migrate.print_sql(target)


def _applied(url: str) -> str | None:
    applied = migrate.applied(url)
    if applied is None or migrate.knows(applied):
        return applied
    raise OutboxError(
        f"this database is newer than this outbox: it has revision {applied}, of which this one, whose newest is "
        f"{migrate.head()}, knows nothing; install the version that migrated it, or a later one"
    )


def _agreed(url: str, revision: str) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError(["--down asks before it removes anything, and there is nobody to ask: add --yes"])
    with reading(url) as conn:
        (count,) = conn.execute(COUNT).fetchall()[0]
        where = f"{conn.info.dbname!r} on {conn.info.host}"
    what = "every table of the outbox" if revision == BASE else f"all that came after revision {revision}"
    return typer.confirm(
        f"This removes {what} from the database {where}, which holds {counted(count, 'notification')}. Remove it?",
        err=True,
    )
