"""Who is contacted, about what: topics, what people want of them, and who must not be contacted at all."""

from __future__ import annotations

from sqlalchemy import Boolean, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, INTERVAL

from outbox.schema.columns import MOMENT, NOW, key, may, metadata, need

suppressions = Table(
    "suppressions",
    metadata,
    need("created_at", MOMENT, "Since when", server_default=NOW),
    may("until", MOMENT, "Until when; empty means for good"),
    key("channel", Text, "The channel"),
    key("recipient", Text, "The address; lower case on the channel email"),
    key("topic", Text, "Only this topic; empty means every topic", server_default=text("''::text")),
    key("sender", Text, "Only from this sender of ours; empty means from any", server_default=text("''::text")),
    need("reason", Text, "Why: stop, hard_bounce, complaint, manual, unsubscribed, or a word of your own"),
    need("source", Text, "Who said so, such as manual, smtp", server_default=text("'manual'::text")),
    comment="Who must not be contacted; looked up by the claim itself",
)

topics = Table(
    "topics",
    metadata,
    need("said_at", MOMENT, "When it was last said", server_default=NOW),
    need("transactional", Boolean, "Whether it is sent to people who have unsubscribed"),
    key("name", Text, "The topic, as notifications have it"),
    need(
        "opt_in",
        Boolean,
        "Whether it is sent to those alone who have said that they want it",
        server_default=text("false"),
    ),
    may("channels", ARRAY(Text), "The channels that it may be sent by; empty means any"),
    may(
        "delivery",
        Text,
        "at_least_once or at_most_once, where nobody can know whether it arrived; empty means as its channel",
    ),
    may("expires", INTERVAL, "How long after it is due it is worth sending, where an enqueue does not say"),
    may("escalation", ARRAY(Text), "In which ways somebody is told, one after another; empty where there is one way"),
    comment="The topics of [topics] in the configuration, as a worker said when it started, or outbox topic sync",
)

preferences = Table(
    "preferences",
    metadata,
    need("updated_at", MOMENT, "When they said so", server_default=NOW),
    need("wanted", Boolean, "Whether they want it"),
    key("channel", Text, "The channel"),
    key("recipient", Text, "The address; lower case on the channel email"),
    key("topic", Text, "The topic, as notifications have it"),
    need(
        "source",
        Text,
        "Who said so, such as person, or the form that they filled in",
        server_default=text("'person'::text"),
    ),
    comment="What somebody said that they want, or do not want; looked up by the claim itself",
)
