"""digests: what was sent, and of which template, in a few bytes: for an audit to compare, not to read."""

from __future__ import annotations

import hashlib
from itertools import chain
from typing import TYPE_CHECKING

from outbox.templates import layout, manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from outbox.templates.source import Files

SIZE = 16  # bytes of a SHA-256: nobody finds another text with the same ones


def of_texts(texts: Mapping[str, str]) -> bytes:
    """Return the digest of rendered texts with the names of their parts, in the order of these."""
    named = "\0".join(chain.from_iterable(sorted(texts.items())))
    return hashlib.sha256(named.encode(errors="surrogatepass")).digest()[:SIZE]


def of_source(template: str, files: Files, included: Callable[[str], Iterable[str] | None]) -> bytes:
    """Return the digest of a template: of all its texts, its template.toml, and what they include.

    `included` says what a file includes, or None where that is decided when it is rendered: then every file counts.
    """
    return of_texts({path: str(files[path]) for path in closure(template, files, included)})


def closure(template: str, files: Files, included: Callable[[str], Iterable[str] | None]) -> set[str]:
    """Return the paths of all files that a template is made of."""
    waiting = [path for path in files if _is_part(template, path)]
    found: set[str] = set()
    while waiting:
        path = waiting.pop()
        if path in found or path not in files:
            continue
        found.add(path)
        more = included(path) if path.rpartition("/")[2] != manifest.FILE else ()
        if more is None:
            return set(files)
        waiting += more
    return found


def _is_part(template: str, path: str) -> bool:
    if not path.startswith(f"{template}/"):
        return False
    folder, _, file = path[len(template) + 1 :].rpartition("/")
    return (not folder and file == manifest.FILE) or (file in layout.FILES and "/" not in folder)
