"""spans: each delivery as a span of OpenTelemetry, in the trace that its notification was enqueued in.

Names and attributes are those of the conventions for messaging (https://opentelemetry.io/docs/specs/semconv/messaging/);
what they have no name for is below `messaging.outbox`. No span says who the recipient is, nor what anybody said.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, TypeAlias

from outbox import traces
from outbox.events import FailedOver
from outbox.outcomes import Ambiguous, Dead, Retry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Span, SpanContext, Tracer

    from outbox.events import Event, Listener
    from outbox.outcomes import Outcome
    from outbox.queue.claim import Claimed

    End: TypeAlias = Callable[[int, Outcome], str | None]

_OURS = "messaging.outbox"


def find_spans() -> Spans | None:
    """Return what makes spans, if the process has a provider of tracers: whoever wants none pays for none."""
    api = traces.opentelemetry()
    if api is None:
        return None
    provider = api.get_tracer_provider()
    if isinstance(provider, api.ProxyTracerProvider | api.NoOpTracerProvider):
        return None
    return Spans(api, provider.get_tracer("outbox", version("outbox")))


class Spans:
    """Makes the spans of this process; `api` is the module `opentelemetry.trace`."""

    def __init__(self, api: Any, tracer: Tracer) -> None:
        self._api = api
        self._tracer = tracer

    @contextmanager
    def delivery(self, claimed: Claimed, channel: str) -> Iterator[End]:
        """Have a span for as long as the block lasts, in which what the provider does has its own.

        It is a child of the span in which the notification was enqueued, so that one trace has both, and linked to it,
        as the conventions want it. Where there was none it begins a trace. What the block is given is to be called
        with the attempt and the outcome, and returns the id of the trace if that is recorded.
        """
        api = self._api
        origin = self._origin(claimed.trace)
        within = api.Context()
        if origin is not None:
            within = api.set_span_in_context(api.NonRecordingSpan(origin), within)
        with self._tracer.start_as_current_span(
            f"deliver {channel}",
            context=within,
            kind=api.SpanKind.CONSUMER,
            attributes={
                "messaging.system": "outbox",
                "messaging.operation.name": "deliver",
                "messaging.operation.type": "process",
                "messaging.destination.name": channel,
                "messaging.message.id": claimed.key,
            },
            links=() if origin is None else (api.Link(origin),),
            record_exception=False,  # their words may quote the message
            set_status_on_exception=False,
        ) as span:
            yield partial(self._end, span)

    def _end(self, span: Span, attempt: int, outcome: Outcome) -> str | None:
        if not span.is_recording():
            return None
        said: dict[str, Any] = {
            "outcome": outcome.name,
            "attempt": attempt,
            "provider": outcome.provider,
            "reason": outcome.reason,
        }
        failure = outcome.failure
        if failure is not None:
            said["code"] = failure.code
        span.set_attributes({f"{_OURS}.{name}": value for name, value in said.items() if value is not None})
        # What was put off before any provider was asked, or must not be sent, has not failed.
        if failure is not None and (outcome.provider is not None or isinstance(outcome, Retry | Dead | Ambiguous)):
            span.set_attribute("error.type", failure.error_class)
            span.set_status(self._api.Status(self._api.StatusCode.ERROR, failure.code or failure.error_class))
        context = span.get_span_context()
        return f"{context.trace_id:032x}" if context.trace_flags.sampled else None

    def noting(self, listener: Listener) -> Listener:
        """Return a listener that puts what happens on the way into the span as well; once is enough."""
        return listener if isinstance(listener, _Noting) else _Noting(self._api, listener)

    def _origin(self, traceparent: str | None) -> SpanContext | None:
        parts = traces.read(traceparent)
        if parts is None:
            return None
        trace, span, flags = parts
        sampled = self._api.TraceFlags(flags)
        origin: SpanContext = self._api.SpanContext(trace, span, is_remote=True, trace_flags=sampled)
        return origin


class _Noting:
    def __init__(self, api: Any, listener: Listener) -> None:
        self._api = api
        self._listener = listener

    def __call__(self, event: Event) -> None:
        if isinstance(event, FailedOver):
            about = {f"{_OURS}.provider": event.provider, "error.type": event.error.name}
            if event.error.code is not None:
                about[f"{_OURS}.code"] = event.error.code
            self._api.get_current_span().add_event("failed over", about)
        self._listener(event)
