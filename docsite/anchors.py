"""A Sphinx extension: `<a id="name"></a>`, which a git host heeds, is a place that links lead to here as well."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.transforms import SphinxTransform

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ANCHOR = re.compile(r'<a id="([\w-]+)">')


class Anchors(SphinxTransform):
    """Makes targets of them, before anybody looks for the targets of links."""

    default_priority = 4

    def apply(self, **_: Any) -> None:
        """Go through the HTML of one page."""
        for raw in list(self.document.findall(nodes.raw)):
            if found := ANCHOR.fullmatch(raw.astext()):
                target = nodes.target("", "", names=[found[1]], ids=[found[1]])
                self.document.note_explicit_target(target)
                raw.replace_self(target)
                after = target.next_node(nodes.raw, descend=False, siblings=True)
                if after is not None and after.astext() == "</a>":
                    after.parent.remove(after)


def setup(app: Sphinx) -> dict[str, Any]:
    """Say what Sphinx calls."""
    app.add_transform(Anchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
