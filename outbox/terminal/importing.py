"""`outbox import` from a source in PostgreSQL, as people see it: what would become of what waits there, or did."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.errors import ConfigError
from outbox.importing.mapping import Mapping, load, strangers
from outbox.importing.transfer import Tally, Transfer, be_patient, foresee
from outbox.terminal import import_report as report
from outbox.terminal.import_sketch import sketch
from outbox.terminal.output import note
from outbox.terminal.progress import toward
from outbox.terminal.session import watching, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg import Connection

    from outbox.importing.source import Source, Standing

    Maker = Callable[[Mapping], Source]

_LOOKED_AT = 2_000  # rows of a dry run at a time


def run(url: str, makers: Sequence[Maker], given: dict[str, Any]) -> int:
    """Do what one of the commands for a database says; `makers` make the source, for what waits and for what failed.

    Raises:
        ConfigError: the mapping or an option is wrong, or the source's tables are not there.
    """
    there = given["from_"] or url
    if given.get("sketch"):
        with watching(there) as conn, _tables_of(makers[0](Mapping()).name):
            return sketch(conn, makers[0])
    rules = mapping_of(given, needed="sketch" in given)
    sources = [make(rules) for make in makers]
    if rules.queues is not None and sources[0].name != "procrastinate":
        raise ConfigError([f"{given['map_']}: queues: {sources[0].name} has none"])
    if given["dry_run"]:
        with watching(there) as conn, _tables_of(sources[0].name):
            return _foretell(conn, sources, rules, given)
    return _move(url, sources, rules, given)


def mapping_of(given: dict[str, Any], *, needed: bool) -> Mapping:
    """Return the mapping that was given; an empty one for a dry run, or where none is needed.

    Raises:
        ConfigError: there are mistakes in it, or it is missing.
    """
    if given["map_"] is not None:
        return load(given["map_"])
    if needed and not given["dry_run"]:
        raise ConfigError(["--map: is needed, to say what becomes what; --sketch prints one to begin with"])
    return Mapping()


@contextmanager
def _tables_of(name: str) -> Iterator[None]:
    try:
        yield
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName) as error:
        problem = f"these are not the tables of {name}: {error.diag.message_primary}"
        raise ConfigError([f"{problem}; --schema and --from say where they are"]) from None


def _foretell(conn: Connection[Any], sources: Sequence[Source], rules: Mapping, given: dict[str, Any]) -> int:
    found = _found(conn, sources[0], rules, given)
    with toward("looking") as tell:
        for source in sources:
            cursor = foresee(source, conn, None, _LOOKED_AT, found.tally)
            while cursor:
                tell(found.tally.looked_at, _expected(found.standings, rules, given))
                cursor = foresee(source, conn, cursor, _LOOKED_AT, found.tally)
    _warn_of_strangers(rules, found.standings)
    report.foretell(found, as_json=given["json"])
    return found.exit_code


def _move(url: str, sources: Sequence[Source], rules: Mapping, given: dict[str, Any]) -> int:
    with writing(url) as here, _other(given["from_"], here) as there:
        for conn in (here, there):
            conn.isolation_level = psycopg.IsolationLevel.READ_COMMITTED  # a later statement sees what others did since
        be_patient(there)
        with _tables_of(sources[0].name):
            found = _found(there, sources[0], rules, given)
        there.rollback()
        _warn_of_strangers(rules, found.standings)
        try:
            with toward("importing") as tell:
                for source in sources:
                    transfer = Transfer(source, there, here, found.tally)
                    while transfer.step(given["chunk"]):
                        tell(found.tally.looked_at, _expected(found.standings, rules, given))
            be_patient(there)
            after = _found(there, sources[0], rules, given)
            found.standings, found.unmapped = after.standings, after.unmapped
        except KeyboardInterrupt:
            note("interrupted: the same command again goes on")
            raise
        finally:  # what was committed is told, whatever stopped the rest
            report.tell(found, as_json=given["json"])
    return found.exit_code


def _found(conn: Connection[Any], source: Source, rules: Mapping, given: dict[str, Any]) -> report.Found:
    standings = source.standings(conn)
    return report.Found(source.name, standings, Tally(), source.periodics(conn), _unmapped(standings, rules, given))


@contextmanager
def _other(url: str | None, here: Connection[Any]) -> Iterator[Connection[Any]]:
    """Connect to the source's database; where none is named, it is this one, and the connection as well."""
    if url is None:
        yield here
        return
    with writing(url) as there:
        yield there


def _warn_of_strangers(rules: Mapping, standings: Sequence[Standing]) -> None:
    for sentence in strangers(rules, {each.task for each in standings}):
        note(sentence)


def _expected(standings: Sequence[Standing], rules: Mapping, given: dict[str, Any]) -> int:
    states = {"waiting", "failed"} if given["failed"] else {"waiting"}
    unmapped = _unmapped(standings, rules, given)
    return sum(each.count for each in standings if each.state in states and each not in unmapped)


def _unmapped(standings: Sequence[Standing], rules: Mapping, given: dict[str, Any]) -> list[Standing]:
    """Return what waits and has no mapping; emails need none."""
    if "sketch" not in given:
        return []
    states = {"waiting", "failed"} if given["failed"] else {"waiting"}
    unmapped = [each for each in standings if each.state in states and each.task not in rules.tasks]
    return [each for each in unmapped if rules.queues is None or each.queue in rules.queues]
