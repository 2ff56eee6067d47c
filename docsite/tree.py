"""The tree of the site: the lists of README's "Where things are", whose headings are those of the sidebar."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from docsite.markdown import headings, moved, section

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LIST = "where-things-are"
# What stands elsewhere in the repository has a page that takes it in.
ELSEWHERE = {
    "CHANGELOG.md": "docs/changelog.md",
    "examples/README.md": "docs/examples.md",
    "docs/decisions": "docs/decisions/README.md",
}


class Branch(NamedTuple):
    """One list: its heading, and its pages, as paths below docs/, with what the list says of each."""

    heading: str
    pages: dict[str, str]


def branches() -> list[Branch]:
    """Return the lists in their order."""
    text = section((ROOT / "README.md").read_text(encoding="utf-8"), LIST)
    return [Branch(heading.words, _pages(section(text, heading.anchor))) for heading in headings(text)]


def _pages(text: str) -> dict[str, str]:
    found = {}
    for link, words in re.findall(r"^\| \[[^\]]*\]\(([^)#]+)\) \| (.*) \|$", text, re.MULTILINE):
        path = ELSEWHERE.get(link.rstrip("/"), link)
        found[path.removeprefix("docs/")] = words
    return found


def sidebar() -> str:
    """Return the tree as hidden tables of contents: a caption for each list."""
    return "\n".join(_contents(branch.heading, list(branch.pages)) for branch in branches())


def overview() -> str:
    """Return the lists for a page of docs/, each page by its title."""
    text = section((ROOT / "README.md").read_text(encoding="utf-8"), LIST)
    for link, page in ELSEWHERE.items():
        text = re.sub(rf"\({re.escape(link)}(?:/README\.md)?\)", f"({page})", text)
    text = moved(text[text.index("### ") :], ROOT / "README.md", DOCS)
    return re.sub(r"^\| \[[^\]]*\]\(([^)]*)\)", lambda row: f"| [{_title(row[1])}]({row[1]})", text, flags=re.MULTILINE)


def _title(page: str) -> str:
    return headings((DOCS / page).read_text(encoding="utf-8"))[0].words


def children(page: Path) -> str:
    """Return the hidden table of contents of a folder's README: the other pages of the folder."""
    return _contents("", sorted(other.name for other in page.parent.glob("*.md") if other != page))


def _contents(caption: str, pages: list[str]) -> str:
    listed = "\n".join(page.removesuffix(".md") for page in pages)
    options = f":caption: {caption}\n" if caption else ""
    return f":::{{toctree}}\n:hidden:\n:maxdepth: 1\n{options}\n{listed}\n:::\n"
