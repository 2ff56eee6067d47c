"""Providers that send nothing: each records what it accepts, and fails as it is told.

failing(Temporary("451 try later"), times=2)                        # each message twice, then it is accepted
failing(Unreachable("no such user"), recipients=["bob@example.org"])
hanging(times=1).failing(Rejected("spam"), recipients=["eve@example.org"])
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from outbox.channels.recorder import Provider as RecordingProvider
from outbox.channels.recorder import Settings
from outbox.errors import DeliveryError
from outbox.messages import InApp

if TYPE_CHECKING:
    from collections.abc import Collection

    from outbox.messages import Receipt

PATIENCE = 0.05
"""Seconds that a provider which hangs is given, instead of the channel's `timeout`."""


class _Rule(NamedTuple):
    """For whom, how often for each message, and what: no error is to hang."""

    error: DeliveryError | None
    times: int | None
    recipients: frozenset[str] | None
    accepts: bool


class FakeProvider:
    """Accepts everything, and records it in `outbox.channels.recorder.recorded`, until it is told otherwise.

    `key_lifetime` is for how many seconds it knows a message again by its key, and `sender` the sender of yours that
    a suppression may be about, as providers have them.
    """

    def __init__(self, *, key_lifetime: float = 0.0, sender: str = "") -> None:
        self.key_lifetime = key_lifetime
        self.sender = sender
        self.asked: list[Any] = []
        """Every message that it was given, whatever became of it."""
        self._rules: list[_Rule] = []
        self._failed: Counter[tuple[int, str]] = Counter()
        self._recorder = RecordingProvider(Settings())

    def failing(
        self,
        error: DeliveryError,
        *,
        times: int | None = None,
        recipients: Collection[str] | None = None,
        accepts: bool = False,
    ) -> Self:
        """Have it fail: with this error, so often for each message (None: always), for these recipients (None: all).

        Of several rules for a message the first counts that has not been used up. With `accepts` the message is
        recorded before it fails: what an `Ambiguous` error may have left behind.

        Raises:
            TypeError: it is no error that a provider raises.
        """
        if not isinstance(error, DeliveryError):
            raise TypeError(f"a provider fails with one of the delivery errors, such as Temporary(…), not {error!r}")
        return self._add(error, times, recipients, accepts=accepts)

    def hanging(self, *, times: int | None = None, recipients: Collection[str] | None = None) -> Self:
        """Have it hang until its time is over, which in a test is soon; `times` and `recipients` as above."""
        return self._add(None, times, recipients, accepts=False)

    @property
    def hangs(self) -> bool:
        """Whether some message makes it hang."""
        return any(rule.error is None for rule in self._rules)

    async def send(self, message: Any, key: str) -> Receipt:
        """Fail as told, or record the message."""
        self.asked.append(message)
        rule = self._rule_for(message, key)
        if rule is not None and rule.error is None:
            await asyncio.Event().wait()
        if rule is not None and not rule.accepts:
            raise _again(rule.error)
        receipt = await self._recorder.send(message, key)
        if rule is not None:
            raise _again(rule.error)
        return receipt._replace(inbox=message) if isinstance(message, InApp) else receipt

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _add(
        self, error: DeliveryError | None, times: int | None, recipients: Collection[str] | None, *, accepts: bool
    ) -> Self:
        if isinstance(recipients, str):
            recipients = [recipients]
        self._rules.append(_Rule(error, times, None if recipients is None else frozenset(recipients), accepts))
        return self

    def _rule_for(self, message: Any, key: str) -> _Rule | None:
        for number, rule in enumerate(self._rules):
            concerned = rule.recipients is None or getattr(message, "recipient", None) in rule.recipients
            if concerned and (rule.times is None or self._failed[number, key] < rule.times):
                self._failed[number, key] += 1
                return rule
        return None


def failing(
    error: DeliveryError,
    *,
    times: int | None = None,
    recipients: Collection[str] | None = None,
    accepts: bool = False,
) -> FakeProvider:
    """Return a provider that fails as told: `FakeProvider.failing` says how."""
    return FakeProvider().failing(error, times=times, recipients=recipients, accepts=accepts)


def hanging(*, times: int | None = None, recipients: Collection[str] | None = None) -> FakeProvider:
    """Return a provider that hangs until its time is over: what becomes of a message then is `Ambiguous`."""
    return FakeProvider().hanging(times=times, recipients=recipients)


def _again(error: DeliveryError | None) -> DeliveryError:
    """Return the error without the traces of the last time."""
    assert error is not None  # noqa: S101 - a rule without one hangs
    return error.with_traceback(None)
