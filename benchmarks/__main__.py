"""The command line of the benchmarks."""

from __future__ import annotations

import argparse
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from benchmarks import chart, display, page, place, results, runner
from benchmarks.cell import FULL, QUICK
from benchmarks.contenders import CONTENDERS
from benchmarks.debian import CACHE
from benchmarks.grounds import Grounds
from benchmarks.measures import MEASURES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.results import Run

_PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"


def main(given: Sequence[str] | None = None) -> None:
    """Measure, or render what was measured; a run of everything writes the page."""
    parser = _parser()
    arguments = parser.parse_args(given)
    console = Console()
    if arguments.render is not None:
        file = arguments.render or results.newest()
        if not file:
            parser.error(f"there are no results in {results.FOLDER.name}/ yet")
        run, output = results.read(Path(file)), arguments.output or _PAGE
    else:
        try:
            run = _measure(arguments, console)
        except ValueError as error:
            parser.error(str(error))
        output = arguments.output or (_PAGE if arguments.add or _is_whole(arguments) else None)
    display.show_musts(console, run)
    if output:
        output.with_suffix(".svg").write_text(chart.draw(run), encoding="utf-8")
        page.write(output, run, output.with_suffix(".svg").name)


def _measure(arguments: argparse.Namespace, console: Console) -> Run:
    plan = list(runner.turns(arguments.systems, arguments.measures, arguments.rounds, arguments.held_rounds))
    scale = QUICK if arguments.quick else FULL
    present, missing = runner.roll_call(arguments.systems)
    with Grounds(statements=arguments.statements) as grounds, display.Display(console, len(plan)) as shown:
        journal = _journal(arguments, place.describe(grounds.server.version, present))
        for turn, result in runner.run(plan, grounds, scale, missing, arguments.patience):
            if result is None:
                shown.begin(turn)
            else:
                journal.add(result)
                shown.end(result)
    return journal.run


def _journal(arguments: argparse.Namespace, where: Mapping[str, Any]) -> results.Journal:
    """Return where the results go. Raises ValueError when there is nothing that they can be added to."""
    if not arguments.add:
        folder = arguments.results or (results.FOLDER if _is_whole(arguments) else CACHE / "results")
        return results.Journal.begin(folder / f"{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.jsonl", where)
    file = results.newest(arguments.results or results.FOLDER)
    if file is None or arguments.quick or arguments.statements:
        raise ValueError("--add adds cells of full length to an earlier run" + ("" if file else ", and there is none"))
    return results.Journal.reopen(file, where)


def _is_whole(arguments: argparse.Namespace) -> bool:
    """Tell whether the run is one for the page: everything, at full length, with nothing that takes time of its own."""
    everything = {*arguments.systems} == {*CONTENDERS} and {*arguments.measures} == {*MEASURES}
    return everything and not arguments.quick and not arguments.statements


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--systems", type=_systems, default=list(CONTENDERS), help=f"some of {', '.join(CONTENDERS)}; without it all"
    )
    parser.add_argument(
        "--measures",
        type=_measures,
        default=list(MEASURES),
        help=f"some of {', '.join(MEASURES)}, or the beginnings of several, such as drain; without it all",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each cell is measured; without it 3")
    parser.add_argument("--held-rounds", type=int, default=1, help="the same for those that take minutes; without it 1")
    parser.add_argument(
        "--patience", type=float, default=0.0, help="seconds that a cell waits for others to leave the CPU alone; none"
    )
    parser.add_argument("--quick", action="store_true", help="tiny counts: shows that it works, and measures nothing")
    parser.add_argument(
        "--statements",
        action="store_true",
        help="show each cell's longest statements, by pg_stat_statements; costs time",
    )
    parser.add_argument(
        "--add",
        action="store_true",
        help="add these cells to the last run of everything, as further rounds, and write the page again",
    )
    parser.add_argument(
        "--results", type=Path, help="folder for the results; without it that of the repository, of a run of everything"
    )
    parser.add_argument("--output", type=Path, help="the page; without it docs/benchmarks.md, of a run of everything")
    parser.add_argument(
        "--render",
        nargs="?",
        const="",
        metavar="FILE",
        help="write the page again, of the last results in the repository",
    )
    return parser


def _systems(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in CONTENDERS]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: the systems are {', '.join(CONTENDERS)}")
    return [name for name in CONTENDERS if name in names]


def _measures(text: str) -> list[str]:
    wanted: set[str] = set()
    for name in text.split(","):
        found = {name} if name in MEASURES else {known for known in MEASURES if known.startswith(f"{name}-")}
        if not found:
            raise argparse.ArgumentTypeError(f"{name}: the measures are {', '.join(MEASURES)}")
        wanted |= found
    return [name for name in MEASURES if name in wanted]


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # after its servers, as with Ctrl-C
    main()
