"""What the contract test has to know of a provider's far side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from outbox.messages import Email
from tests.providers.server import HttpServer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from outbox.errors import DeliveryError
    from tests.providers.server import Reply, Request

KEY = "0192f0c1-7c00-7b1e-8000-0123456789ab"
"""The notification's id in all contract tests."""
CANARY = "tiramisu-4711"
"""A word of the message that must not turn up in any log or error."""
EMAIL = Email(
    "grace@example.net",
    "Grüße",
    CANARY,
    f"<p>{CANARY}</p>",
    {"Reply-To": "help@example.org", "X-Campaign": "spring"},
)
"""What every provider of email is given to send."""


@dataclass(frozen=True)
class Refusal:
    """One answer that is no acceptance, and what it means.

    `row` is the row that it is for: of the provider's `CODES`, a text, or of its `STATUSES`, a number.
    """

    reply: Reply
    means: type[DeliveryError]
    row: str | int = ""
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
    """All but what `settings_at` gives; files among them are those of `files`, by their names."""
    secrets: Sequence[str]
    message: Any
    """What is sent, or a function that makes it, given the server's URL."""
    accept: Callable[[Request], Reply]
    refused: Reply
    """What a wrong secret is answered with."""
    receipt: str | None
    """The id that `accept` gives the message."""
    refusals: Sequence[Refusal]
    """At least one for every row of the provider's tables."""
    probed: Callable[[Request], Reply] | None = None
    probe_at: Callable[[str], Mapping[str, Any]] | None = None
    """Where a probe only looks whether somebody is there: the settings by which it looks for the server at a URL."""
    too_many: Any = b""
    """The body of a 429."""
    files: Callable[[str], Mapping[str, str]] = lambda _url: {}
    """The files that the settings and the page's example name, given the server's URL."""
    server: type[HttpServer] = HttpServer
    """What it speaks."""
    tls: bool = False
    """Whether it may only be spoken to over TLS."""
    same: Callable[[Request], object] = lambda request: request.body
    """What two attempts have in common: all of the body, unless the protocol wants something new in each."""
    settings_at: Callable[[str], Mapping[str, Any]] | None = None
    """The settings by which the provider finds the server at a URL; None: by `url`, if it has that."""
    statuses: Mapping[int, type[DeliveryError]] = field(default_factory=dict)
    """What statuses mean where that is not what they mean everywhere."""
    aside: Callable[[Request], Reply | None] = lambda _request: None
    """What is asked of the server besides, such as an access token: answered whatever else it is told to do."""
