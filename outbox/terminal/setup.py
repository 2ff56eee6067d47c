"""What every command begins with: the configuration, and errors that a person can act on instead of tracebacks."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import typer
from rich.console import Console
from rich.text import Text

from outbox import config
from outbox.database import describe
from outbox.errors import ConfigError, NotMigrated, OutboxError, clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FAILED = 1
MISUSED = 2

# What a statement runs into in a database without the outbox, or with an older one.
_NOT_THERE = (
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.InvalidSchemaName,
)

_LONGEST = 300
_errors = Console(stderr=True, highlight=False, emoji=False)


def configuration(path: Path | None, database_url: str | None = None, **overrides: Any) -> config.Config:
    """Return the configuration; with mistakes in it, print them all and exit with 2.

    `overrides` are arguments by dotted key with `__` for the dot; None counts as not given.
    """
    arguments = {"database.url": database_url} | {key.replace("__", "."): value for key, value in overrides.items()}
    with readable_errors():
        return config.load(path, overrides=arguments)


@contextmanager
def readable_errors() -> Iterator[None]:
    """Turn the errors that a person can act on into a sentence on standard error and an exit code."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            complain(problem)
        raise typer.Exit(MISUSED) from None
    except OutboxError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except _database_errors() as error:
        complain(_about(getattr(error, "orig", None) or error))
        raise typer.Exit(FAILED) from None


def _database_errors() -> tuple[type[Exception], ...]:
    """Return what a database's trouble is raised as. SQLAlchemy, a third of a start, is not imported to ask."""
    sqlalchemy = sys.modules.get("sqlalchemy.exc")
    return (psycopg.Error, sqlalchemy.DBAPIError) if sqlalchemy else (psycopg.Error,)


def _about(error: BaseException) -> str:
    if isinstance(error, _NOT_THERE):
        return str(NotMigrated())
    if isinstance(error, psycopg.OperationalError) and error.sqlstate is None:  # no server has answered a statement
        return f"the database cannot be reached: {clean(str(error), _LONGEST)}"
    return f"the database said no: {describe(error)}"


def complain(sentence: str) -> None:
    """Print one error to standard error, in one line."""
    _errors.print(Text.assemble(("error", "bold red"), f": {clean(sentence)}"), soft_wrap=True)


def is_terminal() -> bool:
    """Tell whether a person looks at standard output."""
    return sys.stdout.isatty()
