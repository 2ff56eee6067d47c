"""Which rows are of the transaction that asks: for tests, which must see nothing that somebody else left behind.

PostgreSQL keeps in each row's `xmin` who wrote it. Below a savepoint that is a transaction of its own, whose number
comes after that of the outermost; others with such a number, whose rows can be seen, have committed. `age` counts back
from one number that is the same for the whole transaction, so that it does no harm when numbers begin anew.
"""

from __future__ import annotations

OWN = """
CASE WHEN CAST(:committed AS text) = 'true' THEN true
     WHEN age(n.xmin) > age(CAST(pg_current_xact_id() AS xid)) THEN false
     ELSE pg_xact_status(CAST(CAST(CAST(CAST(pg_current_xact_id() AS text) AS bigint)
          + age(CAST(pg_current_xact_id() AS xid)) - age(n.xmin) AS text) AS xid8)) = 'in progress' END
"""
"""That a row `n` was written by this transaction, or a savepoint of it. With `committed` "true", that it is there."""
