"""What every command begins with: the configuration, and errors that a person can act on instead of tracebacks.

Whoever asks for help, or presses Tab, waits for every module that is imported here: what is needed later is imported
later.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from outbox.errors import ConfigError, OutboxError, clean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from outbox.config import Config

FAILED = 1
MISUSED = 2

_LONGEST = 300


def configuration(path: Path | None, database_url: str | None = None, **overrides: Any) -> Config:
    """Return the configuration; with mistakes in it, print them all and exit with 2.

    `overrides` are arguments by dotted key with `__` for the dot; None counts as not given.
    """
    from outbox import config  # noqa: PLC0415 - pydantic is half of a start

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
        from outbox.terminal.remedies import about  # noqa: PLC0415

        complain(about(error))
        raise typer.Exit(FAILED) from None


def _database_errors() -> tuple[type[Exception], ...]:
    """Return what a database's trouble is raised as. What is not imported has raised nothing, and is not to be."""
    psycopg, sqlalchemy = sys.modules.get("psycopg"), sys.modules.get("sqlalchemy.exc")
    return (*((psycopg.Error,) if psycopg else ()), *((sqlalchemy.DBAPIError,) if sqlalchemy else ()))


def complain(sentence: str) -> None:
    """Print one error to standard error, in one line."""
    from rich.console import Console  # noqa: PLC0415 - for whoever has something to read
    from rich.text import Text  # noqa: PLC0415

    errors = Console(stderr=True, highlight=False, emoji=False)
    errors.print(Text.assemble(("error", "bold red"), f": {clean(sentence)}"), soft_wrap=True)


def is_terminal() -> bool:
    """Tell whether a person looks at standard output."""
    return sys.stdout.isatty()
