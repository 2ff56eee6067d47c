"""The command `outbox init`: one command, one call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from outbox.terminal import completing
from outbox.terminal.setup import readable_errors

File = Annotated[Path | None, typer.Option("--config", "-c", help="The file to write.", show_default="./outbox.toml")]
Database = Annotated[
    str | None, typer.Option("--database-url", help="Where the database is.", show_default="OUTBOX_DATABASE_URL")
]
Provider = Annotated[
    list[str] | None,
    typer.Option(
        "--provider",
        metavar="[CHANNEL=]NAME",
        help="Who delivers, such as smtp, or console, which prints; again for more.",
        autocompletion=completing.beginnings,
    ),
]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="[PROVIDER.]KEY=VALUE", help="What a provider has to know; again for more."),
]
Connect = Annotated[bool, typer.Option("--connect/--no-connect", help="See whether the database can be reached.")]
Migrate = Annotated[
    bool | None, typer.Option("--migrate/--no-migrate", help="Create the tables.", show_default="it asks")
]
Sure = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing; fail where an answer is missing.")]


def init(
    *,
    database_url: Database = None,
    provider: Provider = None,
    set_: Setting = None,
    connect: Connect = True,
    migrate: Migrate = None,
    sure: Sure = False,
    config: File = None,
) -> None:
    """Begin: three questions, then a commented outbox.toml, a template, the tables, and what to type next.

    It overwrites nothing, and writes nothing when an answer is wrong. Passwords and keys go into no file: it names the
    variables that they are read from. What is given as an option is not asked.

    Exit codes: 1 the database cannot be reached, 2 an answer is wrong or missing, or there is a configuration already.

    Example: outbox init

    Example: outbox init --yes --database-url postgresql://localhost/app --provider smtp --set host=mail.example.org
    --set "sender=Shop <hello@example.org>"
    """
    from outbox.terminal.starting import run as command  # noqa: PLC0415

    with readable_errors():
        given = command.Given(
            file=config,
            database_url=database_url,
            providers=provider or (),
            settings=set_ or (),
            connect=connect,
            migrate=migrate,
            sure=sure,
        )
        raise typer.Exit(command.run(given))
