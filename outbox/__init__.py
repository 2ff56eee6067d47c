"""outbox: notifications that commit with your transaction, delivered from PostgreSQL alone.

`enqueue` (and `aenqueue`, `enqueue_many`, `aenqueue_many`) inside your transaction; `cancel` to take one back; a
worker, `outbox worker --channel email`, delivers them. A provider of your own raises the six delivery errors.
"""

from outbox.errors import (
    Ambiguous,
    ConfigError,
    DeliveryError,
    IdempotencyConflict,
    InvalidNotification,
    Misconfigured,
    NotInTransaction,
    NotMigrated,
    OutboxError,
    Rejected,
    Temporary,
    Throttled,
    Unreachable,
)
from outbox.messages import PRIORITIES, Cancelled, Email, Enqueued, Notification, Receipt
from outbox.queue.cancel import acancel, cancel
from outbox.queue.enqueue import aenqueue, aenqueue_many, enqueue, enqueue_many

__all__ = [
    "PRIORITIES",
    "Ambiguous",
    "Cancelled",
    "ConfigError",
    "DeliveryError",
    "Email",
    "Enqueued",
    "IdempotencyConflict",
    "InvalidNotification",
    "Misconfigured",
    "NotInTransaction",
    "NotMigrated",
    "Notification",
    "OutboxError",
    "Receipt",
    "Rejected",
    "Temporary",
    "Throttled",
    "Unreachable",
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "cancel",
    "enqueue",
    "enqueue_many",
]
