"""A notification's fields as options: read, each mistake named by its option; and a channel that nobody may serve."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outbox.config.problems import nearest
from outbox.durations import parse
from outbox.errors import ConfigError
from outbox.telling.moments import read_moment
from outbox.templates import Catalogue
from outbox.templates.configured import source
from outbox.templates.layout import names
from outbox.terminal.given import read_json
from outbox.terminal.output import warn_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from outbox.config import Config


def read_fields(options: Mapping[str, Any], texts: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments that the options are, and by which option each was written; `texts` are taken as they are.

    Raises:
        ConfigError: every mistake in how they are written.
    """
    written = {name: f"--{name.replace('_', '-')}" for name in options}
    given: dict[str, Any] = {name: options[name] for name in texts}
    problems: list[str] = []

    def put(name: str, option: str, read: Callable[[str], Any]) -> None:
        if options[option] is None:
            return
        if given.get(name) is not None:
            problems.append(f"{written[option]}: {written[name]} says it already; give one of them")
            return
        written[name] = f"--{option.replace('_', '-')}"
        try:
            given[name] = read(options[option])
        except ValueError as error:
            problems.append(f"{written[name]}: {error}")

    put("payload", "payload", read_json)
    put("headers", "headers", read_json)
    put("priority", "priority", lambda text: int(text) if text.isdecimal() else text)
    put("run_at", "run_at", read_moment)
    put("run_at", "delay", _from_now)
    put("expires_at", "expires_at", read_moment)
    put("expires_at", "expires_in", _from_now)
    if problems:
        raise ConfigError(problems)
    return given, written


def warn_of_channel(settings: Config, channel: str) -> None:
    """Warn of a channel that the configuration does not have: another configuration may."""
    if settings.channels and channel not in settings.channels:
        where = settings.source or "the configuration"
        warn_aside(
            f"{where} has no [channels.{channel}], so its workers will not deliver this; "
            f"{nearest(channel, settings.channels.keys())}"
        )


def completed(settings: Config, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an enqueue, completed by what their template says of itself, and checked.

    A template that the configuration does not have is only warned of: another configuration may.

    Raises:
        InvalidNotification, ConfigError: as `outbox.templates.Catalogue.completed`.
    """
    if given.get("template") is None:
        return dict(given)
    templates = source(settings)
    if templates.absent() is not None:
        return dict(given)
    known = names(templates.files())
    if given["template"] not in known:
        close = nearest(given["template"], known) if known else "it has none"
        warn_aside(f"{templates.name} has no template {given['template']!r}; {close}")
        return dict(given)
    return Catalogue(templates).completed(given)


def _from_now(text: str) -> timedelta:
    return timedelta(seconds=parse(text))
