"""What a provider says of a message may quote it: its words are kept, and the message's are left out of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_SHORTEST = 4  # characters; what is shorter says nothing, and would be found everywhere
_LEFT_OUT = "…"
_NOT_TOLD = {"id", "channel", "recipient", "sender", "tags", "template", "locale", "topic", "group_key", "created_at"}
"""Fields of messages that say whom and what it is about, and not what it says."""


def without_echo(detail: str, message: Any) -> str:
    """Return `detail` without any line, and any value, of the message that is quoted whole in it."""
    for text in sorted(_texts(message), key=len, reverse=True):
        if text in detail:
            detail = detail.replace(text, _LEFT_OUT)
    return detail


def _texts(value: Any) -> Iterator[str]:
    """Yield what a message says: its texts, and their lines, as a cleaned error would have them."""
    if isinstance(value, str):
        for text in (value, *value.splitlines()):
            flat = " ".join(text.split())
            if len(flat) >= _SHORTEST:
                yield flat
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif hasattr(value, "_asdict"):
        yield from _texts({name: each for name, each in value._asdict().items() if name not in _NOT_TOLD})
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
