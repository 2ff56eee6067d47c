"""Who types: as whom what is done at a terminal is written down in the audit."""

from __future__ import annotations

import os
import pwd
import socket


def whoami() -> str:
    """Return `user@host`, of the process's user on this machine; a user without a name is `uid 1000`."""
    user = os.getuid()
    try:
        name = pwd.getpwuid(user).pw_name
    except KeyError:
        name = f"uid {user}"
    return f"{name}@{socket.gethostname()}"
