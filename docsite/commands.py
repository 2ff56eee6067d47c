"""The reference of the command line, from the command line itself: every command, option, example and exit code."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from docsite.templates import PAGES
from outbox.__main__ import command_line

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLE = re.compile(r"\A(?:Examples?:\s*|outbox )")
_FACT = re.compile(r"\s*\[([^\[\]]*)\]\s*$")


class Option(NamedTuple):
    """An option or an argument, as `--help` has it."""

    names: str
    meaning: str
    fact: str
    """Its default or its range, or that it is required."""


class Command(NamedTuple):
    """One command, as `--help` has it."""

    name: str
    """With those above it, such as `dead-letters replay`."""
    panel: str
    usage: str
    summary: str
    words: list[str]
    """The paragraphs of its help, the first one included."""
    examples: list[str]
    options: list[Option]
    commands: list[Command]


def page() -> str:
    """Return the reference as Markdown."""
    whole = read(root())
    panels: dict[str, list[Command]] = {}
    for command in whole.commands:
        panels.setdefault(command.panel or "Commands", []).append(command)
    return PAGES.get_template("commands.md.jinja").render(root=whole, panels=panels)


def root() -> Any:
    """Return the command that all others belong to, as Typer has it."""
    return typer.main.get_command(command_line().app)


def read(command: Any, name: str = "outbox", parent: Any = None) -> Command:
    """Return what a command of Typer's says of itself, with those under it; what is hidden is left out."""
    context = typer.Context(command, info_name=name.rsplit(maxsplit=1)[-1], parent=parent)
    words, examples = _paragraphs(command.help or "")
    return Command(
        name=name,
        panel=str(getattr(command, "rich_help_panel", None) or ""),
        usage=" ".join([name, *command.collect_usage_pieces(context)]),
        summary=(words or [""])[0],
        words=words,
        examples=examples,
        options=list(_options(command, context)),
        commands=[
            read(below, f"{name} {called}", context)
            for called, below in getattr(command, "commands", {}).items()
            if not below.hidden
        ],
    )


def _paragraphs(text: str) -> tuple[list[str], list[str]]:
    words: list[str] = []
    examples: list[str] = []
    for paragraph in re.split(r"\n\s*\n|\f", text.replace("\b\n", "")):
        if _EXAMPLE.match(paragraph.strip()):
            lines = _EXAMPLE.sub(lambda found: found[0].partition(":")[2] or found[0], paragraph.strip()).splitlines()
            examples += [line.strip() for line in lines if line.strip()]
        elif paragraph.strip():
            words.append(" ".join(paragraph.split()))
    return words, [example for example in examples if example]


def _options(command: Any, context: typer.Context) -> Iterator[Option]:
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is None or parameter.name == "help":
            continue
        names, meaning = record
        fact = _FACT.search(meaning)
        yield Option(
            names=names,
            meaning=_cell(_FACT.sub("", meaning)),
            fact=_cell(re.sub(r"default: \(?(.*?)\)?(?=;|$)", r"default: \1", fact[1])) if fact else "",
        )


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
