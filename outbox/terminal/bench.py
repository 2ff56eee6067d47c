"""`outbox bench` as people see it: told and, on other machines, asked before; a bar while it runs; then the report."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from outbox import durations
from outbox.bench.course import measure
from outbox.bench.ground import ground_beside, ground_here
from outbox.bench.leftovers import clear
from outbox.bench.place import look_at, refuse
from outbox.bench.plan import Plan
from outbox.errors import ConfigError
from outbox.telling.words import age, size
from outbox.terminal.bench_progress import showing
from outbox.terminal.bench_report import document, print_report
from outbox.terminal.output import note, print_json, warn_aside
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractContextManager

    from outbox.bench.place import Place
    from outbox.config import Config

_INTERRUPTED = 128 + signal.SIGINT
_RATE = 100.0
_LONGEST = 3_600.0  # seconds that a provider may take for one


def run(config: Config, options: Mapping[str, Any]) -> int:
    """Measure, and print what was found; returns the exit code: 0, 1 if nobody agreed, 130 if it was interrupted.

    Raises:
        ConfigError: a value will not do, or nobody can be asked.
        OutboxError: it could not be measured.
        psycopg.Error: the server cannot be reached, or refuses.
    """
    plan, url = _plan(config, options), config.database_url
    for number in (signal.SIGTERM, signal.SIGHUP):  # the second, when the terminal is closed
        signal.signal(number, _leave)
    try:
        place = look_at(url)
        refuse(place, plan, here=options["here"])
        _announce(place, plan, here=options["here"])
        if not (place.is_near or options["sure"] or _agreed(place)):
            return FAILED
        if not options["here"]:
            _clear(url)
        ground: AbstractContextManager[str] = ground_here(url) if options["here"] else ground_beside(url, place)
        with showing(plan) as tell:
            tell("make the database")
            with ground as bench_url:
                measured = measure(bench_url, plan, place, tell)
    except KeyboardInterrupt:
        complain("interrupted; its processes and what it made in the database are gone")
        return _INTERRUPTED
    if options["json"]:
        print_json(document(measured, plan))
    else:
        print_report(measured)
    return 0


def _plan(config: Config, options: Mapping[str, Any]) -> Plan:
    try:
        provider = durations.parse(options["provider"])
    except ValueError as error:
        raise ConfigError([f"--provider: {error}"]) from None
    if provider > _LONGEST:
        raise ConfigError(["--provider: for one notification, an hour is the longest"])
    return Plan(
        seconds=options["seconds"],
        notifications=options["notifications"],
        clients=options["clients"],
        rounds=options["rounds"],
        rate=_RATE,
        concurrency=options["concurrency"] or config.worker.concurrency,
        provider=provider,
    )


def _announce(place: Place, plan: Plan, *, here: bool) -> None:
    where = "this machine" if place.is_near else place.host
    what = (
        f"in the database {place.database}, which has to be empty and will be so again"
        if here
        else f"in a database of its own, which is dropped at the end; {place.database} stays as it is"
    )
    note(f"measures PostgreSQL {place.version} on {where} for about {age(plan.duration)}, {what}")
    note(
        f"up to {plan.connections} connections, about {size(plan.wal)} of WAL and {size(plan.tables)} of disk; "
        "whatever else the server does meanwhile becomes slower"
    )


def _agreed(place: Place) -> bool:
    if not sys.stdin.isatty():
        raise ConfigError([f"{place.host} is another machine, and there is nobody to ask: add --yes"])
    return typer.confirm(f"Keep the server on {place.host} busy for so long?", err=True)


def _clear(url: str) -> None:
    for each in clear(url):
        if each.dropped:
            note(f"dropped the database {each.name}: it {each.about}")
        else:
            warn_aside(f"the database {each.name} {each.about}; to be rid of it: {each.remedy}")


def _leave(number: int, _: object) -> NoReturn:
    """End as after an exception, so that everything is cleaned up."""
    raise SystemExit(128 + number)
