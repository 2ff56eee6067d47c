"""What waited without an end before migration 0031."""

from __future__ import annotations

import psycopg
import pytest

import outbox
from outbox import migrate
from outbox.errors import InvalidNotification
from tests.hands import rows

_FILTER = """
CREATE FUNCTION public.filter() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER filter BEFORE INSERT ON outbox.notifications FOR EACH ROW EXECUTE FUNCTION public.filter();
"""
_CHANGED = """
SELECT proname, pg_get_functiondef(oid) FROM pg_proc
WHERE pronamespace = 'outbox'::regnamespace AND proname IN ('enqueue', 'erase_notifications', 'delete_expired')
ORDER BY 1
"""


def test_what_a_trigger_keeps_out_is_refused_in_words(cloned_url: str) -> None:
    rows(cloned_url, _FILTER)
    with psycopg.connect(cloned_url) as conn:
        with pytest.raises(InvalidNotification, match="kept out by a trigger"):
            outbox.enqueue(conn, channel="email", recipient="ada@example.org")
        conn.execute("SET LOCAL statement_timeout = '5s'")
        with pytest.raises(psycopg.errors.TriggeredActionException, match="a trigger keeps it out"):
            conn.execute("SELECT outbox.enqueue('email', 'ada@example.org', delay => '1 hour')")


def test_a_digest_that_gathered_for_as_long_as_things_are_kept_is_kept_when_it_is_sent(cloned_url: str) -> None:
    """It has the id of its first item, and lies in the DEFAULT partition if the day of that is gone."""
    rows(
        cloned_url,
        """
        INSERT INTO outbox.notifications (id, created_at, channel, recipient)
        VALUES ('01800000-0000-7000-8000-000000000001', now() - interval '1 hour', 'email', 'a digest'),
               ('01800000-0000-7000-8000-000000000002', now() - interval '31 days', 'email', 'another')
        """,
    )
    rows(cloned_url, "DELETE FROM outbox.queue")
    assert rows(cloned_url, "SELECT outbox.delete_expired('notifications', 30)") == [(1,)]
    assert rows(cloned_url, "SELECT recipient FROM outbox.notifications") == [("a digest",)]


def test_down_and_up_again_leaves_the_functions_as_they_were(cloned_url: str) -> None:
    before = rows(cloned_url, _CHANGED)
    migrate.downgrade(cloned_url, "0030")
    between = rows(cloned_url, _CHANGED)
    assert [old[0] for old, new in zip(before, between, strict=True) if old != new] == [name for name, _ in before]
    assert sum("FROM outbox.digests g" in definition for _, definition in between) == 1
    migrate.upgrade(cloned_url)
    assert rows(cloned_url, _CHANGED) == before
