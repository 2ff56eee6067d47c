"""The commands that steer: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

steering = typer.Typer()
PANEL = "Steer and watch"

Target = Annotated[
    str,
    typer.Argument(
        metavar="CHANNEL|provider:NAME",
        help="A channel, or one provider.",
        show_default=False,
        autocompletion=completing.targets,
    ),
]
Until = Annotated[
    str | None,
    typer.Option(metavar="TIME|DURATION", help="End by itself, then or after so long.", show_default="resumed by hand"),
]
Why = Annotated[str | None, typer.Option("--reason", metavar="WORDS", help="Why, for those who find it paused.")]
Force = Annotated[bool, typer.Option("--force", help="Though no worker and no configuration here knows it.")]


@steering.command("pause", rich_help_panel=PANEL)
def pause(
    target: Target,
    *,
    until: Until = None,
    reason: Why = None,
    force: Force = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Send nothing on a channel, or nothing through a provider: what waits stays due, and uses no attempt.

    Applications go on enqueueing, and what is being sent is finished. For a provider, the next in order is asked.

    Exit code 2: nobody knows that channel or provider.

    Example: outbox pause provider:ses --until 2h --reason "they have an outage"
    """
    from outbox.terminal import pausing as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.pause(settings, target, until=until, reason=reason, force=force, as_json=json))


@steering.command("resume", rich_help_panel=PANEL)
def resume(
    target: Target,
    *,
    reason: Why = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """End a pause. What waited is sent, the most urgent first.

    Example: outbox resume provider:ses
    """
    from outbox.terminal import pausing as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.resume(settings, target, reason=reason, as_json=json))
