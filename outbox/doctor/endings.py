"""endings: dead letters, and how fast they grow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, either, ok
from outbox.errors import clean
from outbox.queue.leaps import WITH_OPEN_LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

# By the index of the open ones, channel by channel, and no further than a few thousand.
_DEAD = f"""
WITH RECURSIVE {WITH_OPEN_LETTERS}
SELECT c.channel, recent.dead, recent.reason, recent.code, before.dead AS before
FROM channels c
CROSS JOIN LATERAL (
    SELECT count(*) AS dead, mode() WITHIN GROUP (ORDER BY few.reason) AS reason,
           mode() WITHIN GROUP (ORDER BY few.error_code) AS code
    FROM (SELECT d.reason, d.error_code FROM outbox.dead_letters d
          WHERE d.resolution IS NULL AND d.channel = c.channel AND d.died_at > clock_timestamp() - interval '1 hour'
          LIMIT %(most)s) few
) recent
CROSS JOIN LATERAL (
    SELECT count(*) AS dead
    FROM (SELECT FROM outbox.dead_letters d
          WHERE d.resolution IS NULL AND d.channel = c.channel
            AND d.died_at > clock_timestamp() - interval '2 hours'
            AND d.died_at <= clock_timestamp() - interval '1 hour'
          LIMIT %(most)s) few
) before
WHERE c.channel IS NOT NULL
ORDER BY c.channel
"""  # noqa: S608 - of constants
_MOST = 5_000
_SOME, _MANY = 10, 1_000


def look_at_dead_letters(patient: Patient) -> Iterator[Finding]:
    """Compare how many have died in the last hour with the hour before."""
    growing = False
    for dead in patient.ask(_DEAD, most=_MOST):
        if dead.dead >= _SOME and dead.dead > dead.before:
            growing = True
            number = f"{dead.dead:,}{' or more' if dead.dead == _MOST else ''}"
            why = f"{dead.reason}{f' ({clean(dead.code, 40)})' if dead.code else ''}"
            problem = (
                f"{number} on {dead.channel} died in the last hour, {dead.before:,} in the one before; mostly {why}"
            )
            remedy = f"outbox dead-letters list --channel {dead.channel} --since 1h"
            yield either(dead.dead >= _MANY, problem, remedy, channel=dead.channel, dead=dead.dead, before=dead.before)
    if not growing:
        yield ok("dead letters do not grow")


CHECKS = (
    Check(
        "dead-letters",
        "dead letters that grow: ten and more in the last hour, and more than in the one before",
        "people do not get what they should, and each retry has been used up",
        "`outbox dead-letters list`, then `replay` when the cause is mended",
        "dead letters do not grow",
        look_at_dead_letters,
    ),
)
