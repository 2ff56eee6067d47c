"""Whether a worker lives and is ready, for whoever starts it again: `GET /live` and `GET /ready`."""

from outbox.health.household import QUESTION, Household, teller
from outbox.health.page import pages

__all__ = ["QUESTION", "Household", "pages", "teller"]
