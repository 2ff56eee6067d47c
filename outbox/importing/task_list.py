"""task_list: the tasks of a Celery file become notifications, in chunks, each once by its id."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from outbox.errors import InvalidNotification
from outbox.importing import celery
from outbox.importing.source import CannotCarry
from outbox.importing.task import Task, notification
from outbox.importing.transfer import be_patient, enqueue_new, find_known, key_of
from outbox.queue.draft import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from psycopg import Connection

    from outbox.importing.mapping import Mapping as Rules
    from outbox.importing.transfer import Tally

UNNAMED = "(unreadable)"
UNMAPPED = "the mapping does not have it"
LEFT = "the mapping leaves it"


def read(text: str) -> list[Mapping[str, Any]]:
    """Return all that stands for a task in a file.

    Raises:
        ValueError: some of it is not JSON, or something else; says in which line.
    """
    found: list[Mapping[str, Any]] = []
    for line, document in celery.documents(text):
        try:
            found.extend(celery.requests(document))
        except ValueError as error:
            raise ValueError(f"line {line}: {error}") from None
    return found


def translated(
    requests: Iterator[Mapping[str, Any]], rules: Rules, tally: Tally
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Yield each task with what it becomes; those that cannot become anything are counted."""
    for request in requests:
        name = UNNAMED
        try:
            task = celery.task(request)
            name = task.name
            if rules.queues is not None and task.queue not in rules.queues:
                continue
            given = _given(task, rules)
            Draft.of(given)
        except CannotCarry as error:
            tally.left[name, str(error)] += 1
        except InvalidNotification as error:
            tally.left[name, f"{error.field}: {error.problem}"] += 1
        else:
            yield task, given


def _given(task: Task, rules: Rules) -> dict[str, Any]:
    rule = rules.tasks.get(task.name)
    if rule is None or rule.leave:
        raise CannotCarry(LEFT if rule else UNMAPPED)
    # In which direction its numbers go depends on the broker, so they mean nothing that was not said.
    ours = rules.priorities.get(task.priority) if isinstance(task.priority, int) else None
    return notification(task._replace(priority=ours, key=rules.key("celery", task.id)), rule)


def transfer(found: Iterator[tuple[Task, dict[str, Any]]], here: Connection[Any], limit: int, tally: Tally) -> bool:
    """Enqueue the next tasks, of `limit` at most, and commit; return whether there were any."""
    chunk = list(islice(found, limit))
    every = [given for _, given in chunk]
    be_patient(here)
    created = enqueue_new(here, every, find_known(here, every))
    here.commit()
    for task, given in chunk:
        its = key_of(given)
        (tally.imported if its in created else tally.existing)[task.name] += 1
        created.discard(its)
    return bool(chunk)
