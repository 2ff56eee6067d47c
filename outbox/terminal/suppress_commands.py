"""The commands of `outbox suppress`: one command, one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import configuration, readable_errors

suppress = typer.Typer(
    help="Who must not be contacted: add, remove, list, import, export.\n\nExample: outbox suppress list",
    no_args_is_help=True,
)

Channel = Annotated[
    str, typer.Option(help="The channel, such as email.", show_default=False, autocompletion=completing.channels)
]
Topic = Annotated[
    str | None,
    typer.Option(help="Only what is about this topic.", show_default="everything", autocompletion=completing.topics),
]
Sender = Annotated[
    str | None, typer.Option(help="Only by this sender of ours, such as a number.", show_default="any of ours")
]
Reason = Annotated[
    str,
    typer.Option(
        metavar="REASON",
        help="stop, hard_bounce, complaint, manual, unsubscribed, or a word of your own.",
        autocompletion=completing.suppression_reasons,
    ),
]
Source = Annotated[str, typer.Option(help="Who says so.")]
Until = Annotated[
    str | None,
    typer.Option(metavar="30d|TIME", help="For so long, or until then: 2030-01-31T09:00:00Z.", show_default="for good"),
]
Strong = Annotated[bool, typer.Option("--strong", help="Also if the reason is stop, hard_bounce or complaint.")]
OneRecipient = Annotated[str | None, typer.Option("--recipient", help="Only this recipient.")]
OneReason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="REASON",
        help="Only for this reason.",
        autocompletion=completing.suppression_reasons,
    ),
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
Format = Annotated[
    str,
    typer.Option("--format", help="csv, or json: an object a line.", autocompletion=completing.among("csv", "json")),
]
Output = Annotated[
    Path | None, typer.Option("--output", "-o", help="The file to write.", show_default="standard output")
]
File = Annotated[
    str, typer.Argument(metavar="FILE", help="CSV with a header, or a JSON object a line; - is standard input.")
]
DefaultChannel = Annotated[str | None, typer.Option("--channel", help="The channel, where a line names none.")]
DefaultReason = Annotated[
    str | None, typer.Option("--reason", metavar="REASON", help="The reason, where a line names none.")
]


@suppress.command("add")
def add(
    *,
    channel: Channel,
    recipient: options.Recipient,
    topic: Topic = None,
    sender: Sender = None,
    reason: Reason = "manual",
    source: Source = "manual",
    until: Until = None,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add a suppression, and end what waits for its recipient. Applications call suppressions.add() in theirs.

    Example: outbox suppress add --channel email --recipient ada@example.org --topic news --until 30d
    """
    given = dict(locals())
    from outbox.terminal import suppress as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.add(configuration(config, database_url).database_url, given))


@suppress.command("remove")
def remove(
    *,
    channel: Channel,
    recipient: options.Recipient,
    topic: Topic = None,
    sender: Sender = None,
    strong: Strong = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Remove one suppression: that of exactly this channel, recipient, topic and sender. It says which others stay.

    Exit code 1: there is none, or it is a strong one.

    Example: outbox suppress remove --channel email --recipient ada@example.org
    """
    given = dict(locals())
    from outbox.terminal import suppress as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.remove(configuration(config, database_url).database_url, given))


@suppress.command("list")
def list_suppressions(
    *,
    channel: options.OneChannel = None,
    recipient: OneRecipient = None,
    topic: Topic = None,
    reason: OneReason = None,
    limit: Limit = 50,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Who must not be contacted now, and why.

    Example: outbox suppress list --channel email --reason hard_bounce
    """
    filters = {"channel": channel, "recipient": recipient, "topic": topic, "reason": reason}
    from outbox.terminal import suppress as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.show(url, filters, limit=limit, as_json=json))


@suppress.command("export")
def export(
    *,
    channel: options.OneChannel = None,
    recipient: OneRecipient = None,
    topic: Topic = None,
    reason: OneReason = None,
    format_: Format = "csv",
    output: Output = None,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Write all suppressions that hold now, as `import` reads them.

    Example: outbox suppress export --channel email --format json | gzip > suppressions.jsonl.gz
    """
    filters = {"channel": channel, "recipient": recipient, "topic": topic, "reason": reason}
    from outbox.terminal import suppress_files as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.give(url, filters, form=format_, output=output))


@suppress.command("import")
def import_suppressions(
    file: File,
    *,
    channel: DefaultChannel = None,
    reason: DefaultReason = None,
    source: Source = "import",
    dry_run: options.DryRun = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Add many suppressions, and end what waits for their recipients. One line that is wrong, and nothing is written.

    The columns are channel, recipient, topic, sender, reason, source, created_at and until.

    Exit code 1: the connection goes through a pooler, and it needs PostgreSQL itself.

    Example: outbox suppress import bounces.csv --channel email --reason hard_bounce --dry-run
    """
    given = {"channel": channel, "reason": reason, "source": source}
    defaults = {name: value for name, value in given.items() if value is not None}
    from outbox.terminal import suppress_files as command  # noqa: PLC0415

    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.take(url, file, defaults, dry_run=dry_run, as_json=json))
