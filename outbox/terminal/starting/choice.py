"""By which providers to deliver, to begin with."""

from __future__ import annotations

from typing import NamedTuple

from outbox.channels import shipped
from outbox.errors import ConfigError
from outbox.spelling import nearest

HERE = "console"
"""The provider that sends nothing and prints: what to try everything with."""
_EVERYWHERE = (HERE, "recorder")
_ITS_CHANNEL = "email"


class Choice(NamedTuple):
    """A channel, and a provider of it."""

    channel: str
    provider: str


def choose(answers: list[str]) -> list[Choice]:
    """Return what was chosen: each answer is a provider's name, or `channel=provider`.

    Raises:
        ConfigError: with every answer that names none.
    """
    chosen, problems = [], []
    for answer in answers:
        try:
            chosen.append(_choice(answer.strip()))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(problems)
    return list(dict.fromkeys(chosen))


def offers() -> list[tuple[str, str]]:
    """Return the channels with their providers, as lines to choose from."""
    lines = [(channel, ", ".join(providers)) for channel, providers in shipped().items()]
    return [("to try it", f"{HERE}: sends nothing, and prints each message where the worker runs"), *lines]


def _choice(answer: str) -> Choice:
    known = shipped()
    channel, separator, provider = answer.rpartition("=")
    if not separator:
        if answer == HERE:
            return Choice(_ITS_CHANNEL, HERE)
        found = [channel for channel, providers in known.items() if answer in providers]
        if found:
            return Choice(found[0], answer)
        if answer in known:
            if len(known[answer]) == 1:
                return Choice(answer, known[answer][0])
            raise ValueError(f"{answer} is a channel; by which provider: {', '.join(known[answer])}?")
        names = [HERE, *(name for providers in known.values() for name in providers)]
        raise ValueError(f"there is no provider {answer!r}; {nearest(answer, names)}")
    if channel not in known:
        raise ValueError(f"there is no channel {channel!r}; {nearest(channel, list(known))}")
    if provider not in (*known[channel], *_EVERYWHERE):
        raise ValueError(f"{channel} has no provider {provider!r}; {nearest(provider, [*known[channel], HERE])}")
    return Choice(channel, provider)
