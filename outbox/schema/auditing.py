"""The table of what people do by hand."""

from __future__ import annotations

from sqlalchemy import BigInteger, Identity, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB

from outbox.schema.columns import EMPTY, MOMENT, NOW, key, may, metadata, need

audit = Table(
    "audit",
    metadata,
    key("id", BigInteger, "In the order in which it was written", server_default=Identity(always=True)),
    need("at", MOMENT, "When", server_default=NOW),
    need("actor", Text, "Who, as the program knows them: who is signed in to the dashboard, or to the machine"),
    need("login", Text, "The login of the database that it was done with", server_default=text("SESSION_USER")),
    need("action", Text, "What was done, as the command is called: pause, resume, replay, discard, …"),
    need("subject", Text, "What it was done to: channel:email, provider:relay, an id, a filter"),
    may("reason", Text, "Why, in their words"),
    need("details", JSONB, "Counts and settings", server_default=EMPTY),
    Index("audit_of_subject", "subject", "id"),
    comment="What people did by hand: who, when, what to, and why. Nothing of a message or of whom it was for",
)
