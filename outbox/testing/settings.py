"""The configuration that tests run with: a file that was named, else `outbox.toml` here or above, else the defaults."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from os import PathLike

    from outbox.config import Config

chosen: list[Path] = []
"""The file that `outbox_config` in pytest's own configuration names, if it does: the last one counts."""


def configuration(path: str | PathLike[str] | None = None) -> Config:
    """Return the configuration to test with.

    That is the file at `path`; else the one that pytest's option `outbox_config`, or else the variable `OUTBOX_CONFIG`,
    names; else the nearest `outbox.toml` in this folder and those above it; else one with nothing but defaults, for
    which every channel has one provider. Variables `OUTBOX_…` count as they do for a worker. No database is needed.

    Raises:
        ConfigError: with every mistake in it.
    """
    from outbox import config  # noqa: PLC0415 - pydantic, and not before it is needed

    named = Path(path) if path is not None else chosen[-1] if chosen else config.find_file() or _above(Path.cwd())
    return config.load(named)


def _above(folder: Path) -> Path | None:
    return next((file for each in folder.parents if (file := each / "outbox.toml").is_file()), None)
