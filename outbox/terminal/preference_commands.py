"""The commands of `outbox preference`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

preference = typer.Typer(
    help="What people want to get, by topic and channel: set it, look at it.", no_args_is_help=True
)

Channel = Annotated[str, typer.Option(help="The channel, such as email.", show_default=False)]
Topic = Annotated[str, typer.Option(help="The topic.", show_default=False)]
Wanted = Annotated[bool | None, typer.Option("--yes/--no", help="Whether they want it.", show_default=False)]
Clear = Annotated[bool, typer.Option("--clear", help="Forget what they said: the topic's default holds again.")]
Source = Annotated[str, typer.Option(help="Who says so.")]


@preference.command("set")
def set_preference(
    *,
    channel: Channel,
    recipient: options.Recipient,
    topic: Topic,
    wanted: Wanted = None,
    clear: Clear = False,
    source: Source = "manual",
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write down that somebody wants a topic on a channel, or does not, and end what waits of that.

    Example: outbox preference set --channel email --recipient ada@example.org --topic news --no
    """
    given = dict(locals())
    from outbox.terminal import preferences as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.change(configuration(config, database_url).database_url, given))


@preference.command("list")
def list_preferences(
    *,
    channel: Channel,
    recipient: options.Recipient,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """What holds for one recipient on a channel, topic by topic, and why.

    Example: outbox preference list --channel email --recipient ada@example.org
    """
    from outbox.terminal import preferences as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.show(url, channel, recipient, as_json=json))
