"""Handlers as a worker has them: each the only provider of its channel."""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pydantic import PydanticUserError, ValidationError

from outbox.config.models import ChannelConfig
from outbox.config.problems import sentences
from outbox.config.provider_section import ProviderSection
from outbox.defects import place
from outbox.errors import ConfigError, DeliveryError, NotSent, Rejected, Temporary
from outbox.handlers.declare import Handler, first_mistake
from outbox.messages import Notification, Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from outbox.config import Config

_WITH_THE_NOTIFICATION = 2


def sender(handler: Handler[Any]) -> Callable[[Notification, str], Any]:
    """Return the function that a provider sends with: what the work raises is its failure, to be tried again."""

    def given(notification: Notification) -> tuple[Any, ...]:
        try:
            payload = handler.read(notification.payload)
        except ValidationError as error:
            raise Rejected(": ".join(first_mistake(error)), code="payload") from None
        return (payload, notification)[: min(len(handler.parameters), _WITH_THE_NOTIFICATION)]

    async def awaited(notification: Notification, _key: str) -> Receipt:
        arguments = given(notification)
        try:
            return _receipt(await handler.function(*arguments))
        except Exception as error:  # noqa: BLE001 - whatever the work fails of
            raise _failure(error, tell=handler.tell) from None

    def called(notification: Notification, _key: str) -> Receipt:
        arguments = given(notification)
        try:
            return _receipt(handler.function(*arguments))
        except Exception as error:  # noqa: BLE001 - as above
            raise _failure(error, tell=handler.tell) from None

    return awaited if inspect.iscoroutinefunction(handler.function) else called


def with_handlers(config: Config, modules: Iterable[str]) -> Config:
    """Return the configuration with a channel for each handler in the modules that it does not have already.

    Raises:
        ConfigError: a module cannot be imported or has no handler, two are for the same channel, or the settings of one
            will not do.
    """
    found: dict[str, Handler[Any]] = {}
    problems: list[str] = []
    for name in modules:
        for each in _declared(name, problems):
            other = found.setdefault(each.channel, each)
            if other is not each:
                problems.append(f"worker.handlers: {other.path} and {each.path} are both for {each.channel}")
    channels, providers = dict(config.channels), dict(config.providers)
    for channel, each in found.items():
        problems += _unreadable(each)
        if channel in channels:
            continue
        try:
            channels[channel] = ChannelConfig.model_validate({"providers": [each.path]} | each.settings)
        except ValidationError as error:
            problems += sentences(error, ChannelConfig, f"channels.{channel}", partial(_origin, each.path))
        providers.setdefault(each.path, ProviderSection({}))
    if problems:
        raise ConfigError(problems)
    return config.model_copy(update={"channels": channels, "providers": providers})


def _declared(name: str, problems: list[str]) -> list[Handler[Any]]:
    """Return the handlers of a module; if there are none, say why among the problems."""
    try:
        declared = [each for each in vars(import_module(name)).values() if isinstance(each, Handler)]
    except ModuleNotFoundError as error:
        problems.append(f"worker.handlers: {name}: there is no module {error.name}; is it installed?")
    except Exception as error:  # noqa: BLE001 - it is anybody's code: a setting is missing here, say
        problems.append(f"worker.handlers: {name}: cannot be imported: {place(error)}")
    else:
        if not declared:
            problems.append(f"worker.handlers: the module {name} has no function with @outbox.handler(…)")
        return declared
    return []


def handler_of(config: Config, channel: str) -> Handler[Any] | None:
    """Return the handler that does the work of a channel, where one does and can be imported here."""
    with suppress(ConfigError):
        config = with_handlers(config, config.worker.handlers)
    for path in config.channels[channel].providers if channel in config.channels else ():
        module, _, name = path.rpartition(".")
        with suppress(Exception):  # it is anybody's code, and need not be importable here
            if isinstance(found := getattr(import_module(module), name, None) if module else None, Handler):
                return found
    return None


def _unreadable(handler: Handler[Any]) -> list[str]:
    """Make what reads the payload, and say why it cannot be made."""
    try:
        handler.adapter  # noqa: B018 - it is made here, and kept
    except (PydanticUserError, NameError, TypeError) as error:
        words = str(error).splitlines()[0]
        return [f"the type of {handler.path}'s payload cannot be read or written: {type(error).__name__}: {words}"]
    return []


def _origin(path: str, _key: str) -> str:
    return path


def _failure(error: Exception, *, tell: bool) -> Exception:
    """Return what a failure of the work means: another try, unless it says itself what it means."""
    if isinstance(error, DeliveryError | NotSent):
        return error
    detail = place(error) + (f": {error}" if tell else "")
    return Temporary(detail, code=type(error).__name__)


def _receipt(returned: Any) -> Receipt:
    return returned if isinstance(returned, Receipt) else Receipt(returned if isinstance(returned, str) else None)
