"""The page of every table, from the catalog of a migrated database: `make reference` writes it, and a test compares."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import namedtuple_row

from docsite.templates import PAGES
from docsite.tree import DOCS
from outbox.devdb import LocalPostgres
from outbox.migrate import upgrade

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = DOCS / "catalog.md"

RELATIONS = """
SELECT c.oid, c.relname AS name, c.relkind IN ('r', 'p') AS is_table, obj_description(c.oid, 'pg_class') AS comment,
       pg_get_partkeydef(c.oid) AS partitioned
FROM pg_class c
WHERE c.relnamespace = 'outbox'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
  AND c.relname <> 'migrations'
ORDER BY c.relname
"""
COLUMNS = """
SELECT a.attrelid AS oid, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, a.attnotnull AS needed,
       CASE WHEN a.attidentity <> '' THEN 'identity' ELSE pg_get_expr(d.adbin, d.adrelid) END AS default,
       col_description(a.attrelid, a.attnum) AS comment
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid AND c.relnamespace = 'outbox'::regnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attrelid, a.attnum
"""
CONSTRAINTS = """
SELECT conrelid AS oid, conname AS name, pg_get_constraintdef(oid, true) AS definition
FROM pg_constraint WHERE connamespace = 'outbox'::regnamespace AND contype <> 'n'
ORDER BY conrelid, position(contype::text IN 'pufcx'), conname
"""
INDEXES = """
SELECT i.indrelid AS oid, c.relname AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
WHERE c.relnamespace = 'outbox'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u', 'x'))
ORDER BY i.indrelid, c.relname
"""
TRIGGERS = """
SELECT t.tgrelid AS oid, t.tgname AS name, pg_get_triggerdef(t.oid) AS definition
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid AND c.relnamespace = 'outbox'::regnamespace
WHERE NOT t.tgisinternal AND NOT c.relispartition
ORDER BY t.tgrelid, t.tgname
"""
FUNCTIONS = """
SELECT p.proname AS name, pg_get_function_arguments(p.oid) AS arguments, pg_get_function_result(p.oid) AS result,
       obj_description(p.oid, 'pg_proc') AS comment
FROM pg_proc p
WHERE p.pronamespace = 'outbox'::regnamespace AND p.prokind = 'f' AND obj_description(p.oid, 'pg_proc') IS NOT NULL
  AND p.prorettype <> 'trigger'::regtype
ORDER BY p.proname, pg_get_function_arguments(p.oid)
"""


def page(url: str) -> str:
    """Return the page about the outbox of a database, as Markdown; the same for every version of PostgreSQL."""
    with psycopg.connect(url, row_factory=namedtuple_row) as conn:
        conn.execute("SET search_path = pg_catalog, outbox")  # so that expressions are written without the schema
        found: dict[str, list[Any]] = {
            name: conn.execute(query).fetchall()
            for name, query in {
                "columns": COLUMNS,
                "constraints": CONSTRAINTS,
                "indexes": INDEXES,
                "triggers": TRIGGERS,
            }.items()
        }
        relations: list[Any] = conn.execute(RELATIONS).fetchall()
        functions = conn.execute(FUNCTIONS).fetchall()
    of: dict[int, dict[str, list[Any]]] = {
        relation.oid: {kind: [row for row in rows if row.oid == relation.oid] for kind, rows in found.items()}
        for relation in relations
    }
    template = PAGES.get_template("catalog.md.jinja")
    made = template.render(
        relations=relations, of=of, functions=[_parts(*row) for row in functions], cell=_cell, short=_short
    )
    return re.sub(r"\n{3,}", "\n\n", made.replace("timestamp with time zone", "timestamptz")).rstrip() + "\n"


def _parts(name: str, arguments: str, result: str, comment: str) -> tuple[str, str, str]:
    """A function by what goes in, what comes out, and its comment."""
    parts = re.split(r", (?=(?:OUT )?\w+ )", arguments) if arguments else []
    out = [part.removeprefix("OUT ") for part in parts if part.startswith("OUT ")]
    given = [part for part in parts if not part.startswith("OUT ")]
    return f"{name}({', '.join(given)})", f"({', '.join(out)})" if out else result, comment


def _cell(text: str | None) -> str:
    return " ".join((text or "").split()).replace("|", "\\|").replace("<", "\\<")


def _short(definition: str) -> str:
    """A definition without what its heading has said."""
    return _cell(re.sub(r"^.*? USING ", "", definition)).replace("\\<", "<")


@contextmanager
def migrated() -> Iterator[str]:
    """A server of its own with a migrated database, for as long as the block lasts."""
    server = LocalPostgres(durable=False)
    server.start()
    try:
        upgrade(server.url)
        yield server.url
    finally:
        server.stop()
