"""revisions: which migrations this version of the package brings, told by the names of their files.

Alembic knows as well, and takes longer to be imported than a worker to start.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

_DIGITS = 4


def scripts() -> Path:
    """Return where the migrations are: inside the installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


@cache
def known() -> tuple[str, ...]:
    """Return the revisions that this version brings, oldest first: `("0001", "0002", …)`."""
    return tuple(sorted(file.name[:_DIGITS] for file in (scripts() / "versions").glob("[0-9]*.py")))


def newest() -> str:
    """Return the newest of them: `outbox.migrate.head()`, in a thousandth of its time."""
    return known()[-1]
