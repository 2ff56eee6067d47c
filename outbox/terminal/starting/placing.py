"""New files, put where they belong all together or not at all, and never in the place of another."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from outbox.errors import ConfigError, OutboxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def prepared(folder: Path, files: Mapping[str, str]) -> Iterator[Path]:
    """Write `files`, by their paths from `folder` on, into a folder beside their places, as long as the block lasts.

    Raises:
        OutboxError: nothing can be written there.
    """
    try:
        draft = Path(tempfile.mkdtemp(prefix=".outbox-init-", dir=folder))
    except OSError as error:
        raise OutboxError(f"{folder}: nothing can be written there: {error.strerror}") from None
    try:
        for name, text in files.items():
            path = draft / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield draft
    except OSError as error:
        raise OutboxError(f"{folder}: the files could not be written: {error.strerror}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def place(draft: Path, folder: Path, names: list[str]) -> None:
    """Move what is prepared to its place, in this order; what was moved is taken back when anything fails.

    Raises:
        ConfigError: something is there already.
        OSError: as the system says.
    """
    moved: list[Path] = []
    made: list[Path] = []
    try:
        for name in names:
            target = folder / name
            made += _make(target.parent)
            target.hardlink_to(draft / name)  # fails where something is, and nobody can come in between
            moved.append(target)
    except OSError as error:
        for path in moved:
            path.unlink()
        for parent in reversed(made):
            parent.rmdir()
        if isinstance(error, FileExistsError):
            raise ConfigError([f"{folder / names[len(moved)]} is there already, and was left as it is"]) from None
        raise


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it; return those that were not there."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    return missing[::-1]
