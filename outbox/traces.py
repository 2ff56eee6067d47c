"""traces: which trace something is part of, in the words of W3C Trace Context (https://www.w3.org/TR/trace-context/).

Whether there is one, OpenTelemetry knows, if the application uses it: nothing is imported to ask.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

_TRACEPARENT = re.compile(r"00-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
SAMPLED = 1


def opentelemetry() -> Any:
    """Return the module `opentelemetry.trace` if somebody has imported it; who has not is in no trace."""
    return sys.modules.get("opentelemetry.trace")


def current() -> str | None:
    """Return the `traceparent` of the span that we are in, if we are in one."""
    api = opentelemetry()
    if api is None:
        return None
    context: SpanContext = api.get_current_span().get_span_context()
    if not context.is_valid:
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags & 0xFF:02x}"


def recorded(traceparent: str | None) -> str | None:
    """Return the id of the trace, if there is one and somebody records it, so that it can be looked up."""
    parts = read(traceparent)
    return f"{parts[0]:032x}" if parts is not None and parts[2] & SAMPLED else None


def read(traceparent: str | None) -> tuple[int, int, int] | None:
    """Return the ids of the trace and of the span, and the flags. What is no traceparent is none."""
    found = _TRACEPARENT.fullmatch(traceparent) if traceparent else None
    if found is None:
        return None
    trace, span, flags = (int(part, 16) for part in found.groups())
    return trace, span, flags
