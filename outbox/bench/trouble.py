"""What keeps a measurement from being made."""

from __future__ import annotations

from outbox.errors import OutboxError


class BenchError(OutboxError):
    """It could not be measured: the message says why, and what would help."""
