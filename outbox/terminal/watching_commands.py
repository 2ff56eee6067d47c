"""The commands that show what is going on: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors
from outbox.terminal.steering_commands import PANEL

watching = typer.Typer()

Providers = Annotated[
    list[str] | None,
    typer.Option("--provider", help="Only this provider; again for more.", autocompletion=completing.providers),
]
Outcomes = Annotated[
    list[str] | None,
    typer.Option(
        "--outcome",
        metavar="OUTCOME",
        help="Only this outcome, such as dead; again for more.",
        autocompletion=completing.outcomes,
    ),
]
Failed = Annotated[bool, typer.Option("--failed", help="Only what failed: retry, dead, ambiguous, lost.")]
From = Annotated[str | None, typer.Option("--since", metavar="DURATION", help="Begin with those of the last 5m, say.")]
Recipients = Annotated[bool, typer.Option("--recipients", help="Whom it was for, too: masked, as a…@example.org.")]
Since = Annotated[str, typer.Option(metavar="DURATION", help="What ended in this time.")]
By = Annotated[
    str,
    typer.Option(
        metavar="WHAT",
        help="channel, provider, template, class (of error), topic or hour.",
        autocompletion=completing.measures,
    ),
]
Timeout = Annotated[str, typer.Option(metavar="DURATION", help="Give up after so long.")]
Actor = Annotated[str | None, typer.Option(help="Only what this one did, such as ada@desk.")]
Actions = Annotated[
    list[str] | None, typer.Option("--action", help="Only this, as the command is called: pause; again for more.")
]
Subject = Annotated[str | None, typer.Option(help="Only what was done to this, such as channel:email.")]
Lately = Annotated[
    str | None, typer.Option("--since", metavar="DURATION", help="Only what was done so long ago, or later.")
]


@watching.command("workers", rich_help_panel=PANEL)
def workers(
    *,
    channel: options.Channels = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Who works, what each has in hand, which providers are held, and who vanished in the last ten minutes.

    Exit code 1: nobody does.

    Example: outbox workers --channel email
    """
    from outbox.terminal import fleet as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.show(settings.database_url, channel, as_json=json))


@watching.command("tail", rich_help_panel=PANEL)
def tail(
    *,
    channel: options.Channels = None,
    provider: Providers = None,
    outcome: Outcomes = None,
    failed: Failed = False,
    since: From = None,
    recipients: Recipients = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Follow the attempts as they are settled, a line each: when, where, how, by whom, how long, which. Ctrl-C ends it.

    With --json, each line is an object.

    Example: outbox tail --failed --channel email --since 5m
    """
    given = dict(locals())
    from outbox.terminal import tail as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.run(settings.database_url, given))


@watching.command("stats", rich_help_panel=PANEL)
def stats(
    *,
    since: Since = "24h",
    by: By = "channel",
    channel: options.Channels = None,
    timeout: Timeout = "30s",
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """How attempts ended: counts, failures, and within what time half, 95 and 99 in 100 were done.

    First how long providers took to answer, then from the enqueue (or the time it was to be sent) to the acceptance.

    Exit code 1: it took too long to count.

    Example: outbox stats --since 1h --by provider
    """
    given = dict(locals())
    from outbox.terminal import stats as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.show(settings.database_url, given))


@watching.command("audit", rich_help_panel=PANEL)
def audit(
    *,
    actor: Actor = None,
    action: Actions = None,
    subject: Subject = None,
    since: Lately = None,
    limit: options.Limit = 20,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Who did what by hand, when, and why: pauses, replays, suppressions, erasures.

    Example: outbox audit --subject channel:email --since 7d
    """
    given = dict(locals())
    from outbox.terminal import trail as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.show(settings.database_url, given))
