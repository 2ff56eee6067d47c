"""`python -m tests.chaos`: plays the scenarios at their full length, prints the table, writes docs/reliability.md."""

from __future__ import annotations

import argparse
import os
import secrets
import signal
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

import psycopg
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade
from tests.chaos.journal import Journal
from tests.chaos.report import plain, terminal_table, write_page
from tests.chaos.scenario import every_scenario
from tests.chaos.stage import Check, Findings, play
from tests.hands import rows

if TYPE_CHECKING:
    from tests.chaos.scenario import Scenario


def main() -> int:
    """Play what the command line asks for; return 0 if every target was met."""
    asked = _arguments()
    chosen = [each for each in every_scenario() if not asked.only or each.number in asked.only]
    if not chosen:
        sys.exit(f"no such scenario: there are {', '.join(str(each.number) for each in every_scenario())}")
    seed = secrets.randbelow(1_000_000) if asked.seed is None else asked.seed
    journal = None if asked.only or asked.reduced else _journal(seed, resume=asked.resume or asked.again)
    if journal is not None:
        seed, chosen = journal.seed, journal.remaining(again=asked.again)
    console = Console()
    console.print(f"seed {seed}, load average {os.getloadavg()[0]:.1f}, {len(chosen)} scenarios")
    found = []
    with _server() as server:
        version = str(rows(server.url, "SHOW server_version")[0][0])
        for each in chosen:
            found.append(_play(each, server, console, seed=seed, full=not asked.reduced))
            if journal is not None:
                journal.add(found[-1])
    if journal is not None:
        found = journal.everything()
        write_page(found, journal.before, seed=seed, server=version, load=journal.load)
    console.print(terminal_table(found))
    return 0 if all(findings.met for findings in found) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--only", type=_numbers, default=(), metavar="1,5", help="play these; the page is not written")
    parser.add_argument("--seed", type=int, help="repeat the choices of a run")
    parser.add_argument("--resume", action="store_true", help="go on with the last whole run where it was interrupted")
    parser.add_argument("--again", action="store_true", help="go on so, and play again what missed: the page says it")
    parser.add_argument("--reduced", action="store_true", help="as every test run does it; the page is not written")
    return parser.parse_args()


def _journal(seed: int, *, resume: bool) -> Journal:
    try:
        return Journal.resume() if resume else Journal.begin(seed)
    except FileNotFoundError as error:
        sys.exit(str(error))


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def _server() -> _Server:
    return _Server()


class _Server(ExitStack):
    """One durable server for all scenarios that do not kill theirs, with a migrated template."""

    def __enter__(self) -> Self:
        self._postgres = self.enter_context(LocalPostgres())
        self._run("CREATE DATABASE template_outbox")
        upgrade(self._postgres.url_of("template_outbox"))
        return self

    @property
    def url(self) -> str:
        return self._postgres.url

    def make(self, name: str) -> str:
        self._run(f"CREATE DATABASE {name} TEMPLATE template_outbox")
        return self._postgres.url_of(name)

    def drop(self, name: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, sql: str) -> None:
        with psycopg.connect(self._postgres.url, autocommit=True) as conn:
            conn.execute(sql.encode())


def _play(scenario: Scenario, server: _Server, console: Console, *, seed: int, full: bool) -> Findings:
    name = f"scenario_{scenario.number}"
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(str(scenario))
        url = None if scenario.own_cluster else server.make(name)
        try:
            findings = play(
                scenario,
                seed=seed,
                full=full,
                url=url,
                tell=lambda words: progress.update(task, description=f"{scenario}: {words}"),
            )
        except Exception as error:  # noqa: BLE001 - the others are still of interest
            console.print_exception()
            console.print(*getattr(error, "__notes__", ()))
            findings = Findings(scenario, seed, [Check("comes to its end", "yes", type(error).__name__, met=False)])
        finally:
            if url is not None:
                server.drop(name)
    console.print(plain(findings, full=full), f"in {findings.took:.0f} s", style=None if findings.met else "red")
    return findings


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # after its servers, as with Ctrl-C
    sys.exit(main())
