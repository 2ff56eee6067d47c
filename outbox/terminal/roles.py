"""`outbox roles`: the roles that an outbox can have, and all that they may do, as SQL to read or to run."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from outbox.errors import ConfigError
from outbox.migrate import roles_sql
from outbox.terminal.output import done
from outbox.terminal.progress import waiting
from outbox.terminal.session import writing

if TYPE_CHECKING:
    from outbox.config import Config

PREFIX = "outbox_"
_ROLES = ("enqueuer", "worker", "auditor", "operator")
_PREFIX = re.compile(r"[a-z_][a-z0-9_]{0,53}")  # PostgreSQL cuts a name off after 63 bytes


def print_sql(prefix: str) -> int:
    """Write the SQL, in one transaction; needs no database.

    Raises:
        ConfigError: the prefix would not make names.
    """
    sys.stdout.write(f"BEGIN;\n\n{roles_sql(_checked(prefix))}\nCOMMIT;\n")
    return 0


def apply(config: Config, prefix: str) -> int:
    """Make the roles where they are missing, and give them exactly these rights.

    Raises:
        ConfigError: as `print_sql`.
        psycopg.Error: the database cannot be reached, or we are not the owner of the tables.
    """
    script = roles_sql(_checked(prefix))
    with waiting("granting"), writing(config.database_url) as conn:
        conn.execute(script.encode())
    done(f"roles: {', '.join(prefix + role for role in _ROLES)}")
    return 0


def _checked(prefix: str) -> str:
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError([f"--prefix: {prefix!r} does not begin a name: lower-case letters, digits and underscores"])
    return prefix
