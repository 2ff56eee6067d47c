"""Which dead letters: what people select them by, as the condition that statements put it in, and in words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from outbox.durations import describe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from uuid import UUID

FINGERPRINT = "concat_ws(' ', d.channel, d.provider, d.error_class, d.error_code, d.template)"
"""What has the same failed for the same reason: as in the view `audit_failures`."""
GROUP_OF = "left(encode(sha256(convert_to({}, 'UTF8')), 'hex'), 10)"
GROUP = GROUP_OF.format(FINGERPRINT)
"""The short id of a fingerprint: the beginning of its digest, the same in every database."""

# Of `d`, a dead letter. The digest comes last, because it costs a microsecond.
MATCHES = f"""
      (CAST(:channels AS text[]) IS NULL OR d.channel = ANY (CAST(:channels AS text[])))
  AND (CAST(:error_classes AS text[]) IS NULL OR d.error_class = ANY (CAST(:error_classes AS text[])))
  AND (CAST(:error_codes AS text[]) IS NULL OR d.error_code = ANY (CAST(:error_codes AS text[])))
  AND (CAST(:templates AS text[]) IS NULL OR d.template = ANY (CAST(:templates AS text[])))
  AND (CAST(:providers AS text[]) IS NULL OR d.provider = ANY (CAST(:providers AS text[])))
  AND (CAST(:reasons AS text[]) IS NULL OR d.reason = ANY (CAST(:reasons AS text[])))
  AND (CAST(:since AS text) IS NULL
       OR d.died_at >= statement_timestamp() - make_interval(secs => CAST(CAST(:since AS text) AS float8)))
  AND (CAST(:until AS text) IS NULL
       OR d.died_at <= statement_timestamp() - make_interval(secs => CAST(CAST(:until AS text) AS float8)))
  AND (CAST(:groups AS text[]) IS NULL OR {GROUP} = ANY (CAST(:groups AS text[])))
"""

_LONGEST_SUBJECT = 200
_NAMED = 100


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters: those that match every part that is given, and any one of the values of a part.

    `groups` are ids as `groups()` returns them. `since` and `until` are in seconds: those that died so long ago or
    later, and so long ago or before.
    """

    channels: Sequence[str] = ()
    error_classes: Sequence[str] = ()
    reasons: Sequence[str] = ()
    since: float | None = None
    until: float | None = None
    error_codes: Sequence[str] = ()
    templates: Sequence[str] = ()
    providers: Sequence[str] = ()
    groups: Sequence[str] = ()

    def parameters(self) -> dict[str, str | list[str | None] | None]:
        """Return the statements' parameters by name."""
        values: dict[str, str | list[str | None] | None] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in {"since", "until"}:
                values[field.name] = None if value is None else str(value)
            else:
                values[field.name] = list(value) or None
        return values

    def __str__(self) -> str:
        """Return it in the words of the audit: `channel:email reason:exhausted since:24h`, or `all`."""
        words: list[str] = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in {"since", "until"}:
                words += [] if value is None else [f"{field.name}:{describe(value)}"]
            else:
                words += [f"{_SINGULAR[field.name]}:{each}" for each in value]
        return " ".join(words) or "all"


_SINGULAR = {
    "channels": "channel",
    "error_classes": "class",
    "error_codes": "code",
    "templates": "template",
    "providers": "provider",
    "reasons": "reason",
    "groups": "group",
}
EVERY = Selection()


def subject_of(ids: Sequence[UUID], selection: Selection | None = None) -> str:
    """Return what the audit calls these dead letters: the selection that found them, else the id, or how many."""
    if selection is not None:
        return str(selection)[:_LONGEST_SUBJECT]
    return str(ids[0]) if len(ids) == 1 else f"{len(ids)} dead letters"


def named(ids: Iterable[UUID]) -> dict[str, object]:
    """Return the ids as the audit's details have them; there is no room for more than a hundred."""
    texts = [str(identity) for identity in ids]
    return {"ids": texts} if len(texts) <= _NAMED else {}
