"""What the contract test has to know of a provider's far side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from outbox.errors import DeliveryError
    from tests.providers.server import Reply, Request

KEY = "0192f0c1-7c00-7b1e-8000-0123456789ab"
"""The notification's id in all contract tests."""
CANARY = "tiramisu-4711"
"""A word of the message that must not turn up in any log or error."""


@dataclass(frozen=True)
class Refusal:
    """One answer that is no acceptance, and what it means; `row` is the row of the provider's table that it is for."""

    reply: Reply
    means: type[DeliveryError]
    row: str = ""
    retry_after: float | None = None
    """About so many seconds are asked for."""


def _by_url(url: str) -> Mapping[str, Any]:
    return {"url": url}


@dataclass(frozen=True)
class Counterpart:
    """The provider as its documentation describes it.

    `accept` answers a request that is as it should be, and 401 to one with a wrong secret; it asserts all that is
    documented of the request: method, path, headers, body. `probed` answers a probe.
    """

    settings: Mapping[str, Any]
    """All but what `settings_at` gives."""
    secrets: Sequence[str]
    message: Any
    accept: Callable[[Request], Reply]
    refused: Reply
    """What a wrong secret is answered with."""
    receipt: str | None
    """The id that `accept` gives the message."""
    refusals: Sequence[Refusal]
    """At least one for every row of the provider's table."""
    probed: Callable[[Request], Reply] | None = None
    too_many: Any = b""
    """The body of a 429."""
    settings_at: Callable[[str], Mapping[str, Any]] = _by_url
    """The settings by which the provider finds the server at a URL."""
    message_at: Callable[[str], Any] | None = None
    """The message for a server at a URL, where it is the message that names it."""
    statuses: Mapping[int, type[DeliveryError]] = field(default_factory=dict)
    """What statuses mean where that is not what they mean everywhere."""
