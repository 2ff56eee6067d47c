"""`outbox enqueue` as people see it: the arguments of `enqueue`, written as options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError, InvalidNotification
from outbox.queue.enqueue import enqueue
from outbox.terminal.fields import completed, read_fields, warn_of_channel
from outbox.terminal.output import note, print_json, say
from outbox.terminal.session import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from outbox.config import Config

_TEXTS = (
    *("channel", "recipient", "template", "idempotency_key", "topic", "group_key", "ordering_key", "locale"),
    *("time_zone", "unless_read", "unless_sent"),
)


def run(settings: Config, options: Mapping[str, Any], *, as_json: bool) -> int:
    """Enqueue one notification in a transaction of its own, and print its id.

    What its template says of itself is heeded, where the configuration has that. A channel, or a template, that it does
    not have is only warned of: another configuration may.

    Raises:
        ConfigError: an option was refused; the sentence begins with the option.
        IdempotencyConflict: the key stands for other content.
    """
    given, written = read_fields(options, _TEXTS)
    given["supersedes"] = options["supersedes"]
    try:
        given = completed(settings, given)
        with writing(settings.database_url) as conn:
            enqueued = enqueue(conn, **given)
    except InvalidNotification as error:
        raise ConfigError([f"{_option(error.field, written)}: {error.problem}"]) from None
    warn_of_channel(settings, given["channel"])
    if as_json:
        print_json({"id": enqueued.id, "created": enqueued.created})
        return 0
    say(f"{enqueued.id} {'created' if enqueued.created else 'was there already, by its idempotency key'}")
    note(f"its story: outbox explain {enqueued.id}")
    return 0


def _option(field: str, written: Mapping[str, str]) -> str:
    """Return the option that a field was given by; of a payload, with the place in it."""
    name, dot, place = field.partition(".")
    return f"{written.get(name, '--' + name)}{dot and ': '}{place}"
