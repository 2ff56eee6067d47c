"""The channels and their providers, found by name: there is no registry.

A channel is a package here with `compose(notification, templates)`, which makes the message. A provider is a module in
it with two names, `Settings` (a pydantic model) and `Provider(settings)`; making one opens nothing. The name in the
configuration is the module's; a provider from elsewhere is an entry point `<channel>.<name>` in the group
`outbox.channels`, or a dotted path to its module, or to a function. Two are there for every channel.
"""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import import_module, metadata
from inspect import iscoroutinefunction, isroutine
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType, SimpleNamespace, UnionType
from typing import TYPE_CHECKING, Any, Protocol, Union, get_args, get_origin, runtime_checkable

from pydantic import BaseModel, ValidationError

from outbox.channels.functions import Blocking, Function, Work
from outbox.channels.settings import ProviderSettings
from outbox.config import AttachmentsConfig, ProviderSection
from outbox.config.problems import nearest, sentences
from outbox.errors import ConfigError, clean
from outbox.handlers import Handler
from outbox.handlers.serve import sender

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from outbox.config import Config
    from outbox.messages import Notification, Receipt
    from outbox.render import Templates

GROUP = "outbox.channels"
_EVERYWHERE = ("console", "recorder")
_DEFINES = re.compile(r"^class Provider\b", re.MULTILINE)
EXTRAS = {"botocore": "aws", "phonenumbers": "sms", "jwt": "push", "cryptography": "push", "h2": "push"}
"""Modules that only some channels need, and the extra of ours that installs each."""


class Provider(Protocol):
    """What delivers one channel's messages through one service."""

    async def send(self, message: Any, key: str) -> Receipt:
        """Send the message and return the acceptance. `key` is the notification's id, the same for every attempt.

        Raises:
            DeliveryError: one of the six, by what it means for the notification.
        """

    async def aclose(self) -> None:
        """Close what is open."""


class Completion(Protocol):
    """What a channel does to a message after composing it and before any provider is given it, and takes time."""

    def needed(self, message: Any) -> bool:
        """Tell whether there is anything to do."""

    def completed(self, message: Any) -> AbstractAsyncContextManager[Any]:
        """Do it; the message is complete for as long as it is being sent.

        Raises:
            DeliveryError: by what it means for the notification; no provider was asked.
            NotSent: it was cancelled meanwhile.
        """

    async def aclose(self) -> None:
        """Close what is open."""


@runtime_checkable
class Probed(Protocol):
    """A provider that can find out, without sending anything, whether it would be let send."""

    async def probe(self) -> None:
        """Ask for something harmless with the credentials.

        Raises:
            DeliveryError: they are refused, or the provider cannot be reached.
        """


def load_provider(channel: str, name: str, section: Mapping[str, Any]) -> Provider:
    """Return the provider `name` of a channel, made with its section of the configuration. Nothing is opened.

    Raises:
        ConfigError: there is no such channel or provider, or its settings are wrong; with every mistake in them, and
            none of their values.
    """
    module = _provider_module(channel, getattr(section, "module", None) or name)
    settings = _settings(module.Settings, name, section)
    try:
        provider: Provider = module.Provider(settings)
    except OSError as error:  # a file of certificates that holds none, say
        problem = f"providers.{name}: it cannot be set up: {clean(error.strerror or type(error).__name__, 200)}"
    else:
        return provider if iscoroutinefunction(provider.send) else Blocking(provider)
    raise ConfigError([problem])


def shipped() -> dict[str, list[str]]:
    """Return the providers that come with this package, by channel. Imports none of them: some need an extra."""
    packages = {channel: Path(__path__[0]) / channel for channel in sorted(_channels())}
    return {
        channel: sorted(file.stem for file in folder.glob("*.py") if _DEFINES.search(file.read_text(encoding="utf-8")))
        for channel, folder in packages.items()
    }


def settings_of(channel: str, name: str) -> type[BaseModel]:
    """Return the model of what a provider can be told in its section of the configuration.

    Raises:
        ConfigError: there is no such channel or provider, or it needs what is not installed.
    """
    settings: type[BaseModel] = _provider_module(channel, name).Settings
    return settings


def compose_for(channel: str, config: Config | None = None) -> Callable[[Notification, Templates], Any]:
    """Return the function that makes a channel's message from a notification, as the configuration has it, if given.

    A channel that is not one of ours has nothing to compose with: its providers are given the notification itself.

    Raises:
        ConfigError: the channel needs a module that is not installed, or the configuration lacks something.
    """
    if channel not in _channels():
        return _as_it_is
    package = _package(channel)
    if config is not None and hasattr(package, "composing"):
        composing: Callable[[Config], Callable[[Notification, Templates], Any]] = package.composing
        return composing(config)
    compose: Callable[[Notification, Templates], Any] = package.compose
    return compose


def completion_for(channel: str, config: Config) -> Completion | None:
    """Return what completes a channel's messages, if it has such a step. Nothing is opened.

    Raises:
        ConfigError: with every mistake in what the configuration says of it.
    """
    if channel not in _channels() or not hasattr(package := _package(channel), "completion"):
        return None
    try:
        made: Completion = package.completion(config.attachments.model_dump())
    except ValidationError as error:
        origin = str(config.source or "configuration")
        problems = sentences(error, AttachmentsConfig, "attachments", lambda _: origin)
    else:
        return made
    raise ConfigError(problems)


def _as_it_is(notification: Notification, _templates: Templates) -> Notification:
    return notification


def _channels() -> list[str]:
    return [found.name for found in iter_modules(__path__) if found.ispkg]


def _package(channel: str) -> ModuleType:
    return _imported(f"{__name__}.{channel}", f"channels.{channel}")


def _provider_module(channel: str, name: str) -> Any:
    own = _modules(_package(channel)) if channel in _channels() else []
    if "." in name:
        return _by_path(name)
    package = f"{__name__}.{channel}"
    if name in own and _offers(module := _imported(f"{package}.{name}", f"providers.{name}")):
        return module
    if name in _EVERYWHERE:
        return import_module(f"{__name__}.{name}")
    for entry in metadata.entry_points(group=GROUP, name=f"{channel}.{name}"):
        if _offers(module := _imported(entry.module, f"providers.{name}")):
            return module
    if not own:
        wanted = "one of your own needs a provider by its dotted path"
        raise ConfigError([f"channels.{channel}: there is no such channel; {nearest(channel, _channels())} ({wanted})"])
    known = [other for other in own if _is_provider(f"{package}.{other}")] + list(_EVERYWHERE)
    elsewhere = "one from elsewhere is a dotted path, or an entry point"
    raise ConfigError([f"providers.{name}: {channel} has no such provider; {nearest(name, known)} ({elsewhere})"])


def _by_path(name: str) -> Any:
    """Return a module of the user's own, or what stands for one that a function of theirs would be in."""
    parent, _, last = name.rpartition(".")
    with suppress(ImportError):
        function = getattr(import_module(parent), last, None) if _is_path(name) else None
        if isinstance(function, Handler):
            return SimpleNamespace(Settings=ProviderSettings, Provider=lambda _: Work(sender(function)))
        if isroutine(function):
            return SimpleNamespace(Settings=ProviderSettings, Provider=lambda _: Function(function))
    module = _imported(name, f"providers.{name}")
    if not _offers(module):
        needs = "two names, Settings (a pydantic model) and Provider"
        raise ConfigError([f"providers.{name}: the module {name} needs {needs}"])
    return module


def _modules(package: ModuleType) -> list[str]:
    return [found.name for found in iter_modules(package.__path__) if not found.name.startswith("_")]


def _imported(path: str, section: str) -> ModuleType:
    missing = path
    if _is_path(path):
        try:
            return import_module(path)
        except ImportError as error:
            missing = error.name or path
    extra = EXTRAS.get(missing)
    advice = f"install outbox[{extra}]" if extra else "is it spelt right, and installed?"
    raise ConfigError([f"{section}: the module {missing} cannot be imported: {advice}"])


def _is_path(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _offers(module: ModuleType) -> bool:
    settings = getattr(module, "Settings", None)
    return isinstance(settings, type) and issubclass(settings, BaseModel) and hasattr(module, "Provider")


def _is_provider(path: str) -> bool:
    try:
        return _offers(import_module(path))
    except ImportError:  # it needs what is not installed, so it is more than a helper
        return True


def _settings(model: type[BaseModel], name: str, section: Mapping[str, Any]) -> BaseModel:
    given = section if isinstance(section, ProviderSection) else ProviderSection(section)
    try:
        return model.model_validate({key: _listed(model, key, value) for key, value in given.items()})
    except ValidationError as error:
        problems = sentences(
            error, model, f"providers.{name}", lambda key: given.origins.get(key, given.origin), secret=True
        )
    raise ConfigError(problems)


def _listed(model: type[BaseModel], key: str, value: object) -> object:
    """Split a text on commas where a list is wanted: lists come so from the environment."""
    field = model.model_fields.get(key)
    if field is None or not isinstance(value, str) or not _is_list(field.annotation):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _is_list(annotation: object) -> bool:
    return get_origin(annotation) in {list, tuple, set, frozenset} or (
        get_origin(annotation) in {Union, UnionType} and any(_is_list(part) for part in get_args(annotation))
    )
