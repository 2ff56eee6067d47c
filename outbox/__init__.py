"""outbox: notifications that commit with your transaction, delivered from PostgreSQL alone.

`enqueue` (and `aenqueue`, `enqueue_many`, `aenqueue_many`) inside your transaction; `cancel` to take one back; a
worker, `outbox worker --channel email`, delivers them.
"""

from outbox.errors import (
    ConfigError,
    IdempotencyConflict,
    InvalidNotification,
    NotInTransaction,
    NotMigrated,
    OutboxError,
)
from outbox.messages import PRIORITIES, Cancelled, Email, Enqueued, Notification, Receipt
from outbox.queue.cancel import acancel, cancel
from outbox.queue.enqueue import aenqueue, aenqueue_many, enqueue, enqueue_many

__all__ = [
    "PRIORITIES",
    "Cancelled",
    "ConfigError",
    "Email",
    "Enqueued",
    "IdempotencyConflict",
    "InvalidNotification",
    "NotInTransaction",
    "NotMigrated",
    "Notification",
    "OutboxError",
    "Receipt",
    "acancel",
    "aenqueue",
    "aenqueue_many",
    "cancel",
    "enqueue",
    "enqueue_many",
]
