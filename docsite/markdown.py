"""Markdown of one file for another place: whole or by section, with links that lead to the same files from there."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path

_LINK = re.compile(r"(?<=\]\()(?!https?://|mailto:)([^)#\s]*)(#[^)\s]*)?(?=\))")
_FENCE = re.compile(r"^(`{3,}|:{3,}).*?^\1 *$", re.MULTILINE | re.DOTALL)


class Heading(NamedTuple):
    """A heading of a file: how deep, its words, and the anchor that a git host gives it."""

    depth: int
    words: str
    anchor: str
    begin: int
    """Where it stands in the text."""


class NoSection(LookupError):
    """A file has no heading with this anchor."""


def headings(text: str) -> list[Heading]:
    """Return the headings of a text in their order; a # inside a fenced block is none."""
    quiet = _FENCE.sub(lambda block: re.sub(r"\S", "x", block[0]), text)
    found: list[Heading] = []
    for match in re.finditer(r"^(#{1,6}) +(.+?) *$", quiet, re.MULTILINE):
        words = text[match.start(2) : match.end(2)]
        slug = anchor = _slug(words)
        taken = {heading.anchor for heading in found}
        for number in range(1, len(found) + 1):
            if anchor not in taken:
                break
            anchor = f"{slug}-{number}"
        found.append(Heading(len(match[1]), words, anchor, match.start()))
    return found


def section(text: str, anchor: str) -> str:
    """Return what stands under a heading, without it, up to the next one of its depth or above.

    Raises:
        NoSection: there is no such heading.
    """
    known = headings(text)
    for number, heading in enumerate(known):
        if heading.anchor == anchor:
            after = [other.begin for other in known[number + 1 :] if other.depth <= heading.depth]
            return text[text.index("\n", heading.begin) : after[0] if after else None].strip() + "\n"
    raise NoSection(f"there is no #{anchor}: {', '.join(heading.anchor for heading in known)}")


def links(text: str) -> list[tuple[str, str]]:
    """Return the relative links of a text as (path, anchor), images too; those inside fenced blocks are none."""
    return [(match[1], (match[2] or "#")[1:]) for match in _LINK.finditer(_FENCE.sub("", text))]


def moved(text: str, source: Path, place: Path) -> str:
    """Return the text of the file `source` for the folder `place`: its links lead where they did."""

    def there(match: re.Match[str]) -> str:
        target = os.path.relpath(source.parent / match[1] if match[1] else source, place)
        return target + (match[2] or "")

    return _LINK.sub(there, text)


def _slug(words: str) -> str:
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", words)
    return re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
