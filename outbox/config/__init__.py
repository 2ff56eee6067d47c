"""The configuration: `outbox.toml`, the environment over it, arguments over both, read once into frozen values.

Nothing else in the program reads the environment. Every mistake is found and reported together.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from outbox.config.dashboard import WebConfig
from outbox.config.models import (
    AttachmentsConfig,
    ChannelConfig,
    Config,
    DatabaseConfig,
    RetentionConfig,
    TemplatesConfig,
    WorkerConfig,
)
from outbox.config.problems import nearest, sentences
from outbox.config.provider_section import ProviderSection
from outbox.config.secret_files import with_secret_files
from outbox.config.sources import NAMED, PREFIX, SINGLE, Tree, read_file
from outbox.config.telling import LogConfig, SentryConfig
from outbox.config.topics import TopicConfig
from outbox.config.unsubscribing import UnsubscribeConfig
from outbox.config.urls import libpq_url
from outbox.errors import ConfigError
from outbox.escalation import channels_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from outbox.config.base import Section
    from outbox.config.times import SendingTimes

__all__ = [
    "AttachmentsConfig",
    "ChannelConfig",
    "Config",
    "DatabaseConfig",
    "LogConfig",
    "ProviderSection",
    "RetentionConfig",
    "SentryConfig",
    "TemplatesConfig",
    "TopicConfig",
    "UnsubscribeConfig",
    "WebConfig",
    "WorkerConfig",
    "database_in",
    "find_file",
    "libpq_url",
    "load",
    "survey",
]

_CHANNEL = re.compile(r"[a-z][a-z0-9_]{0,62}")  # the CHECK on notifications.channel
_LONGEST_TOPIC = 255  # as put_into_queue() checks it
_NO_OVERRIDES: Mapping[str, object] = MappingProxyType({})


def load(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NO_OVERRIDES,
) -> Config:
    """Return the configuration.

    Args:
        path: the file; without it, the one that `OUTBOX_CONFIG` names, else `outbox.toml` here if there is one.
        environ: the environment; without it, the process's own.
        overrides: explicit arguments by dotted key, such as `{"worker.concurrency": 50}`. None counts as not given.

    Raises:
        ConfigError: with every mistake that was found.
    """
    config, problems = survey(path, environ=environ, overrides=overrides)
    if problems:
        raise ConfigError(problems)
    return config


def survey(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, object] = _NO_OVERRIDES,
) -> tuple[Config, list[str]]:
    """Return the configuration as far as it can be understood, and every mistake in it.

    What was refused has its default there; a channel whose list of providers was refused has none. The arguments are
    those of `load`.

    Raises:
        ConfigError: the file cannot be read, or is not TOML.
    """
    environ = with_secret_files(os.environ if environ is None else environ, PREFIX)
    source = find_file(path, environ=environ)
    tree = Tree(source, read_file(source) if source else {})
    tree.add_arguments(overrides)
    tree.add_environment(environ)
    _refuse_unknown_sections(tree)
    values: dict[str, Any] = {section: _validated(tree, model, section) for section, model in SINGLE.items()}
    values["channels"] = {name: _channel(tree, name) for name in _table(tree, "channels")}
    values["topics"] = {name: _topic(tree, name) for name in _table(tree, "topics")}
    _refuse_undelivered_steps(tree, values["topics"], values["channels"])
    _table(tree, "providers")  # for its shape: those without a section of their own count too
    values["providers"] = {name: _provider(tree, name) for name in tree.names("providers")}
    values["templates"] = _anchored(values["templates"], source)
    _refuse_what_never_opens(tree, values["channels"], values["topics"])
    return Config(**values, source=source), tree.problems


def find_file(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> Path | None:
    """Return the file that `load` reads, if any. One that was named, by `path` or `OUTBOX_CONFIG`, may not be there."""
    environ = os.environ if environ is None else environ
    named = path or (Path(environ["OUTBOX_CONFIG"]) if environ.get("OUTBOX_CONFIG") else None)
    if named is not None:
        return named.absolute()
    here = Path("outbox.toml").absolute()
    return here if here.exists() else None


def database_in(environ: Mapping[str, str] | None = None) -> str | None:
    """Return the database's URL in libpq's form that the environment names, if it does.

    Raises:
        ConfigError: what it names is none.
    """
    named = (os.environ if environ is None else environ).get("OUTBOX_DATABASE_URL")
    return libpq_url(named) if named else None


def _anchored(templates: TemplatesConfig, source: Path | None) -> TemplatesConfig:
    """Make a relative folder one beside the configuration file, wherever the process was started."""
    folder = source.parent if source else Path.cwd()
    # Not model_copy(update=…): that would make a default look like a path that somebody chose.
    values = dict(templates) | {"path": folder / templates.path}
    return TemplatesConfig.model_construct(templates.model_fields_set, **values)


def _refuse_unknown_sections(tree: Tree) -> None:
    known = (*SINGLE, *NAMED)
    tree.problems += [
        f"{tree.origin()}: [{section}] is not a known section; {nearest(section, known)}"
        for section in tree.tables
        if section not in known
    ]


def _refuse_what_never_opens(
    tree: Tree, channels: Mapping[str, SendingTimes], topics: Mapping[str, SendingTimes]
) -> None:
    """Both hold for what has the topic and goes out on the channel."""
    tree.problems += [
        f"{tree.origin()}: topics.{topic} and channels.{channel} are never open at the same time: what has this topic "
        "would never be sent on that channel; change the quiet_hours or the send_window of one of them"
        for topic, its in topics.items()
        for channel, other in channels.items()
        if its.never_open_with(other)
    ]


def _table(tree: Tree, *path: str) -> dict[str, Any]:
    table: Any = tree.tables
    for part in path:
        table = table.get(part, {}) if isinstance(table, dict) else {}  # the parent has been reported
    if isinstance(table, dict):
        return table
    dotted = ".".join(path)
    tree.problems.append(f"{tree.origin(*path)}: {dotted} is not a table; write [{dotted}] and its keys below it")
    return {}


def _validated(tree: Tree, model: type[Section], *path: str, **stand_ins: Any) -> Section:
    """Return the section at `path`, with defaults for what is refused, which is added to the tree's problems.

    `stand_ins` stand for the keys that have no default.
    """
    found = len(tree.problems)
    table = _table(tree, *path)
    if len(tree.problems) > found:
        return model.model_construct(**stand_ins)
    try:
        return model.model_validate(table)
    except ValidationError as error:
        secret = model in (DatabaseConfig, SentryConfig, UnsubscribeConfig, WebConfig)
        tree.problems += sentences(error, model, ".".join(path), lambda key: tree.origin(*path, key), secret=secret)
        refused = _keys_of(error)
    while refused.isdisjoint(stand_ins):
        try:
            return model.model_validate({key: value for key, value in table.items() if key not in refused})
        except ValidationError as error:  # what goes with a key that is refused has nothing to go with: no news
            refused |= _keys_of(error)
    return model.model_construct(**stand_ins)


def _keys_of(error: ValidationError) -> set[int | str]:
    return {detail["loc"][0] for detail in error.errors(include_input=False)}


def _channel(tree: Tree, name: str) -> Section:
    if not _CHANNEL.fullmatch(name):
        where = tree.origin("channels", name)
        tree.problems.append(f"{where}: channels.{name}: a channel's name is made of a-z, 0-9 and _, from a letter on")
    return _validated(tree, ChannelConfig, "channels", name, providers=())


def _topic(tree: Tree, name: str) -> Section:
    if not 1 <= len(name) <= _LONGEST_TOPIC:
        where = tree.origin("topics", name)
        tree.problems.append(f"{where}: topics.{name}: a topic has 1 to {_LONGEST_TOPIC} characters")
    return _validated(tree, TopicConfig, "topics", name)


def _refuse_undelivered_steps(tree: Tree, topics: Mapping[str, Any], channels: Collection[str]) -> None:
    tree.problems += [
        f"{tree.origin('topics', name, 'escalation')}: topics.{name}.escalation: no provider delivers {channel}: "
        f"add [channels.{channel}], or take the step out; {nearest(channel, channels)}"
        for name, topic in topics.items()
        for channel in channels_of(topic.escalation)
        if channel not in channels
    ]


def _provider(tree: Tree, name: str) -> ProviderSection:
    table = _table(tree, "providers", name)
    origins = {key: tree.origin("providers", name, key) for key in table}
    try:
        return ProviderSection(table, tree.origin(), origins)
    except ValueError as error:
        tree.problems.append(f"{tree.origin('providers', name)}: providers.{name}: {error}")
        return ProviderSection({}, tree.origin(), origins)
