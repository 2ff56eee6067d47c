"""One thing that the numbers say, and what to change about it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence or two for people, the numbers that it rests on, and what would help, where something would."""

    about: str
    says: str
    facts: Mapping[str, float | str] = field(default_factory=dict)
    change: str | None = None
