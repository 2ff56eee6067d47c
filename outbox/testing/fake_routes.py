"""The routes of a worker, as the configuration has them, to providers that send nothing."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from outbox.channels.functions import Blocking, Function
from outbox.config import ChannelConfig, ProviderSection
from outbox.config.problems import nearest
from outbox.errors import ConfigError
from outbox.testing.fakes import PATIENCE, FakeProvider
from outbox.worker import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from outbox.channels import Provider
    from outbox.config import Config
    from outbox.events import Listener
    from outbox.route import Route

_RECORDER = "recorder"


def with_channels(config: Config, names: Sequence[str]) -> Config:
    """Return the configuration; one that has no channel at all has these, each with one provider."""
    if config.channels:
        return config
    channels = {name: ChannelConfig(providers=(_RECORDER,)) for name in names}
    return type(config)(
        **dict(config) | {"channels": channels, "providers": {**config.providers, _RECORDER: ProviderSection({})}}
    )


def fake_routes(
    config: Config, names: Sequence[str], listener: Listener, provider: Any, providers: Mapping[str, Any]
) -> list[Route]:
    """Return how these channels deliver: by `provider`, or those of `providers` that stand under their names.

    All else is as configured, but that there is no jitter, so that a test has the same delays each time; no rate, which
    would only cost it time; and nothing is fetched.

    Raises:
        ConfigError: with every mistake in these channels; one of `providers` is none of theirs.
    """
    known = [each for name in names if name in config.channels for each in config.channels[name].providers]
    unknown = [name for name in providers if name not in known]
    if unknown:
        raise ConfigError(
            [
                f"providers[{name!r}]: no channel that is drained has this provider; {nearest(name, known)}"
                for name in unknown
            ]
        )

    def load(channel: str, name: str, section: Mapping[str, Any]) -> Provider:  # noqa: ARG001
        return _as_provider(providers.get(name, provider))

    routes = process.routes(config, names, listener, load=load)
    for route in routes:
        hangs = any(getattr(each, "hangs", False) for each in route.providers.values())
        changes: dict[str, Any] = {"jitter": 0.0, "rate": None} | ({"timeout": PATIENCE} if hangs else {})
        route.policy = route.policy.model_copy(update=changes)
        route.completion, route.rates = None, {}
    return routes


def _as_provider(given: Any) -> Provider:
    """Take a provider, or a function as one."""
    made: Provider = (
        given if isinstance(given, FakeProvider) else Function(given) if not hasattr(given, "send") else given
    )
    return made if isinstance(made, FakeProvider | Function) or _is_async(made) else Blocking(made)


def _is_async(provider: Any) -> bool:
    return iscoroutinefunction(provider.send)
