"""The command `outbox demo`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import options  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import readable_errors


def demo(
    *,
    signups: Annotated[int, typer.Option(min=100, help="People who sign up.")] = 5_000,
    seed: Annotated[int, typer.Option(help="Decides who they are, and whom the mail server treats how.")] = 1,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the database until Ctrl-C, to look around.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the closing report as JSON, for scripts.")] = False,
    database_url: options.Server = None,
) -> None:
    """See it work: thousands of signups, a bad mail server, a killed worker, and accounts that add up. Half a minute.

    Nothing is sent to anybody. Needs the extra dev-server, or PostgreSQL's programs. Exit code 1: it does not add up.

    Example: outbox demo --signups 2000 --keep
    """
    from outbox.demo import run as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.run(database_url, signups=signups, seed=seed, keep=keep, as_json=json))
