"""log: how a command that stays logs, by the configuration and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox import logs

if TYPE_CHECKING:
    from outbox.config import LogConfig


def log_as(settings: LogConfig, *, verbose: bool, process: int | None = None) -> None:
    """Send the log to standard error as `[log]` says; `verbose` tells everything."""
    level = "debug" if verbose else settings.level
    logs.configure(style=settings.format, level=level, colours=settings.colours, process=process)
