"""The command line: one command, one call."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal.setup import configuration, readable_errors

app = typer.Typer(
    name="outbox",
    help="Notifications that commit with your transaction, delivered from PostgreSQL alone.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals hold message bodies
    context_settings={"help_option_names": ["-h", "--help"]},
)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="Configuration file.", show_default="OUTBOX_CONFIG, else ./outbox.toml")
]
DatabaseUrl = Annotated[
    str | None, typer.Option("--database-url", help="postgresql://user@host/database", show_default="OUTBOX_DATABASE_URL, else the file's")
]


def _print_version(*, asked: bool) -> None:
    if asked:
        typer.echo(f"outbox {version('outbox')}")
        raise typer.Exit


@app.callback()
def main(
    *,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=lambda value: _print_version(asked=value), is_eager=True)
    ] = False,
) -> None:
    """Notifications that commit with your transaction, delivered from PostgreSQL alone.

    Exit codes: 0 done, 1 it could not be done (or the answer is no), 2 a mistake in the arguments or the configuration.
    """


@app.command(rich_help_panel="Database")
def migrate(
    *,
    database_url: DatabaseUrl = None,
    config: ConfigFile = None,
    check: Annotated[bool, typer.Option("--check", help="Only tell: exit 0 when up to date, 1 when behind.")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL of all migrations instead of running them.")] = False,
    down: Annotated[
        str | None, typer.Option("--down", metavar="REVISION", help="Undo down to a revision; `base` removes every table and all they hold.")
    ] = None,
) -> None:
    """Create or update the outbox schema. Safe to run from several places at once, and while applications run."""
    from outbox.terminal import migrate as command  # noqa: PLC0415 - each command imports what it needs, for a quick start

    if sql:
        command.print_sql(sys.stdout)
        return
    with readable_errors():
        url = configuration(config, database_url).database_url
        raise typer.Exit(command.check(url) if check else command.down(url, down) if down else command.up(url))


@app.command(rich_help_panel="Delivery")
def worker(
    *,
    channel: Annotated[list[str], typer.Option("--channel", help="Channel to serve; again for more.")],
    priority: Annotated[
        list[str] | None, typer.Option("--priority", help="Only these priorities (urgent, high, normal, bulk, or 0-9); again for more.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(help="Deliveries at once, for each channel.", show_default="200")] = None,
    grace: Annotated[str | None, typer.Option(help="Time to finish what is being sent after a signal.", show_default="30s")] = None,
    drain: Annotated[bool, typer.Option("--drain", help="Exit when nothing is due.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every claim and delivery.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log one JSON object a line.")] = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Deliver notifications, until SIGTERM or Ctrl-C. Start as many as you like, anywhere.

    Example: outbox worker --channel email --channel sms --concurrency 500
    """
    from outbox import logs  # noqa: PLC0415
    from outbox.terminal.priorities import levels  # noqa: PLC0415
    from outbox.worker import process  # noqa: PLC0415

    settings = configuration(config, database_url, worker__concurrency=concurrency, worker__grace=grace)
    logs.configure(verbose=verbose, as_json=log_json)
    with readable_errors():
        raise typer.Exit(process.run(settings, channel, logs.log, levels=levels(priority), drain=drain))


if __name__ == "__main__":
    app()
