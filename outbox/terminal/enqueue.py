"""`outbox enqueue` as people see it: the arguments of `enqueue`, written as options."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from outbox.config.problems import nearest
from outbox.durations import parse
from outbox.errors import ConfigError, InvalidNotification
from outbox.queue.enqueue import enqueue
from outbox.terminal.given import read_json
from outbox.terminal.moments import read_moment
from outbox.terminal.output import note, print_json, say, warn_aside
from outbox.terminal.session import writing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from outbox.config import Config

_TEXTS = (
    *("channel", "recipient", "template", "idempotency_key", "topic", "group_key", "ordering_key", "locale"),
    *("time_zone", "unless_read", "unless_sent"),
)


def run(settings: Config, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Enqueue one notification in a transaction of its own, and print its id.

    A channel that the configuration does not have is only warned of: another configuration may.

    Raises:
        ConfigError: an option was refused; the sentence begins with the option.
        IdempotencyConflict: the key stands for other content.
    """
    given, written = _arguments(options)
    try:
        with writing(settings.database_url) as conn:
            enqueued = enqueue(conn, **given)
    except InvalidNotification as error:
        raise ConfigError([f"{written.get(error.field, '--' + error.field)}: {error.problem}"]) from None
    channel = given["channel"]
    if settings.channels and channel not in settings.channels:
        where = settings.source or "the configuration"
        warn_aside(
            f"{where} has no [channels.{channel}], so its workers will not deliver this; "
            f"{nearest(channel, settings.channels.keys())}"
        )
    if as_json:
        print_json({"id": enqueued.id, "created": enqueued.created})
        return 0
    say(f"{enqueued.id} {'created' if enqueued.created else 'was there already, by its idempotency key'}")
    note(f"its story: outbox explain {enqueued.id}")
    return 0


def _arguments(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the arguments of `enqueue`, and by which option each was written; with every mistake in them at once."""
    written = {name: f"--{name.replace('_', '-')}" for name in options}
    given: dict[str, Any] = {name: options[name] for name in _TEXTS} | {"supersedes": options["supersedes"]}
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


def _from_now(text: str) -> timedelta:
    return timedelta(seconds=parse(text))
