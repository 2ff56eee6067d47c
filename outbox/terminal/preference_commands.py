"""The commands of `outbox preference`: one command, one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

preference = typer.Typer(
    help="What people want to get, by topic and channel: set, list, import, export.\n\n"
    "Example: outbox preference list --channel email --recipient ada@example.org",
    no_args_is_help=True,
)

Channel = Annotated[
    str,
    typer.Option(help="The channel, such as email.", show_default=False, autocompletion=completing.channels),
]
Topic = Annotated[str, typer.Option(help="The topic.", show_default=False, autocompletion=completing.topics)]
Wanted = Annotated[bool | None, typer.Option("--yes/--no", help="Whether they want it.", show_default=False)]
Clear = Annotated[bool, typer.Option("--clear", help="Forget what they said: the topic's default holds again.")]
Source = Annotated[str, typer.Option(help="Who says so.")]
OneRecipient = Annotated[str | None, typer.Option("--recipient", help="Only this recipient.")]
OneTopic = Annotated[str | None, typer.Option("--topic", help="Only this topic.")]
Format = Annotated[str, typer.Option("--format", help="csv, or json: an object a line.")]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="standard output")
]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="CSV with a header, or a JSON object a line; - is standard input.")
]
DefaultChannel = Annotated[str | None, typer.Option("--channel", help="The channel, where a line names none.")]
DefaultTopic = Annotated[str | None, typer.Option("--topic", help="The topic, where a line names none.")]


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


@preference.command("export")
def export(
    *,
    channel: options.OneChannel = None,
    recipient: OneRecipient = None,
    topic: OneTopic = None,
    format_: Format = "csv",
    output: Output = None,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write what people said that they want, or do not, as `import` reads it.

    Example: outbox preference export --channel email --topic news --output news.csv
    """
    filters = {"channel": channel, "recipient": recipient, "topic": topic}
    from outbox.terminal import preference_files as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.give(url, filters, form=format_, output=output))


@preference.command("import")
def import_preferences(
    file: File,
    *,
    channel: DefaultChannel = None,
    topic: DefaultTopic = None,
    source: Source = "import",
    dry_run: options.DryRun = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write down what many people want, and end what waits of what they do not. One wrong line, and nothing is written.

    The columns are channel, recipient, topic, wanted, source and updated_at. What somebody said later stays.

    Exit code 1: the connection goes through a pooler, and it needs PostgreSQL itself.

    Example: outbox preference import choices.csv --channel email --dry-run
    """
    given = {"channel": channel, "topic": topic, "source": source}
    defaults = {name: value for name, value in given.items() if value is not None}
    from outbox.terminal import preference_files as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.take(url, file, defaults, dry_run=dry_run, as_json=json))
