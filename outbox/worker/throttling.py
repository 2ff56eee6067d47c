"""throttling: what was just claimed and is over the throttle of its topic is put off, or ends, before it is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg

from outbox.durations import describe
from outbox.outcomes import Deferred, Failure, Surplus
from outbox.queue.admit import Asking, Verdict, admit
from outbox.retry import keep_back

if TYPE_CHECKING:
    from collections.abc import Iterable

    from outbox.config import TopicConfig
    from outbox.database import Link
    from outbox.lease import Lease
    from outbox.route import Route

_HELD_PAUSE = 3.0


async def throttle(link: Link, route: Route, leases: Iterable[Lease]) -> None:
    """Note on each of these leases that is over its topic's throttle what is to become of it."""
    if not route.throttles:
        return
    asking = {
        lease.claimed.id: (lease, rule)
        for lease in leases
        if (rule := route.throttles.get(lease.claimed.topic or "")) is not None
        and not lease.over_rate
        and lease.claimed.may_be_sent()
    }
    if not asking:
        return
    asked = [
        Asking(
            lease.claimed.id,
            str(lease.claimed.recipient),
            str(lease.claimed.topic),
            rule.throttle,
            defers=rule.throttle_policy == "defer",
        )
        for lease, rule in asking.values()
        if rule.throttle is not None
    ]
    try:
        verdicts = await link.run(lambda conn: admit(conn, asked, channel=route.channel), waits=False)
    except psycopg.errors.LockNotAvailable:
        verdicts = [Verdict(one.id, _HELD_PAUSE, None, None) for one in asked]
    for verdict in verdicts:
        _heed(verdict, *asking[verdict.id])


def _heed(verdict: Verdict, lease: Lease, rule: TopicConfig) -> None:
    claimed = lease.claimed
    if verdict.wait is None:
        # What it waited here counts for no limit: only what it has waited since for something else does.
        lease.claimed = claimed._replace(age=min(claimed.age, verdict.age or 0.0))
    elif verdict.in_line is None:
        words = f"somebody holds the throttle of {claimed.topic}: it is looked at again in {describe(verdict.wait)}"
        lease.kept_back = Deferred(failure=Failure("throttled", None, words), delay=verdict.wait)
    elif rule.throttle is not None:
        topic, template = claimed.topic or "", rule.throttle_template
        surplus = Surplus(topic, rule.throttle, rule.throttle_policy, verdict.wait, template)
        lease.kept_back = keep_back(surplus, expires_in=claimed.expires_in, in_line=verdict.in_line)
