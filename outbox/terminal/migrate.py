"""`outbox migrate` as people see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from outbox import migrate
from outbox.terminal.setup import FAILED

if TYPE_CHECKING:
    from typing import TextIO

_console = Console(highlight=False)


def up(url: str) -> int:
    """Apply what is missing, and say so."""
    was_current = migrate.is_current(url)
    migrate.upgrade(url)
    words = "already up to date" if was_current else "migrated"
    _console.print(f"[green]✓[/] {words}: revision {migrate.head()}, partitions for the next 14 days")
    return 0


def down(url: str, revision: str) -> int:
    """Undo down to `revision`, and say so."""
    migrate.downgrade(url, revision)
    _console.print(f"[green]✓[/] undone down to {revision}")
    return 0


def check(url: str) -> int:
    """Tell whether the database is up to date; 1 when it is behind."""
    if migrate.is_current(url):
        _console.print(f"[green]✓[/] up to date: revision {migrate.head()}")
        return 0
    _console.print(f"[yellow]behind[/]: revision {migrate.head()} is not applied; run `outbox migrate`")
    return FAILED


def print_sql(target: TextIO) -> None:
    """Write the SQL of all migrations."""
    migrate.print_sql(target)
