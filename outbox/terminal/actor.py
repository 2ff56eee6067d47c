"""Who types: as whom what is done at a terminal is written down in the audit."""

from __future__ import annotations

import os
import pwd
import socket
from typing import TYPE_CHECKING, Any

from outbox.queue.audit import may_record, record

if TYPE_CHECKING:
    from collections.abc import Mapping


def whoami() -> str:
    """Return `user@host`, of the process's user on this machine; a user without a name is `uid 1000`."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"uid {user}"
    return f"{name}@{socket.gethostname()}"


def write_down(conn: Any, *, action: str, subject: str, details: Mapping[str, Any] | None = None) -> None:
    """Write down what is done by whoever types, in the transaction that does it; takes what `record` takes.

    For commands that an application's login may run as well. Where it may not write the audit, nothing is written, and
    the command does what it was asked to.

    Raises:
        NotInTransaction, NotMigrated: as `record`.
    """
    if may_record(conn):
        record(conn, actor=whoami(), action=action, subject=subject, details=details)
