"""The command `outbox doctor`: one command, one call."""

from __future__ import annotations

import typer

from outbox.terminal import options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.options import ConfigFile, DatabaseUrl  # noqa: TC001 - as above
from outbox.terminal.setup import readable_errors


def doctor(
    *,
    only: options.Only = None,
    list_: options.ListChecks = False,
    strict: options.Strict = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Look for everything that quietly kills such a system, and say what to type. It only reads, and waits for nobody.

    A remedy that begins with `outbox` is for the shell, one that begins with a word of SQL for psql.

    Exit codes: 0 nothing fails (there may be warnings), 1 something does; with --strict also a warning, or what could
    not be looked at; 2 a mistake in the arguments.

    Example: outbox doctor --json | jq -r '.findings[] | select(.status == "failure") | .remedy'
    """
    from outbox.terminal import doctor as command  # noqa: PLC0415

    with readable_errors():
        if list_:
            raise typer.Exit(command.list_checks(as_json=json))
        raise typer.Exit(command.run(config, database_url, only or (), strict=strict, as_json=json))
