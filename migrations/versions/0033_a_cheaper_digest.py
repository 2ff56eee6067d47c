"""What an idempotency key stands for is told by a hash of PostgreSQL's own, which costs half of a SHA-256.

Keys of earlier versions keep their digests, and are asked by them. A downgrade makes such digests of what is stored: a
key whose notification retention has dropped refuses everything then, the same content too, as does one that is taken by
a transaction that is under way.
"""

from __future__ import annotations

from pathlib import Path

from alembic import op

from outbox.amending import amendments

revision = "0033"
down_revision = "0032"

_SQL = Path(__file__).parent.parent / "sql"
_DIFFERS = ("k.digest <> outbox.digest(", "outbox.content_differs(k.digest, ")
_TAKEN_FOR_OTHER_CONTENT = """\
IF outbox.content_differs(taken.digest, NEW.recipient, NEW.template, NEW.locale, NEW.payload, NEW.headers, NEW.topic,
                             NEW.group_key)
       AND"""

# Of each function: what it said, and what it says now.
_CHANGES = {
    "enqueue": (_DIFFERS,),
    "enqueue_many": (_DIFFERS,),
    # A key that retention has dropped meanwhile stands for nothing, which is no answer either.
    "escalate": (
        ("k.digest IS DISTINCT FROM outbox.digest(", "false IS DISTINCT FROM outbox.content_differs(k.digest, "),
    ),
    "put_into_queue": (_DIFFERS, ("outbox.digest(f.", "outbox.content_hash(f.")),
    "take_idempotency_key": (
        ("content := outbox.digest(", "content := outbox.content_hash("),
        ("IF taken.digest <> content AND", _TAKEN_FOR_OTHER_CONTENT),
    ),
}


def upgrade() -> None:
    op.execute((_SQL / "0033" / "up.sql").read_text(encoding="utf-8"))
    for statement in amendments((_SQL / "amend.sql").read_text(encoding="utf-8"), _CHANGES):
        op.execute(statement)


def downgrade() -> None:
    for statement in amendments((_SQL / "amend.sql").read_text(encoding="utf-8"), _CHANGES, back=True):
        op.execute(statement)
    op.execute((_SQL / "0033" / "down.sql").read_text(encoding="utf-8"))
