"""sentry: reports what nobody expected to Sentry: defects of providers, of templates, of ours, and crashes.

What a provider says of a message is expected, and never reported. A report has the class of an exception and the
calls that led to it: neither its words, nor a variable, a recipient, a payload, or a URL of the database is in it.
"""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from outbox import events, template_events
from outbox.defects import Defect
from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from outbox.config import SentryConfig
    from outbox.events import Event

_PATIENCE = 2.0
_AGAIN_AFTER = 60.0
_MOST_KINDS = 1_000


class Reports:
    """A listener that reports the events which are defects; the same one once a minute at most, with how many more."""

    def __init__(self, settings: SentryConfig, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Make one of `[sentry]`, which has a dsn.

        Raises:
            ConfigError: the package sentry-sdk is not there.
        """
        try:
            from sentry_sdk import Client  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigError(["sentry.dsn needs the package sentry-sdk: install outbox[sentry]"]) from None
        self._clock = clock
        self._told: dict[tuple[str, ...], tuple[float, int]] = {}
        # A client of our own, with nothing that looks around by itself: an application's is not touched.
        self._client = Client(
            dsn=settings.dsn.get_secret_value() if settings.dsn else None,
            environment=settings.environment,
            release=f"outbox@{version('outbox')}",
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            max_breadcrumbs=0,
            auto_session_tracking=False,
            send_client_reports=False,
        )

    def __call__(self, event: Event) -> None:
        """Report one event, if it is a defect."""
        match event:
            case events.ProviderFailed(channel, provider, kind, _, defect):
                self._report(defect or Defect(kind, ()), channel=channel, provider=provider)
            case template_events.ComposeFailed(_, channel, template, kind, _, defect):
                self._report(defect or Defect(kind, ()), channel=channel, template=template or "none")
            case events.ChoreFailed(chore, _, Defect() as defect):
                self._report(defect, chore=chore)
            case events.ProcessDied(_, _, ending, _):
                self._report(Defect("ProcessDied", ()), words=f"a worker process {ending}")
            case events.LoopStuck():
                self._report(Defect("LoopStuck", ()), words="the event loop stands still, and the process ends")
                self._client.flush(timeout=_PATIENCE)  # there is no later
            case _:
                pass

    def crashed(self, error: BaseException) -> None:
        """Report what ends this process."""
        self._report(Defect.of(error), level="fatal")

    def close(self) -> None:
        """Send what is not sent yet, if that can be done within two seconds."""
        self._client.close(timeout=_PATIENCE)

    def _report(self, defect: Defect, *, level: str = "error", words: str | None = None, **tags: str) -> None:
        last = defect.frames[-1:]
        kind = (defect.kind, *tags.values(), *(f"{frame.module}:{frame.line}" for frame in last))
        until, more = self._told.get(kind, (0.0, 0))
        now = self._clock()
        if now < until:
            self._told[kind] = until, more + 1
            return
        if len(self._told) >= _MOST_KINDS:
            self._told.clear()
        self._told[kind] = now + _AGAIN_AFTER, 0
        frames = [
            {"filename": file, "module": module, "function": function, "lineno": line, "in_app": True}
            for file, module, function, line in defect.frames
        ]
        raised: dict[str, Any] = {"type": defect.kind, "value": words or ""}
        if frames:
            raised["stacktrace"] = {"frames": frames}
        extra = {"more_since_the_last_report": more}
        self._client.capture_event(
            {"level": level, "logger": "outbox", "exception": {"values": [raised]}, "tags": tags, "extra": extra}  # type: ignore[typeddict-item]
        )
