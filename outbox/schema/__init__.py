"""The tables as SQLAlchemy metadata: for Alembic's comparison, and for queries and ORM classes of applications.

The migrations are what creates the tables; a test holds the two equal. `outbox.schema.notifications` can be mapped:
`class Notification(Base): __table__ = outbox.schema.notifications` makes `session.add(Notification(…))` an enqueue.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Date, Double, Identity, Index, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, BYTEA, JSONB, TSTZMULTIRANGE, UUID

from outbox.schema.auditing import audit
from outbox.schema.columns import EMPTY as _EMPTY
from outbox.schema.columns import MOMENT as _MOMENT
from outbox.schema.columns import NOW as _NOW
from outbox.schema.columns import SCHEMA, metadata
from outbox.schema.columns import ZERO as _ZERO
from outbox.schema.columns import key as _key
from outbox.schema.columns import may as _may
from outbox.schema.columns import need as _need
from outbox.schema.consenting import preferences, suppressions, topics
from outbox.schema.digesting import digest_items, digests
from outbox.schema.fanning_out import fan_outs
from outbox.schema.giving_up import dead_letters
from outbox.schema.measuring import depths, gauges, samples
from outbox.schema.scheduling import schedule_runs, schedules
from outbox.schema.throttling import throttle_digests, throttles

__all__ = [
    "SCHEMA",
    "attempts",
    "audit",
    "chores",
    "dead_letters",
    "depths",
    "digest_items",
    "digests",
    "erased_keys",
    "erasures",
    "fan_outs",
    "gauges",
    "idempotency_keys",
    "inbox",
    "limits",
    "metadata",
    "notifications",
    "pauses",
    "preferences",
    "queue",
    "samples",
    "schedule_runs",
    "schedules",
    "suppressions",
    "throttle_digests",
    "throttles",
    "topics",
    "workers",
]

notifications = Table(
    "notifications",
    metadata,
    _key(
        "id",
        UUID,
        "UUIDv7: begins with the time of its making, which is also the partition it lies in",
        server_default=text("outbox.uuid7()"),
    ),
    _need("created_at", _MOMENT, "When it was enqueued, by the database's clock", server_default=_NOW),
    _need("run_at", _MOMENT, "Not to be sent before this moment", server_default=_NOW),
    _may("expires_at", _MOMENT, "Not to be sent after this moment: too late is worse than never"),
    _need("priority", SmallInteger, "0 first, 9 last: urgent 0, high 2, normal 5, bulk 8", server_default=text("5")),
    _need("channel", Text, "email, or a channel of your own"),
    _need("recipient", Text, "One address, number, token or URL: one row a recipient"),
    _may("template", Text, "The template to render; without one the payload is the message"),
    _may("locale", Text, "The language to render in, such as pt-BR"),
    _need("payload", JSONB, "The template's variables, or the message itself", server_default=_EMPTY),
    _may("headers", JSONB, "Headers of the message, such as List-Unsubscribe"),
    _may("topic", Text, "What it is about, for consent: people opt out of topics"),
    _may("group_key", Text, "What it belongs to, for cancelling together, such as order:42"),
    _may("idempotency_key", Text, "One key, one notification, a channel: see idempotency_keys"),
    _may(
        "ordering_key", Text, "Not claimed before the one enqueued before it with this key, on this channel, has ended"
    ),
    _may("time_zone", Text, "Where the recipient lives, such as Europe/Berlin: by whose clocks it may be sent"),
    _may("unless_read", UUID, "Not to be sent once the notification of this id was read"),
    _may("unless_sent", UUID, "Not to be sent if the notification of this id was sent, or taken back, by then"),
    _may("trace", Text, "The trace that it was enqueued in, as a traceparent (W3C Trace Context), if there was one"),
    Index("notifications_group_key", "group_key", postgresql_where=text("group_key IS NOT NULL")),
    postgresql_partition_by="RANGE (id)",
    comment="The outbox: what should be sent, one immutable row a notification. Any INSERT enqueues",
)

attempts = Table(
    "attempts",
    metadata,
    _key("notification_id", UUID, "The notification"),
    _key("claim", BigInteger, "Which claim of it this is the story of (1, 2, …); the fencing token"),
    _may("started_at", _MOMENT, "When the worker began to deliver; empty when it never said (lost, cancelled)"),
    _need("finished_at", _MOMENT, "When it ended", server_default=_NOW),
    _may("worker", BigInteger, "The worker, as in workers.id"),
    _need("attempt", SmallInteger, "Deliveries tried so far, this one included where it counts"),
    _need("outcome", Text, "sent, retry, dead, deferred, suppressed, expired, ambiguous, lost or cancelled"),
    _may("provider", Text, "The provider that was tried"),
    _may("provider_message_id", Text, "The provider's own id for the message"),
    _may("error_class", Text, "unreachable, rejected, misconfigured, throttled, temporary, unrecognised or ambiguous"),
    _may("error_code", Text, "The provider's code, such as 550 5.1.1"),
    _may("error", Text, "What the provider said, cleaned and capped"),
    _may("content_digest", BYTEA, "Digest of what the template said, as the provider was given it"),
    _may("template_digest", BYTEA, "Digest of the template and of all that it includes, as they were then"),
    Index("attempts_finished", "finished_at", postgresql_using="brin", postgresql_with={"autosummarize": "on"}),
    postgresql_partition_by="RANGE (notification_id)",
    comment="What happened: one row a claim that ended, append-only",
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    _need("notification_id", UUID, "The notification that the key stands for"),
    _need("created_at", _MOMENT, "When it was taken", server_default=_NOW),
    _key("channel", Text, "The channel"),
    _key("key", Text, "The caller's key"),
    _need("digest", BYTEA, "Digest of the content: the same key with another digest is refused"),
    comment="The unique constraint that makes enqueue idempotent; outlives the notification's partition",
)

queue = Table(
    "queue",
    metadata,
    _key("id", UUID, "The notification"),
    _need("run_at", _MOMENT, "When it is due; infinity while it is blocked by one ahead of it in its line"),
    _need("claim", BigInteger, "How often it was claimed: every write after a claim carries it", server_default=_ZERO),
    _may("worker", BigInteger, "The worker that holds it, as in workers.id; empty while it waits"),
    _need("priority", SmallInteger, "As enqueued"),
    _need("attempt", SmallInteger, "Deliveries tried", server_default=_ZERO),
    _need(
        "lost",
        SmallInteger,
        "Claims whose worker vanished: bounds a message that kills its worker",
        server_default=_ZERO,
    ),
    _need("channel", Text, "As enqueued"),
    _may("position", BigInteger, "The place in the line of its ordering key"),
    _may("ordering_key", Text, "As enqueued"),
    _may("leased_until", _MOMENT, "When the lease of the worker that holds it ends; empty while it waits"),
    _may("unless_read", UUID, "As enqueued"),
    Index("queue_due", "channel", "priority", "run_at"),
    Index("queue_ordering", "channel", "ordering_key", "position", postgresql_where=text("ordering_key IS NOT NULL")),
    Index(
        "queue_blocked",
        "channel",
        "ordering_key",
        "position",
        postgresql_where=text("run_at = 'infinity'::timestamptz"),
    ),
    Index("queue_unless_read", "unless_read", postgresql_where=text("unless_read IS NOT NULL")),
    comment="What remains to be done: narrow and hot, one row a notification that has not ended",
)

workers = Table(
    "workers",
    metadata,
    _key("id", BigInteger, "The worker", server_default=Identity(always=True), autoincrement=True),
    _need("started_at", _MOMENT, "When it started", server_default=_NOW),
    _need("seen_at", _MOMENT, "Its last heartbeat", server_default=_NOW),
    _need("pid", BigInteger, "Its process id on its host"),
    _need("host", Text, "Its host's name"),
    _need("version", Text, "Its version of outbox"),
    _need("channels", ARRAY(Text), "The channels it serves"),
    _need(
        "idle", ARRAY(Text), "Those on which it sleeps: an enqueue there notifies", server_default=text("'{}'::text[]")
    ),
    _need("providers", ARRAY(Text), "The providers it sends through", server_default=text("'{}'::text[]")),
    _may(
        "report",
        JSONB,
        "What it last told of itself: what is in hand, what it counted, which providers it holds; empty before it did",
    ),
    comment="One row a live worker",
)

inbox = Table(
    "inbox",
    metadata,
    _key("notification_id", UUID, "The notification"),
    _need("created_at", _MOMENT, "When it arrived", server_default=_NOW),
    _may("seen_at", _MOMENT, "When it was shown"),
    _may("read_at", _MOMENT, "When it was opened"),
    _may("archived_at", _MOMENT, "When it was put away"),
    _need("recipient", Text, "Whose inbox"),
    _need("title", Text, "Its title"),
    _need("body", Text, "Its text", server_default=text("''::text")),
    _need("data", JSONB, "Anything the application wants back", server_default=_EMPTY),
    _may("url", Text, "Where it leads"),
    _need("category", Text, "What kind it is, for the application", server_default=text("''::text")),
    Index("inbox_of_recipient", "recipient", text("created_at DESC"), text("notification_id DESC")),
    Index("inbox_unread", "recipient", postgresql_where=text("read_at IS NULL")),
    comment="In-app notifications, written in the transaction that settles them",
)

limits = Table(
    "limits",
    metadata,
    _need("refilled_at", _MOMENT, "When tokens was true", server_default=_NOW),
    _need("per_second", Double, "Tokens that flow in each second"),
    _need("burst", Double, "Tokens the bucket can hold"),
    _need("tokens", Double, "Tokens at refilled_at"),
    _key("scope", Text, "channel, provider or recipient"),
    _key("name", Text, "Which one"),
    comment="Token buckets shared by all workers",
)

pauses = Table(
    "pauses",
    metadata,
    _need("paused_at", _MOMENT, "Since when", server_default=_NOW),
    _may("until", _MOMENT, "Until when; empty means until somebody resumes it, which writes it down here"),
    _key("scope", Text, "channel or provider"),
    _key("name", Text, "Which one"),
    _may("reason", Text, "Why, in their words"),
    _need(
        "paused_by",
        Text,
        "Who, as the program knows them: who is signed in to the dashboard, or to the machine",
        server_default=text("SESSION_USER"),
    ),
    _need(
        "earlier",
        TSTZMULTIRANGE,
        "When it was paused before, in the ninety days before this pause began",
        server_default=text("'{}'::tstzmultirange"),
    ),
    comment="Channels and providers that are paused, and the last pause of those that were",
)

chores = Table(
    "chores",
    metadata,
    _need("due_at", _MOMENT, "When it is due next"),
    _may("done_at", _MOMENT, "When it was last done"),
    _need("failures", BigInteger, "How often in a row it has failed since then", server_default=_ZERO),
    _key("name", Text, "Which chore"),
    _may("done_by", Text, "The process that did it last, as host:pid"),
    _may("problem", Text, "Why it failed last; empty when it did not"),
    comment="What workers do now and then for all of them, one at a time: one row a chore that was ever tried",
)

erasures = Table(
    "erasures",
    metadata,
    _key("id", BigInteger, "In the order in which they were erased", server_default=Identity(always=True)),
    _need("erased_at", _MOMENT, "When they were erased", server_default=_NOW),
    _need("notifications", BigInteger, "How many"),
    _need("day", Date, "On which day (UTC) they were enqueued"),
    _need("channel", Text, "As enqueued"),
    _need("state", Text, "As in the view status, when they were erased; cancelled for what still waited"),
    comment="What remains of erased notifications: how many there were, by day, channel and state",
)

erased_keys = Table(
    "erased_keys",
    metadata,
    _need("created_at", _MOMENT, "When the key was taken"),
    _need("notification_id", UUID, "The notification that the key stood for"),
    _key("digest", BYTEA, "SHA-256 of channel:key"),
    comment="Digests of erased idempotency keys: they still refuse a second notification",
)
