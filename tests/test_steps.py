"""The hot path stays short: what a worker does for every notification is counted, not timed."""

from __future__ import annotations

import pytest
from psycopg import _queries

from benchmarks.steps import drained, ours
from outbox.queue.claim import CLAIM
from outbox.queue.renew import RENEW
from outbox.queue.settle import SETTLE_SENT, SETTLE_SENT_WITH_DIGESTS

COUNT = 1_000
# 1,000 on Python 3.11, its start included; `python -m benchmarks.steps` tells where. Twenty small conditions, one
# for each feature, once made a fifth of the throughput of it: whoever needs more has a reason, and says it here.
MOST = 1_050


async def test_a_worker_takes_so_many_steps_for_a_notification_and_no_more(cloned_url: str) -> None:
    steps = await drained(cloned_url, COUNT)
    taken = ours(steps) / COUNT
    assert 400 < taken <= MOST, steps.most_common(20)


@pytest.mark.parametrize("statement", [CLAIM, RENEW, SETTLE_SENT, SETTLE_SENT_WITH_DIGESTS])
def test_psycopg_keeps_what_it_made_of_each_statement_that_a_worker_runs_all_the_time(statement: str) -> None:
    assert len(statement) <= _queries.MAX_CACHED_STATEMENT_LENGTH
