"""The questions: what was given as an option is not asked, and where nobody can be asked, what is missing is told."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import typer

from outbox.errors import ConfigError
from outbox.terminal.setup import complain

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Questions:
    """Whether somebody can be asked; `sure` is that nobody wants to be."""

    sure: bool

    @property
    def possible(self) -> bool:
        """Tell whether there is somebody who answers."""
        return not self.sure and sys.stdin.isatty()

    def ask(self, words: str, option: str, read: Callable[[str], T], *, default: str | None = None) -> T:
        """Return what `read` makes of the answer; what it refuses is asked again.

        Raises:
            ConfigError: nobody can be asked.
        """
        if not self.possible:
            raise ConfigError([f"{option} is missing, and there is nobody to ask"])
        while True:
            answer = typer.prompt(words, default=default, err=True, show_default=bool(default)).strip()
            try:
                return read(answer)
            except ConfigError as error:
                for problem in error.problems:
                    complain(problem)

    def agree(self, words: str, *, unasked: bool) -> bool:
        """Return whether somebody says yes; `unasked` is the answer where nobody can be asked."""
        return typer.confirm(words, default=True, err=True) if self.possible else unasked
