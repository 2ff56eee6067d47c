"""Templates that a Python package brings along."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from outbox.templates.folder import Folder
from outbox.templates.source import as_text

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator
    from importlib.resources.abc import Traversable

    from outbox.templates.source import Files, Unreadable

_NOT_TEMPLATES = (".py", ".pyc", ".pyi", ".so")


class Package:
    """The files of a package, `acme.mail`, or of a folder in one, `acme.mail:templates`; its code is left out.

    Raises:
        ValueError: there is no such package, or no such folder in it.
    """

    is_near = True

    def __init__(self, name: str) -> None:
        self.name = name
        package, _, folder = name.partition(":")
        try:
            self._root: Traversable = resources.files(package)
        except (ImportError, TypeError, ValueError):
            raise ValueError(f"there is no package {package}: is it spelt right, and installed?") from None
        for part in filter(None, folder.split("/")):
            self._root = self._root / part
        if not self._root.is_dir():
            raise ValueError(f"the package {package} has no folder {folder}")
        # One that is installed as files may be under work: its changes count as a folder's do.
        self._folder = Folder(self._root) if isinstance(self._root, Path) else None

    def stamp(self) -> Hashable:
        """Return the state of its files, if it is installed as files."""
        return self._folder.stamp() if self._folder is not None else None

    def files(self) -> Files:
        """Read every file but code."""
        found = self._folder.files() if self._folder is not None else dict(_walk(self._root, ""))
        return {path: text for path, text in found.items() if not path.endswith(_NOT_TEMPLATES)}

    def place(self, path: str) -> str:
        """Return the package and the path in it."""
        return f"{self.name}/{path}"

    def absent(self) -> str | None:
        """Say nothing: it is there."""


def _walk(folder: Traversable, prefix: str) -> Iterator[tuple[str, str | Unreadable]]:
    for entry in folder.iterdir():
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            yield from _walk(entry, f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name, as_text(entry.read_bytes())
