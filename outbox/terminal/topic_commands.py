"""The commands of `outbox topic`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

topic = typer.Typer(
    help="What notifications are about: declare it from the configuration, look at it.\n\nExample: outbox topic list",
    no_args_is_help=True,
)

Prune = Annotated[bool, typer.Option("--prune", help="Remove those that the configuration does not have.")]


@topic.command("sync")
def sync(
    *,
    dry_run: options.DryRun = False,
    prune: Prune = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Declare the topics of the configuration, as a step of a deployment. Workers do the same when they start.

    Exit code 1: something waits under a topic that is to be removed; nothing was written.

    Example: outbox topic sync --dry-run
    """
    from outbox.terminal import topics as command  # noqa: PLC0415

    settings = configuration(config, database_url)
    with readable_errors():
        raise typer.Exit(command.sync(settings, dry_run=dry_run, prune=prune, as_json=json))


@topic.command("list")
def list_topics(*, json: options.AsJson = False, config: ConfigFile = None, database_url: DatabaseUrl = None) -> None:
    """What is declared, how many wait under it, and how many people chose to get it, or not to.

    Example: outbox topic list --json | jq '.topics[] | {name, waiting, opted_out}'
    """
    from outbox.terminal import topics as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.show(configuration(config, database_url).database_url, as_json=json))
