"""rights: what the role that asks may do, and what it may not see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.doctor.finding import Check, failure, ok, unknown, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.doctor.finding import Finding
    from outbox.doctor.patient import Patient

# By oid: whoever may not enter the schema may not even name what is in it.
_MAY = """
SELECT current_user AS role, bool_and(has_schema_privilege(n.oid, 'USAGE')) AS enter,
       bool_and(has_table_privilege(c.oid, 'INSERT')) FILTER (WHERE c.relname = 'notifications') AS enqueue,
       bool_and(has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'UPDATE')
                AND has_table_privilege(c.oid, 'DELETE')) FILTER (WHERE c.relname IN ('queue', 'workers'))
           AND bool_and(has_table_privilege(c.oid, 'INSERT'))
               FILTER (WHERE c.relname IN ('attempts', 'workers', 'chores')) AS work,
       bool_and(has_table_privilege(c.oid, 'SELECT'))
           FILTER (WHERE c.relname IN ('queue', 'workers', 'migrations', 'pauses', 'fan_outs')) AS look,
       bool_and(pg_has_role(c.relowner, 'USAGE')) AS own,
       pg_has_role('pg_read_all_stats', 'USAGE') AS see
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'outbox'
  AND c.relname IN ('queue', 'workers', 'migrations', 'notifications', 'attempts', 'chores', 'pauses', 'fan_outs')
"""


def look_at_rights(patient: Patient) -> Iterator[Finding]:
    """Say what the role may do; what a doctor needs, beside any of it, is to look."""
    may = patient.ask_one(_MAY)
    words = {"own": "owns the tables", "work": "may work", "enqueue": "may enqueue", "look": "may look"}
    able = [word for right, word in words.items() if getattr(may, right)]
    details = {right: getattr(may, right) for right in (*words, "see")}
    if not may.enter or not able:
        yield failure(f"{may.role} may do nothing here", f'GRANT outbox_worker TO "{may.role}"', **details)
        return
    if not may.look:
        problem = f"{may.role} {' and '.join(able)}, and may not look at everything: some checks cannot be made"
        yield warning(problem, f'GRANT outbox_auditor TO "{may.role}"', **details)
    else:
        yield ok(f"{may.role} {' and '.join(able)}", **details)
    if not may.see:
        problem = f"{may.role} sees no sessions but its own: who holds a transaction or a lock is not named"
        yield unknown(problem, f'GRANT pg_read_all_stats TO "{may.role}"', **details)


CHECKS = (
    Check(
        "rights",
        "what the role that asks may do, and whether it sees other sessions",
        "workers that may not write what they did; checks that see nothing, and so find nothing",
        "`GRANT outbox_worker TO …`, `GRANT outbox_auditor TO …`, `GRANT pg_read_all_stats TO …`",
        "the role may do what it needs",
        look_at_rights,
    ),
)
