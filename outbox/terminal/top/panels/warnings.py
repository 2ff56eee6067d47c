"""What somebody should see to: the warnings of `outbox status`, after what these looks found out themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from outbox.terminal.top.ink import wrapped
from outbox.terminal.top.panels.providers import about, holds, pairs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from outbox.terminal.top.ink import Line
    from outbox.terminal.top.scene import Scene

_LONGEST = 3  # lines


def told(scene: Scene) -> list[str]:
    """Return them as sentences, the most urgent first."""
    return [*_held(scene), *scene.warnings, *_late(scene)]


def draw(scene: Scene, width: int, height: int) -> list[Line]:
    """Return as many as there is room for; the last line counts the others."""
    sentences = told(scene)
    if not sentences or height < 1:
        return []
    lines: list[Line] = []
    for place, sentence in enumerate(sentences):
        left = len(sentences) - place
        if len(lines) + 1 == height and left > 1:
            more = f" +{left - 1} more"
            (line,) = wrapped(sentence, width - len(more), 1, "! ", "warn")
            return [*lines, (*line, (more, "warn"))]
        lines += wrapped(sentence, width, min(max(height - len(lines) - left + 1, 1), _LONGEST), "! ", "warn")
    return lines


def wanted(scene: Scene, width: int) -> int:
    """Return how many lines all of them take."""
    return sum(len(wrapped(sentence, width, _LONGEST, "! ")) for sentence in told(scene))


def _held(scene: Scene) -> Iterator[str]:
    for channel, provider in pairs(scene):
        if channel is not None and holds(scene, channel, provider) and not scene.paused("provider", provider):
            yield about(scene, f"{provider} {channel}")


def _late(scene: Scene) -> Iterator[str]:
    if scene.late:
        yield f"the database took too long to say: {', '.join(scene.late)}; what is shown of that is older"
