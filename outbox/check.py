"""check: what is wrong with the configuration, its providers and its templates, found without starting anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.channels import compose_for, load_provider
from outbox.errors import ConfigError
from outbox.render import Templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.config import Config


def check(config: Config) -> list[str]:
    """Return what is wrong, one sentence each; nothing if all is well. Opens no connection, to a database or elsewhere.

    What `outbox.config.load` refuses, it has refused before. That no database is named is no mistake here: where the
    configuration is checked is often not where the database is.
    """
    return [*_channels(config), *_unused(config), *_templates(config)]


def _channels(config: Config) -> Iterator[str]:
    if not config.channels:
        place = config.source or "configuration"
        yield f'{place}: no channel is configured; add [channels.email] with providers = ["smtp"]'
    for channel, settings in config.channels.items():
        try:
            compose_for(channel)
        except ConfigError as error:
            yield from error.problems
            continue
        for name in settings.providers:
            try:
                load_provider(channel, name, config.providers.get(name, {}))
            except ConfigError as error:
                yield from error.problems


def _unused(config: Config) -> Iterator[str]:
    named = {name for channel in config.channels.values() for name in channel.providers}
    for name in config.providers:
        if name not in named:
            yield f"{config.source or 'configuration'}: providers.{name} is in no channel's list of providers"


def _templates(config: Config) -> list[str]:
    chosen = "path" in config.templates.model_fields_set
    if not chosen and not config.templates.path.is_dir():
        return []  # payloads may bring their own texts
    return Templates(config.templates.path).check()
