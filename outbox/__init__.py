"""outbox: notifications that commit with your transaction, delivered from PostgreSQL alone.

`enqueue`, `enqueue_many` or `enqueue_select` inside your transaction (with an a before it where that is asynchronous);
`cancel` to take one back; a worker, `outbox worker --channel email`, delivers them. A provider of your own raises the
six delivery errors.
"""

from outbox.errors import (
    Ambiguous,
    ConfigError,
    DeliveryError,
    IdempotencyConflict,
    InvalidFanOut,
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
    UnknownFanOut,
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
    InApp,
    Notification,
    Push,
    Receipt,
    Selected,
    Sms,
    Webhook,
)
from outbox.queue.cancel import acancel, cancel
from outbox.queue.enqueue import aenqueue, enqueue
from outbox.queue.enqueue_many import aenqueue_many, enqueue_many
from outbox.queue.enqueue_select import aenqueue_select, enqueue_select
from outbox.queue.erase import aerase, erase

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
    "IdempotencyConflict",
    "InApp",
    "InvalidFanOut",
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
    "cancel",
    "enqueue",
    "enqueue_many",
    "enqueue_select",
    "erase",
]
