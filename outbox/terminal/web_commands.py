"""The commands of `outbox web`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal.options import ConfigFile, DatabaseUrl, LogFormat  # noqa: TC001 - typer evaluates the annotations
from outbox.terminal.setup import readable_errors

web = typer.Typer(invoke_without_command=True)

Host = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="The address to listen at.", show_default="127.0.0.1")
]
Port = Annotated[int | None, typer.Option(help="The port; 0 is a free one.", show_default="8420")]


@web.callback()
def serve(
    context: typer.Context,
    *,
    host: Host = None,
    port: Port = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every request.")] = False,
    log_format: LogFormat = None,
    config: ConfigFile = None,
    database_url: DatabaseUrl = None,
) -> None:
    """Serve the dashboard, until SIGTERM or Ctrl-C. On loopback nobody signs in; anywhere else everybody has to.

    Example: outbox web --port 8420
    """
    if context.invoked_subcommand is not None:
        return
    given = dict(locals())
    from outbox.terminal import web as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.serve(given))


@web.command("hash-password")
def hash_password() -> None:
    """Print what `password_hash` under [web.users.NAME] has to be; the password is asked for, or read from a pipe.

    Example: outbox web hash-password
    """
    from outbox.terminal import web as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.hash_password())


@web.command("secret")
def secret() -> None:
    """Print a new secret to sign sessions with, for OUTBOX_WEB_SECRET.

    Example: OUTBOX_WEB_SECRET="$(outbox web secret)"
    """
    from outbox.terminal import web as command  # noqa: PLC0415

    raise typer.Exit(command.secret())
