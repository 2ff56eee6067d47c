"""What channels read from a payload, checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from outbox.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping


def text(payload: Mapping[str, Any], name: str) -> str | None:
    """Return the text under a key, None where there is none. Raises `Rejected` if it is something else."""
    value = payload.get(name)
    if value is None or isinstance(value, str):
        return value
    raise Rejected(f"payload: {name} must be text, not {type(value).__name__}")
