"""leaps: the channels that an index knows, found by a lookup each and not row by row. Fragments of other statements."""

from __future__ import annotations

WITH_OPEN_LETTERS = """channels AS (
    (SELECT d.channel FROM outbox.dead_letters d WHERE d.resolution IS NULL ORDER BY d.channel LIMIT 1)
    UNION ALL
    SELECT (SELECT d.channel FROM outbox.dead_letters d
            WHERE d.resolution IS NULL AND d.channel > c.channel ORDER BY d.channel LIMIT 1)
    FROM channels c WHERE c.channel IS NOT NULL
)"""
"""To follow `WITH RECURSIVE`: the channels that have open dead letters, and a NULL after the last."""

IN_THE_QUEUE = """channels AS (
    (SELECT q.channel FROM outbox.queue q ORDER BY q.channel LIMIT 1)
    UNION ALL
    SELECT (SELECT q.channel FROM outbox.queue q WHERE q.channel > c.channel ORDER BY q.channel LIMIT 1)
    FROM channels c WHERE c.channel IS NOT NULL
)"""
"""The same of those on which something waits."""
