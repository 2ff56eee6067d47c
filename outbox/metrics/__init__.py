"""Prometheus metrics of workers: counted from the engine's events, served on a port of their own."""

from outbox.metrics.counts import Counts
from outbox.metrics.known import Known
from outbox.metrics.members import Members, answer
from outbox.metrics.page import serve

__all__ = ["Counts", "Known", "Members", "answer", "serve"]
