"""What the three witnesses have on record: the application, the database, and the mail server."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from psycopg.rows import class_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from outbox.demo.ledger import Entry

_NOTIFICATIONS = """
SELECT s.id::text AS id, s.recipient, s.state,
       ARRAY(SELECT a.outcome FROM outbox.attempts a WHERE a.notification_id = s.id ORDER BY a.claim) AS outcomes,
       d.reason AS dead_reason, d.error_code AS dead_code
FROM outbox.status s
LEFT JOIN outbox.dead_letters d ON d.notification_id = s.id
"""


@dataclass
class Application:
    """What the clients know. Moments are in seconds since 1970, taken just before the COMMIT that counted."""

    committed: dict[str, float] = field(default_factory=dict)
    rolled_back: set[str] = field(default_factory=set)
    repeated_in_vain: set[str] = field(default_factory=set)
    """Signed up again after a COMMIT without an answer, which turned out to have counted: the key was refused."""
    repeated_anew: set[str] = field(default_factory=set)
    """Signed up again after a COMMIT without an answer, which turned out to be lost."""


@dataclass(frozen=True, slots=True)
class Notification:
    """What the database says about one notification: its state and the outcomes of its attempts, in order."""

    id: str
    recipient: str
    state: str
    outcomes: Sequence[str]
    dead_reason: str | None = None
    dead_code: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """The three testimonies."""

    application: Application
    users: frozenset[str]
    notifications: Sequence[Notification]
    ledger: Sequence[Entry]


def collect(conn: psycopg.Connection[Any], application: Application, ledger: Sequence[Entry]) -> Evidence:
    """Read the database's testimony, and put it beside the others'."""
    users = frozenset(row[0] for row in conn.execute("SELECT email FROM users"))
    with conn.cursor(row_factory=class_row(Notification)) as cursor:
        return Evidence(application, users, cursor.execute(_NOTIFICATIONS).fetchall(), ledger)
