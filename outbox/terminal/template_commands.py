"""The commands of `outbox template`: one command, one call."""

from __future__ import annotations

from typing import Annotated

import typer

from outbox.terminal import completing, options
from outbox.terminal.options import ConfigFile  # noqa: TC001 - as above
from outbox.terminal.setup import configuration, readable_errors

template = typer.Typer(
    help="Templates: what there is, what it says, and whether it works.\n\nExample: outbox template list",
    no_args_is_help=True,
)

Name = Annotated[
    str,
    typer.Argument(
        help="The template's name, such as welcome.", show_default=False, autocompletion=completing.templates
    ),
]
Given = Annotated[
    str | None,
    typer.Option(
        "--payload", metavar="FILE", help="A file with its variables as JSON; - for standard input, or JSON itself.",
        show_default="its sample.json",
    ),
]  # fmt: skip
OnChannel = Annotated[
    str | None,
    typer.Option(
        "--channel",
        help="As on this channel.",
        show_default="its only one, else every file",
        autocompletion=completing.channels,
    ),
]
Part = Annotated[str | None, typer.Option("--part", metavar="FILE", help="Print this part alone, such as body.html.")]
Open = Annotated[bool, typer.Option("--open", help="Show the HTML in the browser.")]


@template.command("list")
def list_templates(*, json: options.AsJson = False, config: ConfigFile = None) -> None:
    """Every template: its channels, its languages, its files, its samples.

    Example: outbox template list
    """
    from outbox.terminal import templates as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.list_all(configuration(config), as_json=json))


@template.command("show")
def show_template(name: Name, *, json: options.AsJson = False, config: ConfigFile = None) -> None:
    """All that one template says of itself, where its files are, and what they include. Exit code 1: there is none.

    Example: outbox template show welcome
    """
    from outbox.terminal import templates as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.show(configuration(config), name, as_json=json))


@template.command("render")
def render_template(
    name: Name,
    *,
    payload: Given = None,
    locale: options.Locale = None,
    channel: OnChannel = None,
    part: Part = None,
    browse: Open = False,
    json: options.AsJson = False,
    config: ConfigFile = None,
) -> None:
    """Print what a template says with a payload, as it would be sent. Sends nothing, and needs no database.

    Exit codes: 1 it cannot be rendered, 2 the payload cannot be read.

    Example: outbox template render welcome --payload ada.json --locale pt-BR --open
    """
    from outbox.terminal import templates as command  # noqa: PLC0415

    with readable_errors():
        asked = command.Asked(name, payload, locale, channel, part, browse, json)
        raise typer.Exit(command.render(configuration(config), asked))


@template.command("check")
def check_templates(*, json: options.AsJson = False, config: ConfigFile = None) -> None:
    """Find every mistake in the templates, and render each with its samples, in all its languages. For CI.

    A template's samples are the files sample.json and sample-….json beside it. Exit code 1: there are mistakes.

    Example: outbox template check --json
    """
    from outbox.terminal import templates as command  # noqa: PLC0415

    with readable_errors():
        raise typer.Exit(command.check(configuration(config), as_json=json))
