"""What the engine tells of templates, beside what `outbox.events` has, which names them among its events."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.defects import Defect


@dataclass(frozen=True, slots=True)
class ComposeFailed:
    """A message could not be made, for what is not a delivery error: a defect, of its template or of ours."""

    id: UUID
    channel: str
    template: str | None
    kind: str
    where: str
    defect: Defect | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class TemplatesChanged:
    """What has changed of the templates is used from now on; there are `count` of them."""

    count: int


@dataclass(frozen=True, slots=True)
class TemplatesRefused:
    """A change of the templates has mistakes, and is not used: what was there before is, until they are mended."""

    problems: tuple[str, ...]
