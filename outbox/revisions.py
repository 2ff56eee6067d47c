"""The migrations that come with this version, by the names of their files: which is the newest, without loading any."""

from __future__ import annotations

from pathlib import Path


def scripts() -> Path:
    """Return the folder of the migrations: inside the installed package, or at the root of a checkout."""
    package = Path(__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"


def newest() -> str:
    """Return the newest revision: `outbox.migrate.head()`, in a thousandth of its time."""
    return max(file.name.partition("_")[0] for file in (scripts() / "versions").glob("[0-9]*.py"))
