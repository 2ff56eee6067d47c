"""What to type next, after the first files are there."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, NamedTuple

from outbox.terminal.output import say
from outbox.terminal.starting import sample
from outbox.terminal.starting.needs import model_of, variable
from outbox.terminal.starting.snippets import framework, snippet
from outbox.terminal.starting.where import VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from outbox.terminal.starting.choice import Choice
    from outbox.terminal.starting.where import Database


class Next(NamedTuple):
    """What there is, and what is still missing. `named_by` is the option that named the file."""

    target: Path
    named_by: Path | None
    database: Database
    choices: Sequence[Choice]
    missing: Sequence[tuple[Choice, str]]
    is_migrated: bool


def tell(after: Next) -> None:
    """Print it: commands as they are typed, and how an application enqueues."""
    say("\nWhat comes next:\n", "bold")
    for words in _commands(after):
        say(f"  {words}")
    channel = after.choices[0].channel
    name = framework(after.target.parent)
    say(f"\nIn your application ({name}), in the transaction of what it is about:\n", "bold")
    for line in snippet(name, channel).splitlines():
        say(f"  {line}".rstrip())
    say("\nThen keep a worker running, or as many as you like, anywhere:\n", "bold")
    say(f"  {_outbox(after, 'worker', *_channels(after))}")


def _commands(after: Next) -> Iterator[str]:
    if after.database.in_the_file is None and not after.database.is_named:
        yield f"export {VARIABLE}=…   # the URL that you gave: it has a password in it, and is in no file"
    for choice, key in after.missing:
        what = model_of(choice).model_fields[key].description
        yield f"export {variable(choice.provider, key)}=…" + (f"   # {what}" if what else "")
    yield _outbox(after, "check")
    if not after.is_migrated:
        yield _outbox(after, "migrate")
    channel = after.choices[0].channel
    words = ("--recipient", sample.recipient_of(channel).example, "--template", sample.NAME)
    yield _outbox(after, "enqueue", "--channel", channel, *words, "--payload", sample.PAYLOAD)
    yield _outbox(after, "worker", *_channels(after), "--drain")


def _channels(after: Next) -> list[str]:
    channels = dict.fromkeys(choice.channel for choice in after.choices)
    return [word for channel in channels for word in ("--channel", channel)]


def _outbox(after: Next, *words: str) -> str:
    config = ["--config", str(after.named_by)] if after.named_by else []
    return shlex.join(["outbox", *words, *config])
