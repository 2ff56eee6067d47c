"""outbox: notifications that commit with your transaction, delivered from PostgreSQL alone.

`enqueue`, `enqueue_many` or `enqueue_select` inside your transaction (with an a before it where that is asynchronous);
`cancel` to take one back, `escalate` to tell one person in several ways; a worker, `outbox worker --channel email`,
delivers them. A provider of your own raises the six delivery errors.
"""

from outbox.errors import (
    Ambiguous,
    ConfigError,
    DeliveryError,
    ExpiredToken,
    IdempotencyConflict,
    InvalidFanOut,
    InvalidNotification,
    InvalidPreference,
    InvalidSchedule,
    InvalidSuppression,
    InvalidToken,
    Misconfigured,
    NotInTransaction,
    NotMigrated,
    NotSent,
    OutboxError,
    Rejected,
    Temporary,
    Throttled,
    UnknownFanOut,
    UnknownSchedule,
    Unreachable,
    Unrecognised,
)
from outbox.handlers import Handler, handler
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
from outbox.queue.enqueue_select import aenqueue_select, enqueue_select
from outbox.queue.erase import aerase, erase
from outbox.queue.escalate import aescalate, escalate
from outbox.queue.mark_read import amark_read, mark_read
from outbox.queue.selection import Selected

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
    "ExpiredToken",
    "Handler",
    "IdempotencyConflict",
    "InApp",
    "InvalidFanOut",
    "InvalidNotification",
    "InvalidPreference",
    "InvalidSchedule",
    "InvalidSuppression",
    "InvalidToken",
    "Misconfigured",
    "NotInTransaction",
    "NotMigrated",
    "NotSent",
    "Notification",
    "OutboxError",
    "Push",
    "Receipt",
    "Rejected",
    "Selected",
    "Sms",
    "Temporary",
    "Throttled",
    "UnknownFanOut",
    "UnknownSchedule",
    "Unreachable",
    "Unrecognised",
    "Webhook",
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "aenqueue_select",
    "aerase",
    "aescalate",
    "amark_read",
    "cancel",
    "enqueue",
    "enqueue_many",
    "enqueue_select",
    "erase",
    "escalate",
    "handler",
    "mark_read",
]
