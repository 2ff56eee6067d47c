"""The attempts of one notification, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.durations import describe
from outbox.telling.words import age
from outbox.terminal.output import Column, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.story import Attempt

_COLUMNS = (
    Column("claim", "number"),
    Column("ended", "whole"),
    Column("took", "number"),
    Column("outcome", "whole"),
    Column("provider", "whole"),
    Column("code", "whole"),
    Column("said", "cut"),
)
_SHOWN = 12


def print_attempts(attempts: Sequence[Attempt]) -> None:
    """Print the newest attempts, in order; what is older is only counted, so that a screen holds it."""
    if len(attempts) > _SHOWN:
        say(f"({len(attempts) - _SHOWN:,} earlier claims are not shown; --json has them all)", "dim")
    print_table(_COLUMNS, [_row(attempt) for attempt in attempts[-_SHOWN:]])


def _row(attempt: Attempt) -> list[str]:
    return [
        str(attempt.claim),
        f"{age(attempt.ago)} ago",
        "-" if attempt.took is None else describe(attempt.took),
        attempt.outcome,
        attempt.provider or "-",
        attempt.error_code or "-",
        ", ".join(filter(None, (attempt.provider_message_id, attempt.error))),
    ]


def attempt_document(attempt: Attempt) -> dict[str, Any]:
    """Return an attempt as it stands in JSON."""
    return {
        "claim": attempt.claim,
        "attempt": attempt.attempt,
        "outcome": attempt.outcome,
        "provider": attempt.provider,
        "provider_message_id": attempt.provider_message_id,
        "error_class": attempt.error_class,
        "error_code": attempt.error_code,
        "error": attempt.error,
        "worker": attempt.worker,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "took_seconds": attempt.took,
        "content_digest": attempt.content_digest,
        "template_digest": attempt.template_digest,
    }
