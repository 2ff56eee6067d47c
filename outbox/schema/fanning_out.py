"""The table of what is enqueued from a query in chunks."""

from __future__ import annotations

from sqlalchemy import BigInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import UUID

from outbox.schema.columns import MOMENT, NOW, ZERO, key, may, metadata, need

fan_outs = Table(
    "fan_outs",
    metadata,
    need("started_at", MOMENT, "When its first chunk was enqueued", server_default=NOW),
    need("advanced_at", MOMENT, "When its last chunk was enqueued", server_default=NOW),
    may("finished_at", MOMENT, "When it was through; empty while it is not"),
    need("expected", BigInteger, "How many rows there will be, as far as is known", server_default=ZERO),
    need("selected", BigInteger, "Rows that were gone through: the sum of the next six", server_default=ZERO),
    need("enqueued", BigInteger, "Rows that became notifications", server_default=ZERO),
    need("suppressed", BigInteger, "Rows whose recipient must not be contacted", server_default=ZERO),
    need("unwanted", BigInteger, "Rows whose recipient does not want the topic", server_default=ZERO),
    need("duplicates", BigInteger, "Rows for a recipient who had one already", server_default=ZERO),
    need("existing", BigInteger, "Rows whose idempotency key had been used before", server_default=ZERO),
    need("invalid", BigInteger, "Rows that could be no notification, and were skipped", server_default=ZERO),
    need(
        "last",
        UUID,
        "The place of the last row gone through: a digest, in whose order they come",
        server_default=text("'00000000-0000-0000-0000-000000000000'::uuid"),
    ),
    key("name", Text, "Its name: one name, one fan-out"),
    need(
        "content",
        Text,
        "A digest of the query and of all that is the same for each: nothing else can go on under the name",
    ),
    comment="What is enqueued from a query in chunks, once: how far each has come",
)
