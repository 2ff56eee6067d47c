"""What two processes have to do is shared between them: nobody keeps for later what another could send now."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain
from typing import TYPE_CHECKING

import pytest

from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SLOTS = 10

# When each send of a worker began and ended, in seconds.
Sends = list[tuple[float, float]]


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    """Two processes that are at work, and have nothing to do."""
    with Fleet(tmp_path, cloned_url, request.param) as made:
        made.start("--processes", "2", "--concurrency", str(SLOTS))
        wait_until(lambda: made.log().count(" serves email") == 2, timeout=30)
        asleep = "SELECT count(*) FROM outbox.workers WHERE idle = '{email}'"
        wait_until(lambda: rows(cloned_url, asleep) == [(2,)])
        yield made


def sends(url: str, count: int) -> list[Sends]:
    """Enqueue so many at once; return what each worker sent of them."""
    workers = [worker for (worker,) in rows(url, "SELECT id FROM outbox.workers")]
    enqueue(url, count)
    wait_until(lambda: rows(url, "SELECT count(*) FROM outbox.attempts") == [(count,)], timeout=60)
    found: dict[int, Sends] = defaultdict(list)
    sql = (
        "SELECT worker, date_part('epoch', started_at), date_part('epoch', finished_at) FROM outbox.attempts ORDER BY 2"
    )
    for worker, started, finished in rows(url, sql):
        found[worker].append((started, finished))
    return [found[worker] for worker in workers]


def longest_wait_beside_a_free_slot(workers: Sequence[Sends]) -> float:
    """How long some notification waited, at most, before its send began, while another process had a slot for it."""
    first = min(started for started, _ in chain(*workers))
    return max(
        started - max(first, _free_since(other, started))
        for worker in workers
        for other in workers
        if other is not worker
        for started, _ in worker
    )


def _free_since(worker: Sends, moment: float) -> float:
    """Since when the worker has had a free slot at that moment; the moment itself if it has none."""
    changes = sorted([(started, 1) for started, _ in worker] + [(finished, -1) for _, finished in worker])
    busy, since = 0, 0.0
    for at, change in changes:
        if at > moment:
            break
        if busy == SLOTS and change < 0:
            since = at
        busy += change
    return since if busy < SLOTS else moment


@pytest.mark.parametrize("fleet", [0.2], indirect=True)
@pytest.mark.usefixtures("fleet")
def test_a_hundred_that_take_a_while_are_shared_evenly(cloned_url: str) -> None:
    one, other = (len(sent) for sent in sends(cloned_url, 100))
    assert abs(one - other) <= 2 * SLOTS, "at most one turn of all slots apart"


@pytest.mark.parametrize("fleet", [1.0], indirect=True)
@pytest.mark.parametrize("count", [SLOTS + 2, 2 * SLOTS, 2 * SLOTS + 5])
@pytest.mark.usefixtures("fleet")
def test_nothing_waits_in_one_process_while_another_has_a_free_slot(cloned_url: str, count: int) -> None:
    assert longest_wait_beside_a_free_slot(sends(cloned_url, count)) < 0.5
