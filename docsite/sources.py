"""A Sphinx extension: links to files of the repository lead to pages that show them, so that the site is complete.

A link to a folder leads to a page with its files, each of which has a page too.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers.configs import TOMLLexer
from pygments.lexers.data import JsonLexer, YamlLexer
from pygments.lexers.javascript import JavascriptLexer
from pygments.lexers.python import PythonLexer
from pygments.lexers.shell import BashLexer
from pygments.lexers.special import TextLexer
from pygments.lexers.sql import PostgresLexer
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

from docsite.templates import PAGES as PAGES_OF_OURS
from docsite.tree import DOCS, ELSEWHERE, ROOT

if TYPE_CHECKING:
    from pygments.lexer import Lexer
    from sphinx.application import Sphinx

LEXERS: dict[str, Lexer] = {
    ".py": PythonLexer(),
    ".sql": PostgresLexer(),
    ".toml": TOMLLexer(),
    ".yml": YamlLexer(),
    ".yaml": YamlLexer(),
    ".json": JsonLexer(),
    ".mjs": JavascriptLexer(),
    ".sh": BashLexer(),
    ".md": TextLexer(),
    ".txt": TextLexer(),
    ".html": TextLexer(),
    ".jinja": TextLexer(),
    ".service": TextLexer(),
    "": TextLexer(),
}
FOLDER = "source"
SKIPPED = {"__pycache__", "node_modules", "vendor"}
PAGES = {"README.md": "index"} | {
    link: Path(page).relative_to("docs").with_suffix("").as_posix() for link, page in ELSEWHERE.items()
}


class LinksToSources(SphinxTransform):
    """Turns links to files outside of docs/ into links to their pages."""

    default_priority = 5

    def apply(self, **_: Any) -> None:
        """Go through the links of one page, before anybody else looks for their targets."""
        links = [*self.document.findall(addnodes.pending_xref), *self.document.findall(addnodes.download_reference)]
        for node in links:
            if node.get("reftype") == "myst" and (place := self._place(node)) is not None:
                name = PAGES.get(place, f"{FOLDER}/{place}")
                if place not in PAGES:
                    self.env.metadata[self.env.docname].setdefault("sources", []).append(place)
                uri = self.env._app.builder.get_relative_uri(self.env.docname, name)  # noqa: SLF001 - there is no other
                anchor = f"#{node['reftargetid']}" if node.get("reftargetid") else ""
                node.replace_self(nodes.reference("", "", *_plain(node), refuri=uri + anchor, internal=True))

    def _place(self, node: nodes.Element) -> str | None:
        target = node["reftarget"].partition("#")[0] + (".md" if node.get("refdomain") == "doc" else "")
        folder = DOCS if node.get("refdomain") == "doc" else Path(self.env.doc2path(self.env.docname)).parent
        path = (folder / target).resolve()
        if not path.exists() or not path.is_relative_to(ROOT):
            return None
        place = path.relative_to(ROOT).as_posix()
        return place if place in PAGES or not path.is_relative_to(DOCS) else None


def _plain(node: nodes.Element) -> list[nodes.Node]:
    return list(node.children[0].children) if isinstance(node.children[0], nodes.inline) else list(node.children)


def linked(app: Sphinx) -> set[str]:
    """Return every file and folder that has a page: those that are linked to, and the files of these folders."""
    found: set[str] = set()
    for data in app.env.metadata.values():
        found.update(data.get("sources", []))
    for place in list(found):
        if (ROOT / place).is_dir():
            found.update(file.relative_to(ROOT).as_posix() for file in _files(ROOT / place))
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and file.suffix in LEXERS and not SKIPPED & set(file.relative_to(ROOT).parts)
    )


def _write(app: Sphinx, failure: Exception | None) -> None:
    if failure or app.builder.format != "html":
        return
    # By a template of our own: with the theme's, whose sidebar is made anew for each page, it takes a minute.
    template = PAGES_OF_OURS.get_template("source.html.jinja")
    html = HtmlFormatter[str]()
    lexers = LEXERS if app.config.sources_in_colour else {}
    for place in sorted(linked(app)):
        path = ROOT / place
        files = _files(path) if path.is_dir() else []
        code = (
            ""
            if path.is_dir()
            else highlight(path.read_text(encoding="utf-8"), lexers.get(path.suffix, TextLexer()), html)
        )
        page = Path(app.outdir) / FOLDER / f"{place}.html"
        page.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * (place.count("/") + 1)
        names = [(f"{up}{FOLDER}/{file.relative_to(ROOT)}.html", file.relative_to(path)) for file in files]
        page.write_text(template.render(place=place, up=up, names=names, code=code), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Say what Sphinx calls."""
    app.add_config_value("sources_in_colour", default=True, rebuild="env", types=bool)
    app.add_transform(LinksToSources)
    app.connect("build-finished", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True, "env_version": 1}
