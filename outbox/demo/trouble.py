"""What keeps the demo from going on."""

from __future__ import annotations

from outbox.errors import OutboxError


class DemoError(OutboxError):
    """The demo could not go on: the message says why, with what the process concerned had to say."""
