"""clear_preference: forget what somebody said of a topic on a channel, so that the topic's default holds again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outbox.queue.entry import Key
    from outbox.steps import Steps

CLEAR = """
SELECT cleared, ended, in_hand
FROM outbox.clear_preference(CAST(:channel AS text), CAST(:recipient AS text), CAST(:topic AS text))
"""


@dataclass(frozen=True, slots=True)
class PreferenceCleared:
    """What forgetting a preference did: `cleared` is False where there was none; the rest as of `PreferenceSet`."""

    cleared: bool
    ended: int
    in_hand: int


def clear_preference(key: Key) -> Steps[PreferenceCleared]:
    """Forget what was said. Where people have to opt in to the topic, what waits for them ends."""
    ((cleared, ended, in_hand),) = yield (
        CLEAR,
        {name: key.parameters()[name] for name in ("channel", "recipient", "topic")},
    )
    return PreferenceCleared(cleared, ended, in_hand)
