"""What stands in deploy/: commands as the command line reads them, and files as they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer.main
import yaml

from outbox.__main__ import command_line
from outbox.worker.shift import _LAST_WRITES
from outbox.worker.tether import OVERTIME

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"


def parsed(words: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """The command that `outbox` with these words is, and its arguments; what does not exist is an error of click's."""
    group: Any = typer.main.get_command(command_line().app)
    context = group.make_context("outbox", list(words), resilient_parsing=False)
    name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])  # noqa: SLF001 - of a group, the command
    with command.make_context(name, list(rest), parent=context) as found:
        return str(name), dict(found.params)


def documents(file: Path) -> list[Any]:
    """The documents of a file in YAML."""
    return [each for each in yaml.safe_load_all(file.read_text()) if each is not None]


def longest_stop(grace: float) -> float:
    """Seconds: what a stop may take, with a supervisor that has to kill a process that is stuck."""
    return grace + max(OVERTIME, _LAST_WRITES)
