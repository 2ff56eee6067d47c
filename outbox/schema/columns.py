"""What the tables' columns are made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, MetaData, text
from sqlalchemy.dialects.postgresql import TIMESTAMP

SCHEMA = "outbox"
metadata = MetaData(schema=SCHEMA)

MOMENT = TIMESTAMP(timezone=True)
NOW = text("clock_timestamp()")
EMPTY = text("'{}'::jsonb")


def need(name: str, kind: Any, comment: str, **options: Any) -> Column[Any]:
    """Return a column that is never empty."""
    return Column(name, kind, nullable=False, comment=comment, **options)


def may(name: str, kind: Any, comment: str) -> Column[Any]:
    """Return a column that may be empty."""
    return Column(name, kind, nullable=True, comment=comment)


def key(name: str, kind: Any, comment: str, **options: Any) -> Column[Any]:
    """Return a column of the primary key."""
    return Column(name, kind, primary_key=True, comment=comment, **options)
