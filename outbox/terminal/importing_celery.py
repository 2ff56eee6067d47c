"""`outbox import celery`: the tasks of a file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError
from outbox.importing import celery, task_list
from outbox.importing.mapping import strangers
from outbox.importing.source import CannotCarry, Standing
from outbox.importing.transfer import Tally
from outbox.terminal import import_report as report
from outbox.terminal.given import read_text
from outbox.terminal.import_sketch import write
from outbox.terminal.importing import mapping_of
from outbox.terminal.output import note
from outbox.terminal.progress import toward
from outbox.terminal.session import writing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.importing.mapping import Mapping as Rules


def run(url: str, given: dict[str, Any]) -> int:
    """Do what the command says.

    Raises:
        ConfigError: the file or the mapping is wrong; nothing was written.
    """
    file = given["file"]
    try:
        requests = task_list.read(read_text(file if file == "-" else f"@{file}"))
    except ValueError as error:
        raise ConfigError([f"{'standard input' if file == '-' else file}: {error}"]) from None
    standings, keyed = _standings(requests)
    if given["sketch"]:
        write((each.task, each.count, keyed[each.task]) for each in standings)
        return 0
    rules = mapping_of(given, needed=True)
    for sentence in strangers(rules, {each.task for each in standings}):
        note(sentence)
    found = report.Found("celery", standings, Tally(), (), ())
    if given["dry_run"]:
        _foresee(requests, rules, found.tally)
        report.foretell(found, as_json=given["json"])
    else:
        _enqueue(url, requests, rules, found.tally, given["chunk"])
        report.tell(found, as_json=given["json"])
    return found.exit_code


def _foresee(requests: Sequence[Mapping[str, Any]], rules: Rules, tally: Tally) -> None:
    for task, each in task_list.translated(iter(requests), rules, tally):
        tally.imported[task.name] += 1
        tally.samples.setdefault(task.name, each)


def _enqueue(url: str, requests: Sequence[Mapping[str, Any]], rules: Rules, tally: Tally, chunk: int) -> None:
    with writing(url) as here, toward("importing") as tell:
        found = task_list.translated(iter(requests), rules, tally)
        while task_list.transfer(found, here, chunk, tally):
            tell(tally.looked_at, len(requests))


def _standings(requests: Sequence[Mapping[str, Any]]) -> tuple[list[Standing], dict[str, list[str]]]:
    """Return how many there are of each task, and the names of its arguments."""
    counts: Counter[tuple[str, str]] = Counter()
    keyed: dict[str, list[str]] = {}
    for request in requests:
        try:
            task = celery.task(request)
        except CannotCarry:
            counts[task_list.UNNAMED, ""] += 1
            keyed.setdefault(task_list.UNNAMED, [])
        else:
            counts[task.name, task.queue] += 1
            positional = [f"(number {number})" for number, _ in enumerate(task.positional, 1)]
            keyed.setdefault(task.name, [*positional, *sorted(task.body if isinstance(task.body, dict) else ())])
    return [Standing(task, queue, "waiting", count) for (task, queue), count in counts.items()], keyed
