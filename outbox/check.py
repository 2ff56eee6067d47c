"""check: what is wrong with the configuration, its providers and its templates, found without starting anything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

from outbox import oneclick
from outbox.channels import Probed, completion_for, load_provider
from outbox.errors import ConfigError, DeliveryError, Temporary
from outbox.render import Templates
from outbox.spelling import nearest
from outbox.templates.configured import source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from outbox.config import Config


_PATIENCE = 60.0


def check(config: Config) -> list[str]:
    """Return what is wrong, one sentence each; nothing if all is well. Opens no connection, to a database or elsewhere.

    What `outbox.config.survey` has refused is not found again. That no database is named is no mistake here: where the
    configuration is checked is often not where the database is.
    """
    # What a channel lacks is found with each of its providers.
    links, web = (
        oneclick.problems(config),
        [f"{config.source or 'configuration'}: {each}" for each in config.web.problems],
    )
    return [*dict.fromkeys(_channels(config)), *_unused(config), *links, *web, *_templates(config)]


class Probe(NamedTuple):
    """What a provider answered: `trouble` is None where all is well."""

    channel: str
    provider: str
    trouble: DeliveryError | None
    only_reached: bool
    """Whether it was merely seen to be there: nothing but a message would tell more."""


async def probe(config: Config) -> list[Probe]:
    """Ask every provider that can be asked whether it would let us send; send nothing.

    The configuration is one without mistakes.
    """
    asked = [each for each in _loaded(config) if _can_be_asked(each[2])]
    answers = await asyncio.gather(*(_answer(provider) for _, _, provider in asked))
    return [
        Probe(channel, name, answer, getattr(provider, "probe_only_reaches", False))
        for (channel, name, provider), answer in zip(asked, answers, strict=True)
    ]


def unasked(config: Config) -> list[str]:
    """Return the names of the providers that `probe` cannot ask: nothing but a message would tell."""
    return [name for _, name, provider in _loaded(config) if not _can_be_asked(provider)]


def _can_be_asked(provider: Any) -> bool:
    return isinstance(provider, Probed) and getattr(provider, "can_be_probed", True)


def _loaded(config: Config) -> list[tuple[str, str, Any]]:
    return [
        (channel, name, load_provider(channel, name, config.providers.get(name, {})))
        for channel, settings in config.channels.items()
        for name in settings.providers
    ]


async def _answer(provider: Any) -> DeliveryError | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            await provider.probe()
    except DeliveryError as error:
        return error
    except TimeoutError:
        return Temporary(f"no answer within {_PATIENCE:g} s")
    finally:
        await provider.aclose()
    return None


def _channels(config: Config) -> Iterator[str]:
    if not config.channels:
        place = config.source or "configuration (there is no outbox.toml here)"
        begin = "" if config.source else "; `outbox init` makes one"
        yield f'{place}: no channel is configured; add [channels.email] with providers = ["smtp"]{begin}'
    unnamed = _unnamed(config)
    yield from _completions(config)
    for channel, settings in config.channels.items():
        # A refused list is empty. The sections that nobody names are this channel's, if there is no other.
        for name in settings.providers or (unnamed if len(config.channels) == 1 else ()):
            try:
                load_provider(channel, name, config.providers.get(name, {}))
            except ConfigError as error:
                yield from error.problems


def _completions(config: Config) -> Iterator[str]:
    for channel in config.channels:
        try:
            completion_for(channel, config)
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
    chosen = not config.templates.model_fields_set.isdisjoint({"path", "packages", "source"})
    if not chosen and not config.templates.path.is_dir():
        return []  # payloads may bring their own texts
    try:
        templates = Templates(source(config))
        problems = templates.check(all_emails=set(config.channels) == {"email"})
        return [*problems, *_missing(config, templates.names())]
    except ConfigError as error:
        return list(error.problems)


def _missing(config: Config, names: Sequence[str]) -> Iterator[str]:
    for topic, rule in config.topics.items():
        if rule.throttle_template is not None and rule.throttle_template not in names:
            place = f"{config.source or 'configuration'}: topics.{topic}.throttle_template"
            yield f"{place}: there is no template {rule.throttle_template}; {nearest(rule.throttle_template, names)}"
