"""outbox: notifications that commit with your transaction, delivered from PostgreSQL alone.

`enqueue` (and `aenqueue`, `enqueue_many`, `aenqueue_many`) inside your transaction; `cancel` to take one back,
`escalate` to tell one person in several ways; a worker, `outbox worker --channel email`, delivers them. A provider of
your own raises the six delivery errors.
"""

from outbox.errors import (
    Ambiguous,
    ConfigError,
    DeliveryError,
    IdempotencyConflict,
    InvalidNotification,
    InvalidSchedule,
    InvalidSuppression,
    Misconfigured,
    NotInTransaction,
    NotMigrated,
    NotSent,
    OutboxError,
    Rejected,
    Temporary,
    Throttled,
    UnknownSchedule,
    Unreachable,
    Unrecognised,
)
from outbox.messages import (
    PRIORITIES,
    Attachment,
    Cancelled,
    Chat,
    Email,
    Enqueued,
    Erased,
    Escalated,
    InApp,
    Notification,
    Push,
    Receipt,
    Sms,
    Webhook,
)
from outbox.queue.cancel import acancel, cancel
from outbox.queue.enqueue import aenqueue, enqueue
from outbox.queue.enqueue_many import aenqueue_many, enqueue_many
from outbox.queue.erase import aerase, erase
from outbox.queue.escalate import aescalate, escalate
from outbox.queue.mark_read import amark_read, mark_read

__all__ = [
    "PRIORITIES",
    "Ambiguous",
    "Attachment",
    "Cancelled",
    "Chat",
    "ConfigError",
    "DeliveryError",
    "Email",
    "Enqueued",
    "Erased",
    "Escalated",
    "IdempotencyConflict",
    "InApp",
    "InvalidNotification",
    "InvalidSchedule",
    "InvalidSuppression",
    "Misconfigured",
    "NotInTransaction",
    "NotMigrated",
    "NotSent",
    "Notification",
    "OutboxError",
    "Push",
    "Receipt",
    "Rejected",
    "Sms",
    "Temporary",
    "Throttled",
    "UnknownSchedule",
    "Unreachable",
    "Unrecognised",
    "Webhook",
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "aerase",
    "aescalate",
    "amark_read",
    "cancel",
    "enqueue",
    "enqueue_many",
    "erase",
    "escalate",
    "mark_read",
]
