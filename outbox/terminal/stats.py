"""`outbox stats` as people see it: counts by outcome, failures, and how long it took."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg

from outbox.config.problems import nearest
from outbox.durations import describe, parse
from outbox.errors import ConfigError
from outbox.queue.stats import BY, stats
from outbox.terminal.output import Column, fits, print_blocks, print_json, print_table, say
from outbox.terminal.progress import waiting
from outbox.terminal.session import reading
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.queue.stats import Stats

_BARS = 12
_MEMORY = "128MB"  # to sort in what it took how long: a million are no reason to write files
# Joined day by day: or the notifications of all days are read to join the attempts of an hour. What is compiled for
# each of so many partitions is not worth it.
_SETTINGS = """
SELECT set_config('statement_timeout', %s, true), set_config('work_mem', %s, true),
       set_config('enable_partitionwise_join', 'on', true), set_config('jit', 'off', true)
"""
_PARTS = " ▏▎▍▌▋▊▉"


def show(url: str, given: Mapping[str, Any]) -> int:
    """Print how the attempts of some time ended; 1 if that took too long to count.

    Raises:
        ConfigError: an argument was refused.
    """
    since, patience = _seconds("since", given["since"]), _seconds("timeout", given["timeout"])
    by = given["by"]
    if by not in BY:
        raise ConfigError([f"--by: {by!r} is nothing to count by; {nearest(by, BY)}"])
    try:
        with reading(url) as conn:
            conn.execute(_SETTINGS, [str(max(round(patience * 1000), 1)), _MEMORY])
            with waiting("counting attempts"):
                found = stats(conn, since=timedelta(seconds=since), by=by, channels=given["channel"] or ())
    except psycopg.errors.QueryCanceled:
        complain(
            f"it was cut after {describe(patience)}, and nothing is known: ask for less (--since 1h), "
            "or give it more time (--timeout 5m)"
        )
        return FAILED
    if given["json"]:
        print_json({"since_seconds": since, "by": by, "values": [_document(each) for each in found]})
    elif found:
        columns, rows = _columns(by), _rows(found)
        (print_table if fits(columns, rows) else print_blocks)(columns, rows)
    else:
        say(f"nothing ended in the last {describe(since)}")
    return 0


def _columns(by: str) -> list[Column]:
    numbers = ("sent", "retry", "dead", "other", "failed", "p50", "p95", "p99", "e2e p50", "e2e p95", "e2e p99")
    return [
        Column(by, "whole"),
        *(Column(title, "number") for title in ("attempts", *numbers)),
        Column("share", "whole"),
    ]


def _rows(found: Sequence[Stats]) -> list[list[str]]:
    most = max(_total(each) for each in found)
    return [
        [
            each.value or "-",
            f"{_total(each):,}",
            f"{each.sent:,}",
            f"{each.retry:,}",
            f"{each.dead:,}",
            f"{_total(each) - each.sent - each.retry - each.dead:,}",
            "-" if each.failure_ratio is None else f"{100 * each.failure_ratio:.1f}%",
            *_times(each.delivery),
            *_times(each.end_to_end),
            _bar(_total(each) / most),
        ]
        for each in found
    ]


def _total(each: Stats) -> int:
    others = each.deferred + each.suppressed + each.expired + each.cancelled
    return each.sent + each.failed + others


def _times(percentiles: tuple[float, float, float] | None) -> list[str]:
    return ["-"] * 3 if percentiles is None else [describe(seconds) for seconds in percentiles]


def _bar(share: float) -> str:
    """Return a bar in eighths of a character."""
    eighths = max(round(share * _BARS * 8), 1)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + _PARTS[rest].strip()


def _document(each: Stats) -> dict[str, Any]:
    names = ("sent", "retry", "dead", "ambiguous", "lost", "deferred", "suppressed", "expired", "cancelled")
    return {
        "value": each.value,
        **{name: getattr(each, name) for name in names},
        "failure_ratio": each.failure_ratio,
        "delivery_seconds": _named(each.delivery),
        "end_to_end_seconds": _named(each.end_to_end),
    }


def _named(percentiles: tuple[float, float, float] | None) -> dict[str, float] | None:
    return None if percentiles is None else dict(zip(("p50", "p95", "p99"), percentiles, strict=True))


def _seconds(option: str, text: str) -> float:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError([f"--{option}: {error}"]) from None
