"""The commands of `outbox unsubscribe`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

unsubscribe = typer.Typer(
    help="Links to unsubscribe: a secret for them, and what one says.\n\nExample: outbox unsubscribe secret",
    no_args_is_help=True,
)

Topic = Annotated[
    str,
    typer.Option(help="A topic that offers to unsubscribe.", show_default=False, autocompletion=completing.topics),
]
Link = Annotated[str, typer.Argument(metavar="LINK", help="A link, or its token alone.", show_default=False)]


@unsubscribe.command("secret")
def secret() -> None:
    """Print a new secret to sign links with, for OUTBOX_UNSUBSCRIBE_SECRET.

    Example: OUTBOX_UNSUBSCRIBE_SECRET="$(outbox unsubscribe secret)"
    """
    from outbox.terminal import unsubscribe as command  # noqa: PLC0415

    raise typer.Exit(command.secret())


@unsubscribe.command("link")
def link(*, recipient: options.Recipient, topic: Topic, config: ConfigFile = None) -> None:
    """Print a link for one person: to try it, or to answer somebody who asks for one.

    Example: outbox unsubscribe link --recipient ada@example.org --topic news
    """
    from outbox.terminal import unsubscribe as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.link(configuration(config), recipient, topic))


@unsubscribe.command("read")
def read(link: Link, *, json: options.AsJson = False, config: ConfigFile = None) -> None:
    """Print whom a link is about, from what, and until when it is good. Exit code 1: it is not ours, or has run out.

    Example: outbox unsubscribe read https://example.org/unsubscribe/AX3…
    """
    from outbox.terminal import unsubscribe as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.show(configuration(config), link, as_json=json))
