"""Any order of transitions on a real PostgreSQL does what the model says, and breaks no promise.

`OUTBOX_STATE_MACHINE_STEPS` says how many steps to take, in runs of 50. A run that fails is cut down to the shortest
that does, and told with the line that repeats it.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine import Machine
from tests.model.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

STEPS = int(os.environ.get("OUTBOX_STATE_MACHINE_STEPS", "20000"))
STEPS_OF_A_RUN = 50


@pytest.fixture
def engine(cloned_url: str) -> Iterator[Engine]:
    with asyncio.Runner() as runner:
        engine = Engine(cloned_url, runner)
        yield engine
        engine.close()


@pytest.mark.timeout(0 if STEPS > 50_000 else 600)
def test_any_order_of_transitions_keeps_every_promise(engine: Engine) -> None:
    class OnThisDatabase(Machine):
        pass

    OnThisDatabase.engine = engine
    long = settings(
        max_examples=max(STEPS // STEPS_OF_A_RUN, 1),
        stateful_step_count=STEPS_OF_A_RUN,
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(OnThisDatabase, settings=long)
    assert OnThisDatabase.steps > STEPS // 2
