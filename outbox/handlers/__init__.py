"""Functions of yours as the ends of channels, so that any work is enqueued as a notification is."""

from outbox.handlers.declare import Handler, handler

__all__ = ["Handler", "handler"]
