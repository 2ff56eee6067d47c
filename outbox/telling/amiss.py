"""What is amiss with the whole, as warnings: each says what, and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.errors import clean
from outbox.telling.pauses import sentence
from outbox.telling.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outbox.queue.inspect import Channel, FailingSchedule, Strays
    from outbox.queue.paused import Pause

_QUOTED = 200


def warnings_of(
    channels: Sequence[Channel], failing: Sequence[FailingSchedule], strays: Strays, pauses: Sequence[Pause]
) -> list[str]:
    """Return what somebody should see to, after what somebody has done."""
    return [*map(sentence, pauses), *_unserved(channels), *_failing(failing), *_astray(strays)]


def _unserved(channels: Sequence[Channel]) -> Iterator[str]:
    for channel in channels:
        if channel.due and not channel.workers:
            yield (
                f"{channel.due:,} due on {channel.channel}, and no live worker serves it; "
                f"start one: outbox worker --channel {channel.channel}"
            )


def _failing(schedules: Sequence[FailingSchedule]) -> Iterator[str]:
    for schedule in schedules:
        times = "failed" if schedule.failures == 1 else f"failed {schedule.failures:,} times in a row"
        why = clean(schedule.problem, _QUOTED)
        yield f"the schedule {schedule.name} {times}: {why}; outbox schedule show {schedule.name}"


def _astray(strays: Strays) -> Iterator[str]:
    if strays.notifications or strays.attempts:
        rows = f"{counted(strays.notifications, 'notification')} and {counted(strays.attempts, 'attempt')}"
        yield (
            f"in the DEFAULT partitions: {rows}, because no partition of their day was made in time. They are served "
            "all the same, but cannot be dropped by the day; let a worker or `outbox migrate` run once in a fortnight"
        )
