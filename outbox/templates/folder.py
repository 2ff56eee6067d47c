"""Templates in a folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from outbox.templates.source import LARGEST_FILE, Unreadable, as_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from pathlib import Path

    from outbox.templates.source import Files


class _Found(NamedTuple):
    path: str
    modified: int
    size: int
    inode: int


class Folder:
    """The files of a folder and of all below it, links followed: a mounted ConfigMap is made of links.

    What begins with a dot is left out, and a folder that is not there is empty.
    """

    is_near = True

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def name(self) -> str:
        """Its path."""
        return str(self.path)

    def stamp(self) -> Hashable:
        """Return each file's path, size, inode and time of change."""
        return frozenset(_walk(str(self.path), "", ()))

    def files(self) -> Files:
        """Read every file."""
        return {found.path: self._read(found) for found in sorted(_walk(str(self.path), "", ()))}

    def place(self, path: str) -> str:
        """Return the path of a file."""
        return str(self.path / path)

    def absent(self) -> str | None:
        """Say whether the folder is not there."""
        return None if self.path.is_dir() else f"{self.path}: there is no such folder of templates"

    def _read(self, found: _Found) -> str | Unreadable:
        try:
            # An image, or what is left of a dump, is not read to find out that it is no text.
            content = b"" if found.size > LARGEST_FILE else (self.path / found.path).read_bytes()
        except OSError:
            return Unreadable("it cannot be read")
        return as_text(content) if found.size <= LARGEST_FILE else Unreadable(f"it has over {LARGEST_FILE:,} bytes")


def _walk(folder: str, prefix: str, above: tuple[int, ...]) -> Iterator[_Found]:
    """Yield the files of a folder; none of a folder that a link leads back to."""
    try:
        inode = os.stat(folder).st_ino  # noqa: PTH116 - once a second, of every folder
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        return
    if inode in above:
        return
    for entry in visible:
        try:
            if entry.is_dir():
                yield from _walk(entry.path, f"{prefix}{entry.name}/", (*above, inode))
            elif entry.is_file():
                state = entry.stat()
                yield _Found(prefix + entry.name, state.st_mtime_ns, state.st_size, state.st_ino)
        except OSError:  # it went away in between
            continue
