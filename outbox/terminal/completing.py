"""What the Tab key offers for a value: names of the configuration, of templates, and of what is fixed.

Nothing here asks a database, runs anything of the user's, or fails: whoever presses Tab can do without an answer.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any

import typer

from outbox.messages import PRIORITIES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from outbox.config import Config

_CHANNELS = ("chat", "email", "inapp", "push", "sms", "webhook")


def _quietly(
    names: Callable[[typer.Context], Collection[str]],
) -> Callable[[typer.Context, str], list[str]]:
    """Offer those of the names that begin as what is typed does; none where they cannot be found."""

    @wraps(names)
    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        try:
            found = names(ctx)
        except Exception:  # noqa: BLE001 - a traceback would land in the line that is being typed
            return []
        given: Any = ctx.params.get("channel") if ctx.params else None
        taken = given if isinstance(given, list | tuple) else ()
        return [name for name in sorted(found) if name.startswith(incomplete) and name not in taken]

    # Typer tells by the annotations what to pass; those of the wrapped function are not ours.
    offer.__annotations__ = {"ctx": typer.Context, "incomplete": str, "return": list[str]}
    del offer.__wrapped__
    return offer


def among(*names: str) -> Callable[[typer.Context, str], list[str]]:
    """Offer these names."""
    return _quietly(lambda _: names)


def lazily(names: Callable[[], Collection[str]]) -> Callable[[typer.Context, str], list[str]]:
    """Offer names that take an import to know."""
    return _quietly(lambda _: names())


def _configuration(ctx: typer.Context) -> Config:
    from outbox import config  # noqa: PLC0415

    return config.survey(ctx.params.get("config"))[0]


@_quietly
def channels(ctx: typer.Context) -> Collection[str]:
    """Offer the channels of the configuration; without one, those that ship."""
    return _configuration(ctx).channels or _CHANNELS


@_quietly
def providers(ctx: typer.Context) -> Collection[str]:
    """Offer the providers that channels of the configuration name."""
    return {name for channel in _configuration(ctx).channels.values() for name in channel.providers}


@_quietly
def targets(ctx: typer.Context) -> Collection[str]:
    """Offer what can be paused: channels, and providers."""
    found = _configuration(ctx)
    named = {name for channel in found.channels.values() for name in channel.providers}
    return {*found.channels, *(f"provider:{name}" for name in named)}


@_quietly
def topics(ctx: typer.Context) -> Collection[str]:
    """Offer the topics of the configuration."""
    return _configuration(ctx).topics


@_quietly
def templates(ctx: typer.Context) -> Collection[str]:
    """Offer the templates in the folder; a source of the user's own may take its time, and is not asked."""
    from outbox.templates.folder import Folder  # noqa: PLC0415
    from outbox.templates.layout import names  # noqa: PLC0415

    return names(Folder(_configuration(ctx).templates.path).files())


priorities = among(*PRIORITIES)


def _checks() -> Collection[str]:
    from outbox.doctor.examination import CHECKS  # noqa: PLC0415

    return [check.name for check in CHECKS]


def _begun_with() -> Collection[str]:
    from outbox.channels import shipped  # noqa: PLC0415

    return {"console", *(name for providers in shipped().values() for name in providers)}


def _reasons() -> Collection[str]:
    from outbox.reasons import KNOWN  # noqa: PLC0415

    return KNOWN


checks = lazily(_checks)
beginnings = lazily(_begun_with)
suppression_reasons = lazily(_reasons)
outcomes = among("sent", "retry", "dead", "deferred", "suppressed", "expired", "ambiguous", "lost", "cancelled")
measures = among("channel", "provider", "template", "class", "topic", "hour")
