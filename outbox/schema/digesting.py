"""The tables of what is gathered, to become one notification."""

from __future__ import annotations

from sqlalchemy import BigInteger, Identity, Index, SmallInteger, Table, Text, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from outbox.schema.columns import MOMENT, NOW, key, may, metadata, need

digests = Table(
    "digests",
    metadata,
    key("id", UUID, "The id that the notification will have", server_default=text("outbox.uuid7()")),
    need("opened_at", MOMENT, "When the first came", server_default=NOW),
    need("closes_at", MOMENT, "When it closes, or a few seconds later"),
    need("items", BigInteger, "How many have come", server_default=text("1")),
    need("bytes", BigInteger, "How long their payloads are together"),
    need("priority", SmallInteger, "The most urgent of those that came"),
    need("channel", Text, "As the first was enqueued, like all that follows"),
    need("recipient", Text, "One address, number, token or URL"),
    need("key", Text, "What belongs together, for this recipient on this channel"),
    may("template", Text, "The template to render"),
    may("locale", Text, "The language to render in"),
    may("topic", Text, "What it is about"),
    may("group_key", Text, "What it belongs to"),
    may("ordering_key", Text, "Which line it will stand in"),
    may("headers", JSONB, "Headers of the message"),
    may("time_zone", Text, "Where the recipient lives"),
    may("expires_at", MOMENT, "When the last of them expires; empty where one of them does not"),
    UniqueConstraint("channel", "recipient", "key", name="digests_one_window_a_key"),
    Index("digests_closing", "closes_at"),
    Index("digests_group_key", "group_key", postgresql_where=text("group_key IS NOT NULL")),
    comment="Windows that are open: each becomes one notification when it closes",
)

digest_items = Table(
    "digest_items",
    metadata,
    key("digest_id", UUID, "In which"),
    key("position", BigInteger, "In which order", server_default=Identity(always=True)),
    need("payload", JSONB, "As enqueued"),
    comment="The payloads that wait in a window",
)
