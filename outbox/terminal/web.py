"""`outbox web`: the dashboard, and what its configuration is made with."""

from __future__ import annotations

import getpass
import secrets
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

from outbox.errors import ConfigError
from outbox.terminal.log import log_as
from outbox.terminal.output import note
from outbox.terminal.setup import configuration, is_terminal

if TYPE_CHECKING:
    from collections.abc import Mapping

_BYTES = 32
_SHORTEST = 12
_NEEDED = ("starlette", "uvicorn", "argon2", "itsdangerous", "authlib", "multipart")


def serve(given: Mapping[str, Any]) -> int:
    """Serve the dashboard as the command's arguments say, until there is a reason to stop; return the exit code.

    Raises:
        ConfigError: the arguments or the configuration will not do, or the extra is not installed.
    """
    overrides = {"web__host": given["host"], "web__port": given["port"], "log__format": given["log_format"]}
    config = configuration(given["config"], given["database_url"], **overrides)
    server = _part("outbox.web.server")
    log_as(config.log, verbose=given["verbose"])
    return int(server.serve(config))


def secret() -> int:
    """Print a secret of 256 bits."""
    sys.stdout.write(f"{secrets.token_urlsafe(_BYTES)}\n")
    return 0


def hash_password() -> int:
    """Print the hash of a password that is typed twice, or is standard input's first line.

    Raises:
        ConfigError: the two are not the same, or it is too short.
    """
    passwords = _part("outbox.web.passwords")
    if sys.stdin.isatty():
        password = getpass.getpass("Password: ")
        if getpass.getpass("Again: ") != password:
            raise ConfigError(["these are two passwords"])
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < _SHORTEST:
        raise ConfigError([f"a password has at least {_SHORTEST} characters"])
    sys.stdout.write(f"{passwords.hash_password(password)}\n")
    if is_terminal():
        note("for outbox.toml, in single quotes: [web.users.ada] password_hash = '$argon2id$…' and role = \"operator\"")
    return 0


def _part(name: str) -> Any:
    """Import a part of the dashboard, or say what is missing."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _NEEDED:
            raise
        raise ConfigError(
            [f"{error.name} is not installed: the dashboard needs the extra web: pip install 'outbox[web]'"]
        ) from None
