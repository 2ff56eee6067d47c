"""The table of what could not be delivered."""

from __future__ import annotations

from sqlalchemy import Index, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from outbox.schema.columns import MOMENT, NOW, ZERO, key, may, metadata, need

dead_letters = Table(
    "dead_letters",
    metadata,
    key("notification_id", UUID, "The notification"),
    need("enqueued_at", MOMENT, "When it was enqueued"),
    need("died_at", MOMENT, "When it was given up", server_default=NOW),
    may("resolved_at", MOMENT, "When somebody replayed or discarded it"),
    need("attempts", SmallInteger, "Deliveries tried"),
    need("replays", SmallInteger, "How often it was replayed before", server_default=ZERO),
    need("priority", SmallInteger, "As enqueued"),
    need("channel", Text, "As enqueued"),
    need("recipient", Text, "As enqueued"),
    may("template", Text, "As enqueued"),
    may("locale", Text, "As enqueued"),
    need("payload", JSONB, "As enqueued"),
    may("headers", JSONB, "As enqueued"),
    may("topic", Text, "As enqueued"),
    may("group_key", Text, "As enqueued"),
    may("idempotency_key", Text, "As enqueued"),
    need("reason", Text, "Why it ended here: rejected, unreachable, exhausted, too_old, in_doubt or poison"),
    may("provider", Text, "The provider of the last attempt"),
    may("error_class", Text, "The last error's class"),
    may("error_code", Text, "The last error's code"),
    may("error", Text, "The last error's words"),
    may("resolution", Text, "replayed or discarded; empty while it is open"),
    may("ordering_key", Text, "As enqueued"),
    may("time_zone", Text, "As enqueued"),
    may("expires_at", MOMENT, "As enqueued"),
    may("unless_read", UUID, "As enqueued"),
    may("unless_sent", UUID, "As enqueued"),
    may(
        "replaced_by",
        UUID,
        "The notification that was enqueued in its place: edited, or because retention had dropped this one",
    ),
    may("discard_reason", Text, "Why it was discarded, in the words of who did it"),
    Index("dead_letters_open", "channel", "died_at", postgresql_where=text("resolution IS NULL")),
    Index("dead_letters_resolved", "resolved_at", postgresql_where=text("resolution IS NOT NULL")),
    Index("dead_letters_replaced_by", "replaced_by", postgresql_where=text("replaced_by IS NOT NULL")),
    comment="What could not be delivered, as self-contained copies, for a person to look at and to replay",
)
