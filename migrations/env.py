"""Alembic's environment: runs the migrations on the connection that `outbox.migrate` hands in, or prints their SQL."""

from __future__ import annotations

import re
from typing import Any

from alembic import context

from outbox.schema import SCHEMA, metadata

_PARTITION = re.compile(r"^(notifications|attempts)_(\d{8}|default)$")


def _is_ours(name: str | None, kind: str, _parents: object) -> bool:
    if kind == "schema":
        return name == SCHEMA
    return not (kind == "table" and name is not None and _PARTITION.match(name))


_options: dict[str, Any] = {
    "target_metadata": metadata,
    "version_table": "migrations",
    "version_table_schema": SCHEMA,
    "include_schemas": True,
    "include_name": _is_ours,
    "compare_type": True,
    "compare_server_default": True,
}

if context.is_offline_mode():
    # paramstyle "named": the default one would double every % of the SQL that is printed
    context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True, **_options)
    with context.begin_transaction():
        context.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
        context.run_migrations()
else:
    context.configure(connection=context.config.attributes["connection"], **_options)
    context.run_migrations()
