"""`outbox worker`: one worker process, or a supervisor of several, or one of those."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox import logs
from outbox.errors import ConfigError
from outbox.terminal.priorities import levels
from outbox.terminal.setup import configuration
from outbox.worker import process
from outbox.worker.tether import Tether

if TYPE_CHECKING:
    from collections.abc import Mapping

_OVER_THE_FILE = ("concurrency", "processes", "grace")


def run(given: Mapping[str, Any]) -> int:
    """Work, or have others work, as the command's arguments say, until there is a reason to stop; return the exit code.

    Raises:
        OutboxError: the arguments, the configuration or the database will not do.
    """
    overrides = {f"worker__{key}": given[key] for key in _OVER_THE_FILE}
    config = configuration(given["config"], given["database_url"], **overrides)
    number = _number(given["member"])
    wanted = levels(given["priority"])
    logs.configure(verbose=given["verbose"], as_json=given["log_json"], process=number)
    if number is None and config.worker.processes > 1:
        return process.supervise(config.worker, logs.log, drain=given["drain"])
    tether = None if number is None else Tether()
    return process.run(config, given["channel"], logs.log, levels=wanted, drain=given["drain"], tether=tether)


def _number(member: str | None) -> int | None:
    """Return the 2 of `2/4`, what a supervisor calls one of its processes; None for one that has no supervisor."""
    if member is None:
        return None
    number, _, count = member.partition("/")
    if not (number.isdecimal() and count.isdecimal()):
        raise ConfigError(["--member is not for people: --processes starts worker processes"])
    return int(number)
