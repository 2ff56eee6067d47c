"""The command `outbox top`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

Interval = Annotated[str, typer.Option(metavar="DURATION", help="How long from look to look.")]
Once = Annotated[bool, typer.Option("--once", help="Print how things stand now, as plain text, and exit.")]
Theme = Annotated[
    str,
    typer.Option(
        metavar="THEME",
        help="dark, light, terminal (its own colours), or auto: as it is lit.",
        autocompletion=completing.among("dark", "light", "terminal", "auto"),
    ),
]


def top(
    *,
    channel: options.Channels = None,
    interval: Interval = "1s",
    once: Once = False,
    theme: Theme = "auto",
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Watch how things stand and go, on a screen that follows: rates, depth, providers, workers, dead letters.

    Keys pause and resume what is chosen; ? shows them all. The screen needs the extra top; --once and --json do not.

    Example: outbox top --once --channel email
    """
    given = dict(locals())
    from outbox.terminal import top_run as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.run(settings.database_url, given))
