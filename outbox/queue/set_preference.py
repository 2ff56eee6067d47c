"""set_preference: somebody wants a topic on a channel, or does not; what waits of what they do not want ends."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from outbox.errors import InvalidPreference
from outbox.queue.choice import refuse_undeclared
from outbox.queue.declared import DECLARED, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    from outbox.queue.choice import Choice
    from outbox.steps import Steps

SET = """
SELECT changed, ended, in_hand, lifted, CAST(array_to_json(kept) AS text)
FROM outbox.set_preferences(
    CAST(:channels AS text[]), CAST(:recipients AS text[]), CAST(:topics AS text[]),
    CAST(CAST(:wanteds AS text[]) AS boolean[]), CAST(:sources AS text[]))
"""


@dataclass(frozen=True, slots=True)
class PreferenceSet:
    """What writing down a preference did. `changed` is False where they had said the same before.

    After a no, `ended` notifications waited, and will not be sent; `in_hand` are in a worker's hands this moment, or
    locked by somebody. After a yes, `lifted` is the reason of the suppression of this very topic that is gone, None
    where none is. `kept` are the reasons for which the recipient still is not contacted about it.
    """

    changed: bool
    ended: int
    in_hand: int
    lifted: str | None
    kept: tuple[str, ...]


def set_preferences(choices: Sequence[Choice], source: str, *, numbered: bool) -> Steps[list[PreferenceSet]]:
    """Write down what people want, all of it or nothing; an error names the one of many where they are `numbered`.

    Raises:
        InvalidPreference: nobody can choose so; nothing was written.
    """
    declared = read((yield DECLARED, {}))
    seen: set[tuple[str, str, str]] = set()
    for position, choice in enumerate(choices):
        refuse_undeclared(choice, declared, position if numbered else None)
        recipient = choice.recipient.lower() if choice.channel == "email" else choice.recipient
        if (choice.channel, recipient, choice.topic) in seen:
            raise InvalidPreference(f"[{position}]", "is about the same as one before it")
        seen.add((choice.channel, recipient, choice.topic))
    rows = yield (
        SET,
        {
            "channels": [choice.channel for choice in choices],
            "recipients": [choice.recipient for choice in choices],
            "topics": [choice.topic for choice in choices],
            "wanteds": [str(choice.wanted).lower() for choice in choices],
            "sources": [source] * len(choices),
        },
    )
    return [
        PreferenceSet(changed, ended, in_hand, lifted, tuple(json.loads(kept)))
        for changed, ended, in_hand, lifted, kept in rows
    ]
