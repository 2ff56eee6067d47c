"""The tables of what a throttle lets through, and keeps back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, INTERVAL, UUID

from outbox.schema.columns import MOMENT, key, metadata, need

_NONE_YET = text("'{}'::timestamptz[]")
_NOBODY = text("'{}'::uuid[]")

throttles = Table(
    "throttles",
    metadata,
    need("look_at", MOMENT, "When a chore looks at it"),
    need("period", INTERVAL, "As configured: in any period of this length"),
    need("number", BigInteger, "As configured: so many"),
    need("sent_at", ARRAY(MOMENT), "When those were sent that still count", server_default=_NONE_YET),
    need("held_at", ARRAY(MOMENT), "When those that are under way were let through", server_default=_NONE_YET),
    need(
        "held",
        ARRAY(UUID),
        "Those that are under way, or have ended since somebody looked: each has its place",
        server_default=_NOBODY,
    ),
    need(
        "waiting",
        ARRAY(UUID),
        "Who waits for a place, in order: notifications, and digests that are open",
        server_default=_NOBODY,
    ),
    key("channel", Text, "The channel"),
    key("topic", Text, "The topic"),
    key("recipient", BYTEA, "SHA-256 of the recipient; of an email address in lower case"),
    Index("throttles_look_at", "look_at"),
    comment="What was sent to a recipient about a topic that has a throttle, and who waits for a place",
)

throttle_digests = Table(
    "throttle_digests",
    metadata,
    key("digest_id", UUID, "The notification that they went out in"),
    key("notification_id", UUID, "One of them"),
    Index("throttle_digests_notification", "notification_id"),
    comment="Which notifications went out together, because a throttle kept them back",
)
