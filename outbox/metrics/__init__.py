"""Prometheus metrics of workers: counted from the engine's events, served on a port of their own."""

from outbox.metrics.counts import Counts
from outbox.metrics.known import Known
from outbox.metrics.members import QUESTION, OfMembers, teller
from outbox.metrics.page import page

__all__ = ["QUESTION", "Counts", "Known", "OfMembers", "page", "teller"]
