"""A Sphinx extension: what is made from the code, or stands in another file, comes to where a page has a mark for it.

A mark is a comment in a line of its own, which a git host does not show: `<!-- insert: NAME ARGUMENT -->`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docsite import commands, python, tree
from docsite.markdown import moved, section

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sphinx.application import Sphinx

MARK = re.compile(r"^<!-- insert: ([\w-]+)(?: ([^>]+))? -->$", re.MULTILINE)


def of_a_file(argument: str, page: Path) -> str:
    """Return another file, or, by `FILE#ANCHOR`, what stands there under a heading."""
    name, _, anchor = argument.partition("#")
    file = (page.parent / name).resolve()
    text = file.read_text(encoding="utf-8")
    return moved(section(text, anchor) if anchor else text.partition("\n")[2], file, page.parent)


INSERTS: dict[str, Callable[[str, Path], str]] = {
    "file": of_a_file,
    "sidebar": lambda _, page: tree.sidebar(),  # noqa: ARG005
    "map": lambda _, page: tree.overview(),  # noqa: ARG005
    "python": lambda words, page: python.reference(words),  # noqa: ARG005
    "children": lambda _, page: tree.children(page),
    "commands": lambda _, page: commands.page(),  # noqa: ARG005
}


def inserted(text: str, page: Path) -> str:
    """Return a page's text with everything in the place of its mark.

    Raises:
        KeyError: a mark has a name that there is not.
    """
    return MARK.sub(lambda mark: INSERTS[mark[1]](mark[2] or "", page), text)


def _read(app: Sphinx, name: str, source: list[str]) -> None:
    if MARK.search(source[0]):
        source[0] = inserted(source[0], app.env.doc2path(name))
        app.env.note_reread()  # what it takes in may have changed, though the page has not


def setup(app: Sphinx) -> dict[str, Any]:
    """Say what Sphinx calls."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
