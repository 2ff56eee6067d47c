"""check: what is wrong with the configuration, its providers and its templates, found without starting anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.channels import load_provider
from outbox.errors import ConfigError
from outbox.render import Templates

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.config import Config


def check(config: Config) -> list[str]:
    """Return what is wrong, one sentence each; nothing if all is well. Opens no connection, to a database or elsewhere.

    What `outbox.config.survey` has refused is not found again. That no database is named is no mistake here: where the
    configuration is checked is often not where the database is.
    """
    # What a channel lacks is found with each of its providers.
    return [*dict.fromkeys(_channels(config)), *_unused(config), *_templates(config)]


def _channels(config: Config) -> Iterator[str]:
    if not config.channels:
        place = config.source or "configuration"
        yield f'{place}: no channel is configured; add [channels.email] with providers = ["smtp"]'
    unnamed = _unnamed(config)
    for channel, settings in config.channels.items():
        # A refused list is empty. The sections that nobody names are this channel's, if there is no other.
        for name in settings.providers or (unnamed if len(config.channels) == 1 else ()):
            try:
                load_provider(channel, name, config.providers.get(name, {}))
            except ConfigError as error:
                yield from error.problems


def _unnamed(config: Config) -> list[str]:
    named = {name for channel in config.channels.values() for name in channel.providers}
    return [name for name in config.providers if name not in named]


def _unused(config: Config) -> Iterator[str]:
    if config.channels and all(channel.providers for channel in config.channels.values()):
        for name in _unnamed(config):
            yield f"{config.source or 'configuration'}: providers.{name} is in no channel's list of providers"


def _templates(config: Config) -> list[str]:
    chosen = "path" in config.templates.model_fields_set
    if not chosen and not config.templates.path.is_dir():
        return []  # payloads may bring their own texts
    return Templates(config.templates.path).check(all_emails=set(config.channels) == {"email"})
