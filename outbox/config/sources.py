"""Where the configuration comes from: a file, then the environment over it, then arguments over both.

All three end in one tree of plain tables, together with a note of where each key came from, so that a mistake can
be reported where it was made.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outbox.config.dashboard import WebConfig
from outbox.config.models import (
    AttachmentsConfig,
    ChannelConfig,
    DatabaseConfig,
    RetentionConfig,
    TemplatesConfig,
    WorkerConfig,
)
from outbox.config.problems import nearest
from outbox.config.telling import LogConfig, SentryConfig
from outbox.config.topics import TopicConfig
from outbox.config.unsubscribing import UnsubscribeConfig
from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from outbox.config.base import Section

SINGLE: dict[str, type[Section]] = {
    "database": DatabaseConfig,
    "worker": WorkerConfig,
    "templates": TemplatesConfig,
    "retention": RetentionConfig,
    "attachments": AttachmentsConfig,
    "unsubscribe": UnsubscribeConfig,
    "log": LogConfig,
    "sentry": SentryConfig,
    "web": WebConfig,
}
_SHARED: dict[str, tuple[tuple[str, str], object]] = {
    "NO_COLOR": (("log", "colours"), False),
    "SENTRY_DSN": (("sentry", "dsn"), None),
}
"""Variables that other programs heed as well (https://no-color.org), with the key and, where any will do, its value."""
NAMED = ("channels", "topics", "providers")
_KNOWN: dict[str, tuple[str, ...]] = {section: tuple(model.model_fields) for section, model in SINGLE.items()}
_KNOWN |= {"channels": tuple(ChannelConfig.model_fields), "topics": tuple(TopicConfig.model_fields)}
_KNOWN |= {"providers": ()}  # a provider's keys are its own affair
PREFIX = "OUTBOX_"
_REMEDY = "--config or OUTBOX_CONFIG names it, `outbox init` makes one"
_INJECTED = re.compile(r"_SERVICE_(?:HOST|PORT(?:_\w+)?)$|_PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?$")
_INJECTED_VALUE = re.compile(r"(?:tcp|udp|sctp)://", re.IGNORECASE)


@dataclass
class Tree:
    """The tables so far, where their keys came from, and the mistakes found on the way."""

    source: Path | None
    tables: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, ...], str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def origin(self, *path: str) -> str:
        """Return where the key at `path` came from: a variable, an argument, or else the file."""
        return self.origins.get(path) or (str(self.source) if self.source else "configuration")

    def add_arguments(self, arguments: Mapping[str, object]) -> None:
        """Put explicit arguments, by dotted key such as `database.url`, over the file. None counts as not given."""
        for dotted, value in arguments.items():
            section, _, rest = dotted.partition(".")
            path = (section, *rest.rsplit(".", 1)) if section in NAMED else (section, rest)
            if value is not None:
                self._put(path, value, "command line")

    def add_environment(self, environ: Mapping[str, str]) -> None:
        """Put the `OUTBOX_…` variables over the file, where no argument stands. An empty one counts as not set."""
        ours = {name: value for name, value in sorted(environ.items()) if name.startswith(PREFIX) and value}
        # Channels before providers: they name providers, whose names say where in a variable the key begins.
        for section in (*SINGLE, *NAMED):
            prefix = f"{PREFIX}{section.upper()}_"
            for name, value in ours.items():
                if name.startswith(prefix) and not _injected(name, value):
                    self._add_variable(section, name, name.removeprefix(prefix), value)
        for name, (path, meaning) in _SHARED.items():
            if environ.get(name):
                self._put(path, environ[name] if meaning is None else meaning, name)

    def _add_variable(self, section: str, variable: str, rest: str, value: str) -> None:
        known = _KNOWN[section]
        path: tuple[str, ...] | None = (section, rest.lower())
        if section in NAMED:
            path = _split(section, rest, self.names(section), known)
        if path is None:
            what = f"{section.removesuffix('s')} and key"
            hint = nearest(rest.lower(), known or self.names(section))
            self.problems.append(f"{variable}: {rest.lower()} is not a known {what}; {hint}")
        elif known and path[-1] not in known:
            self.problems.append(f"{variable}: {'.'.join(path)} is not a known key; {nearest(path[-1], known)}")
        else:
            self._put(path, value, variable)

    def _put(self, path: tuple[str, ...], value: object, origin: str) -> None:
        """Set a key unless an argument did; a table of the wrong shape is left for the validation to report."""
        table = self.tables
        for part in path[:-1]:
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                return
        if path not in self.origins:
            table[path[-1]] = value
            self.origins[path] = origin

    def names(self, section: str) -> list[str]:
        """Return the names under `channels`, `topics` or `providers`; providers are also those that channels name."""
        names = dict.fromkeys(_tables(self.tables, section))
        if section == "providers":
            for channel in _tables(self.tables, "channels").values():
                listed = channel.get("providers") if isinstance(channel, dict) else None
                listed = listed.split(",") if isinstance(listed, str) else listed
                names |= dict.fromkeys(
                    str(name).strip() for name in (listed if isinstance(listed, list | tuple) else ())
                )
        return list(names)


def read_file(path: Path, *, remedy: str = _REMEDY) -> dict[str, Any]:
    """Return the tables of a TOML file. `remedy` says what to type where there is no such file.

    Raises:
        ConfigError: it cannot be read, or is not TOML; the message has the line and the column, and no value.
    """
    try:
        return tomllib.loads(path.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        problem = f"{path}: this is not TOML: {error}"
    except UnicodeDecodeError as error:
        problem = f"{path}: this is not UTF-8: byte {error.start} cannot be read"
    except FileNotFoundError as error:
        problem = f"{path}: cannot be read: {error.strerror}; {remedy}"
    except OSError as error:
        problem = f"{path}: cannot be read: {error.strerror}"
    raise ConfigError([problem])


def _tables(tables: dict[str, Any], section: str) -> dict[str, Any]:
    found = tables.get(section)
    return found if isinstance(found, dict) else {}


def _injected(name: str, value: str) -> bool:
    """Kubernetes sets such variables for every service near a pod, and one may well be called outbox-worker."""
    return bool(_INJECTED.search(name) or _INJECTED_VALUE.match(value))


def _split(section: str, rest: str, names: list[str], known: tuple[str, ...]) -> tuple[str, str, str] | None:
    """Split `EMAIL_MAX_ATTEMPTS` into name and key: by the names there are, longest first, else by the known keys."""
    for name in sorted(names, key=len, reverse=True):
        start = re.sub(r"[^A-Z0-9]", "_", name.upper()) + "_"
        if rest.startswith(start) and rest != start:
            return section, name, rest.removeprefix(start).lower()
    for key in sorted(known, key=len, reverse=True):
        end = f"_{key.upper()}"
        if rest.endswith(end) and rest != end:
            return section, rest.removesuffix(end).lower(), key
    return None
