"""How an attempt can end, as frozen values: `deliver` returns one, `settle` writes it down.

An outcome says two things: what happened (its `name`, kept in `attempts`), and what happens next: the notification
ends, or it is due again after `delay` seconds. A `reason` means that it ends as a dead letter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

if TYPE_CHECKING:
    from outbox.durations import Quota
    from outbox.errors import DeliveryError
    from outbox.messages import Digests, InApp


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, in the form that is stored: the error's class by its name, the provider's code, its words."""

    error_class: str
    code: str | None
    detail: str

    @classmethod
    def of(cls, error: DeliveryError) -> Failure:
        """Return the storable form of a delivery error."""
        return cls(error.name, error.code, error.detail)


class Suppression(NamedTuple):
    """That the recipient must not be contacted from now on, and why; by `sender` alone, if that is one of ours."""

    reason: str
    sender: str = ""


class Surplus(NamedTuple):
    """That the throttle of a topic did not let it through, and what that does with the rest."""

    topic: str
    quota: Quota
    policy: str
    """`drop`, `defer` or `digest`."""
    wait: float
    """Seconds until there could be a place."""
    template: str | None = None
    """That of the digest it goes out in, if the topic has one for that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The base: `delay` None ends the notification, a `reason` makes it a dead letter, `provider` is who was tried."""

    name: ClassVar[str]
    is_attempt: ClassVar[bool] = False

    provider: str | None = None
    failure: Failure | None = None
    delay: float | None = None
    reason: str | None = None
    provider_message_id: str | None = None
    suppression: Suppression | None = None
    inbox: InApp | None = None
    """What the settlement is to write into the recipient's inbox."""
    digests: Digests | None = None
    """Those of what a provider was given, if that was rendered."""
    surplus: Surplus | None = None
    """Why it was not sent, if that was a throttle."""
    before: str | None = None
    """What the providers said that were tried before this one, in the same attempt, if any were."""
    tried: bool = False
    """Whether it was tried, and failed, before any provider was asked: a file could not be fetched, for instance."""

    @property
    def said(self) -> str | None:
        """The words that are recorded of it."""
        if self.before is None:
            return None if self.failure is None else self.failure.detail
        return self.before if self.failure is None else f"{self.failure.detail} ({self.before})"

    @property
    def used(self) -> bool:
        """Whether it uses up one of the attempts: only where something was tried, and only for what that may mean."""
        return self.is_attempt and (self.provider is not None or self.tried)

    def without_words(self) -> Self:
        """Return what happened, and what happens next, without anything that somebody said."""
        failure = self.failure and Failure(self.failure.error_class, None, "what was said could not be recorded")
        return replace(self, failure=failure, provider_message_id=None, suppression=None, before=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent(Outcome):
    """The provider accepted the message."""

    name = "sent"
    is_attempt = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry(Outcome):
    """Not accepted; the next attempt is due after `delay` seconds."""

    name = "retry"
    is_attempt = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead(Outcome):
    """Will not be delivered: a dead letter, for a person to look at, because of `reason`."""

    name = "dead"
    is_attempt = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred(Outcome):
    """Not tried, or not our message's fault (throttled, provider held): due after `delay` seconds, no attempt used."""

    name = "deferred"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppressed(Outcome):
    """The recipient must not be contacted, or not that often; `failure` says which suppression or throttle applied."""

    name = "suppressed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired(Outcome):
    """Too late to be worth sending."""

    name = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled(Outcome):
    """Not needed any more; `failure` says why: what it was to follow was read, or was sent."""

    name = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ambiguous(Outcome):
    """Nobody can know whether it was accepted: due again after `delay`, or stopped as a dead letter, by policy."""

    name = "ambiguous"
    is_attempt = True
