"""`outbox check` as people see it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from outbox import config
from outbox.check import check as find_problems
from outbox.check import probe, unasked
from outbox.errors import ConfigError
from outbox.handlers.serve import with_handlers
from outbox.render import Templates
from outbox.telling.words import counted
from outbox.templates.configured import source
from outbox.terminal.output import done, note
from outbox.terminal.progress import waiting
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from pathlib import Path


def check(path: Path | None, *, live: bool) -> int:
    """Print every mistake in the configuration and the templates, or what was found right; 1 if there are mistakes.

    With `live`, providers are asked whether they would let us send; one that would not is a mistake.

    Raises:
        ConfigError: the file that was named is not there.
    """
    file = config.find_file(path)
    if file is not None and not file.exists():
        raise ConfigError([f"{file} is not a file; --config or OUTBOX_CONFIG names it"])
    try:
        found, problems = config.survey(path)
    except ConfigError as error:
        complain(str(error))
        return FAILED
    try:
        found = with_handlers(found, found.worker.handlers)
    except ConfigError as error:
        problems += error.problems
    problems += find_problems(found)
    if problems:
        for problem in dict.fromkeys(problems):
            complain(problem)
        return FAILED
    _approve(found)
    return _ask(found) if live else 0


def _ask(found: config.Config) -> int:
    refused = 0
    with waiting("asking the providers"):
        answers = asyncio.run(probe(found))
    for one in answers:
        if one.trouble is not None:
            refused += 1
            complain(f"providers.{one.provider}: {type(one.trouble).__name__}: {one.trouble}")
        elif one.only_reached:
            done(f"provider {one.provider}: it can be reached; what it takes, only a message would tell")
        else:
            done(f"provider {one.provider}: {one.channel} may be sent through it")
    if others := unasked(found):
        note(f"not asked, for only a message would tell: {', '.join(others)}")
    return FAILED if refused else 0


def _approve(found: config.Config) -> None:
    done(f"configuration: {found.source or 'from the environment alone'}")
    for name, channel in found.channels.items():
        done(f"channel {name}: {', '.join(channel.providers)}; {counted(channel.max_attempts, 'attempt')} at most")
    if found.unsubscribable:
        done(f"unsubscribe: {', '.join(found.unsubscribable)}, by links to {found.unsubscribe.url}")
    templates = Templates(source(found))
    if templates.source.absent() is None:
        done(f"templates: {counted(len(templates.names()), 'template')} in {templates.source.name}")
    else:
        done("templates: none; messages are what their payloads say")
