"""The command `outbox dev-server`: one command, one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal.setup import readable_errors

Port = Annotated[int, typer.Option(min=1, max=65_535, help="Its port on 127.0.0.1, where it listens and nowhere else.")]
Directory = Annotated[
    Path | None,
    typer.Option(metavar="DIRECTORY", help="Where its data is, and stays.", show_default="gone at the end"),
]


def dev_server(*, port: Port = 5433, directory: Directory = None) -> None:
    """A PostgreSQL of your own to try things on, with an empty database `app`, until SIGTERM or Ctrl-C.

    It asks nobody for a password, so everybody on this machine may come in: not for anything that matters.
    Needs the extra dev-server, or PostgreSQL's programs.

    Example: outbox dev-server --port 5433 --directory ./data
    """
    from outbox.terminal import dev_server as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.serve(port, directory))
