"""`outbox pause` and `resume` as people see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError, InvalidPause
from outbox.queue.pause import pause as pause_it
from outbox.queue.paused import known_targets, list_heedless, read_target
from outbox.queue.resume import resume as resume_it
from outbox.spelling import nearest
from outbox.telling.moments import read_end
from outbox.telling.pauses import named, pause_document, remedy, unheeded
from outbox.telling.words import age
from outbox.terminal.actor import whoami
from outbox.terminal.output import done, note, print_json, say, warn_aside
from outbox.terminal.session import writing

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from outbox.config import Config


def pause(config: Config, target: str, *, until: str | None, reason: str | None, force: bool, as_json: bool) -> int:
    """Pause a channel or a provider, which may be paused already; say until when, and how it ends.

    Raises:
        ConfigError: an argument was refused, or nobody knows what it names.
    """
    scope, name = _target(target)
    end = _end(until)
    with writing(config.database_url) as conn:
        _refuse_unknown(conn, config, scope, name, force=force)
        try:
            paused = pause_it(conn, scope=scope, name=name, actor=whoami(), until=end, reason=reason)
        except InvalidPause as error:
            raise ConfigError([f"--{error.field}: {error.problem}"]) from None
        heedless = list_heedless(conn, scope, name)
    if (warning := unheeded(heedless)) is not None:
        warn_aside(warning)
    if as_json:
        print_json(pause_document(paused.pause) | {"again": paused.again, "heedless": [asdict(it) for it in heedless]})
        return 0
    how_long = "until somebody resumes it" if paused.pause.left is None else f"for {age(paused.pause.left)}"
    words = "was paused before, and is from now on" if paused.again else "is paused"
    done(f"{named(paused.pause)} {words} {how_long}")
    note(f"workers heed it within about a second, and finish what they have in hand; to end it: {remedy(paused.pause)}")
    return 0


def resume(config: Config, target: str, *, reason: str | None, as_json: bool) -> int:
    """End a pause; say for how long it held.

    Raises:
        ConfigError: an argument was refused, or nobody knows what it names.
    """
    scope, name = _target(target)
    with writing(config.database_url) as conn:
        ended = resume_it(conn, scope=scope, name=name, actor=whoami(), reason=reason)
        if ended is None:
            _refuse_unknown(conn, config, scope, name, force=False)
    if as_json:
        print_json({"target": target, "resumed": ended is not None, "paused": ended and pause_document(ended)})
    elif ended is None:
        say(f"{name} was not paused")
    else:
        done(f"{named(ended)} is resumed: it was paused for {age(ended.since)}, by {ended.by}")
    return 0


def _target(text: str) -> tuple[str, str]:
    try:
        return read_target(text)
    except InvalidPause as error:
        raise ConfigError([error.problem]) from None


def _end(text: str | None) -> datetime | timedelta | None:
    try:
        return None if text is None else read_end(text)
    except ValueError as error:
        raise ConfigError([f"--until: {error}"]) from None


def _refuse_unknown(conn: Any, config: Config, scope: str, name: str, *, force: bool) -> None:
    """Raise ConfigError where neither the configuration nor a worker knows it; warn where there is neither of them."""
    known: Collection[str] = {*known_targets(conn)[scope], *_configured(config, scope)}
    if name in known:
        return
    if not known:
        warn_aside(f"no worker is live, and no configuration here: nobody can say whether there is a {scope} {name}")
        return
    problem = f"neither a live worker nor the configuration here has a {scope} {name}: {nearest(name, known)}"
    if not force:
        raise ConfigError([f"{problem} (or pause it all the same, with --force)"])
    warn_aside(problem)


def _configured(config: Config, scope: str) -> set[str]:
    if scope == "channel":
        return set(config.channels)
    return {name for channel in config.channels.values() for name in channel.providers}
