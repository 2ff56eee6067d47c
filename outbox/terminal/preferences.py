"""`outbox preference set` and `list` as people see them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox import preferences
from outbox.errors import ConfigError, InvalidPreference
from outbox.preferences import PreferenceSet
from outbox.telling.words import counted
from outbox.terminal.actor import write_down
from outbox.terminal.output import Column, done, note, print_json, print_table, say, warn
from outbox.terminal.session import reading, writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from psycopg import Connection

    from outbox.preferences import PreferenceCleared

_COLUMNS = (
    Column("topic", "whole"),
    Column("wanted", "whole"),
    Column("why", "whole"),
    Column("source", "cut"),
    Column("since", "whole"),
    Column("suppressed", "whole"),
)


def change(url: str, options: Mapping[str, Any]) -> int:
    """Set or clear one preference in a transaction of its own, and say what it ended.

    Raises:
        ConfigError: an option was refused; the sentence begins with the option.
    """
    if (options["wanted"] is None) != options["clear"]:
        raise ConfigError(["give --yes, --no or --clear, and one of them"])
    about = {name: options[name] for name in ("channel", "recipient", "topic")}
    found: PreferenceSet | PreferenceCleared
    try:
        with writing(url) as conn:
            if options["clear"]:
                found = preferences.clear(conn, **about)
            else:
                found = preferences.set(conn, **about, wanted=options["wanted"], source=options["source"])
            _write_down(conn, found, options)
    except InvalidPreference as error:
        raise ConfigError([f"--{error.field}: {error.problem}"]) from None
    if options["json"]:
        print_json(asdict(found))
        return 0
    _tell(found, options)
    return 0


def _write_down(conn: Connection[Any], found: PreferenceSet | PreferenceCleared, options: Mapping[str, Any]) -> None:
    """Write down what was changed, and nothing of whom it is about: it is kept for good."""
    subject, details = f"preference:{options['channel']}", {"topic": options["topic"], "ended": found.ended}
    if isinstance(found, PreferenceSet):
        details |= {"wanted": options["wanted"], "lifted": found.lifted}
        write_down(conn, action="set_preference", subject=subject, details=details)
    elif found.cleared:
        write_down(conn, action="clear_preference", subject=subject, details=details)


def _tell(found: PreferenceSet | PreferenceCleared, options: Mapping[str, Any]) -> None:
    whom = f"{options['recipient']} by {options['channel']}"
    if options["clear"]:
        done(f"{whom} said nothing of {options['topic']} any more")
    else:
        done(f"{whom} {'wants' if options['wanted'] else 'does not want'} {options['topic']}")
    if found.ended:
        done(f"ended {counted(found.ended, 'notification')} that waited")
    if found.in_hand:
        warn(f"{found.in_hand:,} in a worker's hands this moment may still be sent")
    if isinstance(found, PreferenceSet) and found.lifted:
        done(f"lifted the suppression of that topic: {found.lifted}")
    if isinstance(found, PreferenceSet) and options["wanted"] and found.kept:
        note(f"still suppressed: {', '.join(found.kept)}; see outbox suppress list")


def show(url: str, channel: str, recipient: str, *, as_json: bool) -> int:
    """Print what holds for one recipient on a channel."""
    with reading(url) as conn:
        found = preferences.find(conn, channel=channel, recipient=recipient)
    if as_json:
        print_json({"preferences": [asdict(one) for one in found]})
        return 0
    if not found:
        note(f"no topic is declared for {channel}, and they said nothing")
        return 0
    print_table(
        _COLUMNS,
        [
            [
                one.topic,
                "yes" if one.wanted else "no",
                one.why,
                one.source or "-",
                f"{one.updated_at.astimezone():%Y-%m-%d}" if one.updated_at else "-",
                one.suppression or "-",
            ]
            for one in found
        ],
    )
    if any(one.wanted and one.suppression for one in found):
        say("what is suppressed is not sent, whatever they want: outbox suppress list")
    return 0
