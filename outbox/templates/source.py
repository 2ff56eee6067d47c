"""Where templates come from: anything that has files by path, and can tell whether one of them has changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

LARGEST_FILE = 1_048_576  # bytes; as much as a text may have


class Unreadable(NamedTuple):
    """A file that is there, and cannot be read: `problem` says why, without its path."""

    problem: str


Files: TypeAlias = Mapping[str, str | Unreadable]
"""What a source has at one moment, by path, such as `welcome/pt-BR/body.txt`. No part of one begins with a dot."""


class Source(Protocol):
    """A place that templates are read from: a folder, a Python package, a table, or one of your own."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def is_near(self) -> bool:
        """Whether reading all of it takes milliseconds: then it is looked at again for a template that is missing."""

    def stamp(self) -> Hashable:
        """Return something that is equal as long as nothing has changed. Asked once a second, in a thread."""

    def files(self) -> Files:
        """Read all of it, after its stamp was taken."""

    def place(self, path: str) -> str:
        """Return where a file is, for people to find it."""

    def absent(self) -> str | None:
        """Say what is not there, if nothing at all can be read."""


class Layers:
    """Several sources as one: a file that more than one of them has is that of the first."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.sources = tuple(sources)

    @property
    def name(self) -> str:
        """All their names."""
        return ", ".join(source.name for source in self.sources)

    @property
    def is_near(self) -> bool:
        """Whether all of them are."""
        return all(source.is_near for source in self.sources)

    def stamp(self) -> Hashable:
        """Return all their stamps."""
        return tuple(source.stamp() for source in self.sources)

    def files(self) -> Files:
        """Read all of them."""
        merged: dict[str, str | Unreadable] = {}
        for source in reversed(self.sources):
            merged |= source.files()
        return merged

    def place(self, path: str) -> str:
        """Return where a file is: in the first that has it."""
        having = (source for source in self.sources if path in source.files())
        return next(having, self.sources[0]).place(path)

    def absent(self) -> str | None:
        """Say which of them is not there."""
        return next((absent for source in self.sources if (absent := source.absent()) is not None), None)


def as_text(content: bytes) -> str | Unreadable:
    """Return a file's text, or why it has none."""
    if len(content) > LARGEST_FILE:
        return Unreadable(f"it has over {LARGEST_FILE:,} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        return Unreadable("it is not UTF-8")
