"""`python -m tests.model`: searches the full space, then every mutant, and prints the run that each is caught by."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from tests.model.guards import Guard
from tests.model.spaces import FULL, REDUCED, without
from tests.model.story import told

if TYPE_CHECKING:
    from tests.model.search import Found
    from tests.model.spaces import Space


def main() -> int:
    """Return 0 if every promise holds, and no mutant keeps them all."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("--reduced", action="store_true", help="search the smaller space of `make test`")
    parser.add_argument("--without", metavar="GUARD", help="show one mutant alone, such as SETTLE_BY_TOKEN")
    options = parser.parse_args()
    if options.without:
        return _show_mutant(Guard[options.without])
    broken = [_show(space) for space in (REDUCED if options.reduced else FULL)]
    survived = [_show_mutant(guard) for guard in Guard]
    _say(f"{len(survived) - sum(survived)} of {len(survived)} mutants were caught.")
    return int(any(broken) or any(survived))


def _show(space: Space) -> int:
    found = space.search()
    _say(f"{space.name}: {_counted(found)}: {found.broke or 'every promise held'}")
    if found.broke is not None:
        _say(*told(found))
    return int(found.broke is not None)


def _show_mutant(guard: Guard) -> int:
    space = without(guard)
    found = space.search()
    _say("", space.name, *told(found), f"   {'caught' if found.broke else 'SURVIVED'}: {_counted(found)}")
    return int(found.broke is None)


def _counted(found: Found) -> str:
    return f"{found.states:,} states, {found.steps:,} steps, {found.seconds:.1f} s of one core"


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
