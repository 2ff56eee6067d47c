"""`outbox check` as people see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox import config
from outbox.check import check as find_problems
from outbox.errors import ConfigError
from outbox.terminal.output import counted, done
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from pathlib import Path


def check(path: Path | None) -> int:
    """Print every mistake in the configuration and the templates, or what was found right; 1 if there are mistakes.

    Raises:
        ConfigError: the file that was named is not there.
    """
    if path is not None and not path.is_file():
        raise ConfigError([f"--config: {path} is not a file"])
    try:
        found = config.load(path)
        problems = find_problems(found)
    except ConfigError as error:
        problems = list(error.problems)
    if problems:
        for problem in problems:
            complain(problem)
        return FAILED
    _approve(found)
    return 0


def _approve(found: config.Config) -> None:
    done(f"configuration: {found.source or 'from the environment alone'}")
    for name, channel in found.channels.items():
        done(f"channel {name}: {', '.join(channel.providers)}; {counted(channel.max_attempts, 'attempt')} at most")
    templates = found.templates.path
    if templates.is_dir():
        done(f"templates: {counted(sum(each.is_dir() for each in templates.iterdir()), 'template')} in {templates}")
    else:
        done("templates: none; messages are what their payloads say")
