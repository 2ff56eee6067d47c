"""sample: a worker adds what it did in the minute that is over to the history of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

# The minute that is over: whoever adds to it does so soon after. Histograms are added up number by number.
ADD = """
INSERT INTO outbox.samples AS s (at, channel, provider, sent, failed, retried, dead, untried, delivery)
SELECT date_trunc('minute', clock_timestamp() - interval '30 seconds'), e.channel, e.provider, e.sent, e.failed,
       e.retried, e.dead, e.untried, e.delivery::bigint[]
FROM unnest(%(channel)s::text[], %(provider)s::text[], %(sent)s::bigint[], %(failed)s::bigint[], %(retried)s::bigint[],
            %(dead)s::bigint[], %(untried)s::bigint[], %(delivery)s::text[])
     AS e (channel, provider, sent, failed, retried, dead, untried, delivery)
ORDER BY e.channel, e.provider
ON CONFLICT (at, channel, provider) DO UPDATE
SET sent = s.sent + excluded.sent, failed = s.failed + excluded.failed, retried = s.retried + excluded.retried,
    dead = s.dead + excluded.dead, untried = s.untried + excluded.untried,
    delivery = ARRAY(
        SELECT coalesce(n.one, 0) + coalesce(n.other, 0)
        FROM unnest(s.delivery, excluded.delivery) WITH ORDINALITY AS n (one, other, place)
        ORDER BY n.place)
"""


COUNTED = ("sent", "failed", "retried", "dead", "untried")


class Sample(NamedTuple):
    """What one worker did on one channel through one provider; `provider` is empty where none was asked."""

    channel: str
    provider: str
    sent: int
    failed: int
    retried: int
    dead: int
    untried: int
    delivery: Sequence[int]
    """How long deliveries took, as in `outbox.latencies`."""


def add(conn: Connection[Any], samples: Sequence[Sample]) -> None:
    """Add what was counted to the minute that is over."""
    columns: dict[str, list[Any]] = {
        name: [getattr(each, name) for each in samples] for name in ("channel", "provider", *COUNTED)
    }
    columns["delivery"] = [f"{{{','.join(map(str, each.delivery))}}}" for each in samples]
    conn.execute(ADD, columns)
