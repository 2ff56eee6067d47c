"""The tables of what was measured: how much waits, and how it went."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Double, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from outbox.schema.columns import MOMENT, NOW, ZERO, key, may, metadata, need

_NOBODY = text("''::text")

depths = Table(
    "depths",
    metadata,
    need("measured_at", MOMENT, "When that was", server_default=NOW),
    may("oldest_due_at", MOMENT, "Since when the oldest of those due had been due; empty when none was"),
    need("due", BigInteger, "To be sent now, those included whose worker vanished"),
    need("leased", BigInteger, "In a worker's hands"),
    need("scheduled", BigInteger, "For later, with no attempt used: not tried yet, or put off"),
    need("retrying", BigInteger, "For later, with some attempts used"),
    need("blocked", BigInteger, "Behind an earlier one with the same ordering key"),
    key("priority", SmallInteger, "The priority", autoincrement=False),
    need(
        "is_estimate",
        Boolean,
        "Whether there were too many to count, so that the five numbers are estimates",
        server_default=text("false"),
    ),
    key("channel", Text, "The channel"),
    comment="How much there was in the queue when it was measured last, a row a channel and priority",
)

gauges = Table(
    "gauges",
    metadata,
    need("measured_at", MOMENT, "When that was", server_default=NOW),
    need("value", Double, "How much"),
    key("name", Text, "Of what"),
    key("channel", Text, "On which channel; empty for what belongs to none", server_default=_NOBODY),
    comment="What else was measured last: dead letters that are open, dead tuples, partitions ahead, …",
)

samples = Table(
    "samples",
    metadata,
    key("at", MOMENT, "When the minute began"),
    need("sent", BigInteger, "Deliveries that were accepted", server_default=ZERO),
    need(
        "failed",
        BigInteger,
        "Deliveries that were tried, and not accepted as far as anybody knows: tried again, given up, or in doubt",
        server_default=ZERO,
    ),
    need("retried", BigInteger, "Those of them that are due again", server_default=ZERO),
    need("dead", BigInteger, "Notifications that were given up, tried or not", server_default=ZERO),
    need(
        "untried",
        BigInteger,
        "Claims that ended with nothing tried: deferred, suppressed, expired or cancelled",
        server_default=ZERO,
    ),
    may(
        "waiting",
        BigInteger,
        "How many were in nobody's hands, at the end of it; on the channel's own row alone, as are the next four",
    ),
    may("due", BigInteger, "How many of those were due"),
    may("leased", BigInteger, "How many were in a worker's hands"),
    may("dead_letters", BigInteger, "How many dead letters were open"),
    may("oldest_due_seconds", Double, "For how long the oldest of those due had been waiting; empty when none was"),
    key("channel", Text, "The channel"),
    key(
        "provider",
        Text,
        "The provider that was asked; empty on the channel's own row, which has what no provider was asked for",
        server_default=_NOBODY,
    ),
    need(
        "delivery",
        ARRAY(BigInteger),
        "How many deliveries took how long: a histogram whose n-th number counts those of at most 2^((n-1)/2) ms",
        server_default=text("'{}'::bigint[]"),
    ),
    comment="How it went, a row a minute, channel and provider; kept for 14 days",
)
