"""`outbox` and `python -m outbox`: run the command line.

The command line is `cli.py` at the root of a checkout, and `outbox._cli` in the wheel: a top-level module `cli` could
collide with the host application's own.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

from outbox.terminal import colours

if TYPE_CHECKING:
    from types import ModuleType

_NAME = "outbox._cli"


def main() -> None:
    """Run the command line, and exit with its status."""
    if os.getpid() == 1:
        # In a container: the first process of a PID namespace is sent no signal that it has no handler for.
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a ✓ gets an escape instead, not a traceback after the work was done.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    colours.settle()
    # What a configuration names by a dotted path is often here, in no package. Whatever is installed comes first.
    sys.path.append(str(Path.cwd()))
    command_line().app()


def command_line() -> ModuleType:
    """Return the module of the command line, from the wheel or from the checkout, whichever this is."""
    if find_spec(_NAME):
        return import_module(_NAME)
    spec = spec_from_file_location(_NAME, Path(__file__).parents[1] / "cli.py")
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(_NAME, name=_NAME)
    module = module_from_spec(spec)
    sys.modules[_NAME] = module  # before it runs: dataclasses and pickles look their module up
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
