"""The site of the documentation: made without a warning, whole, and by itself."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from playwright.sync_api import sync_playwright

import outbox
from docsite import catalog, commands, tree
from docsite.inserts import MARK
from docsite.markdown import headings, links
from docsite.python import exported
from tests.looker import CHROMIUM

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "examples" / "README.md", *ROOT.glob("docs/**/*.md")])
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site, made once for all workers of a run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "site"
    folder.mkdir(exist_ok=True)
    told = folder / "told"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not told.exists():
            # Colours of the sources are a fifth of the time, and nothing that a test looks at.
            command = ["sphinx", "-q", "-W", "--keep-going", "-D", "sources_in_colour=0", "docs", str(folder / "html")]
            done = subprocess.run(
                [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
            )
            told.write_text(f"{done.returncode}\n{done.stdout}{done.stderr}")
    code, _, words = told.read_text().partition("\n")
    assert code == "0", words
    return folder / "html"


class Reader(HTMLParser):
    """What a page refers to, and the places in it that can be referred to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.assets: list[str] = []
        self.ids: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        else:
            self.assets += [given[name] for name in ("src", "srcset", "href", "data", "poster") if name in given]


@cache
def read(path: Path) -> Reader:
    return Reader(path)


def is_foreign(reference: str) -> bool:
    return bool(urlsplit(reference).netloc)


def test_the_site_is_made_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()


def test_every_link_of_the_site_leads_to_a_place_of_it(site: Path) -> None:
    lost = []
    for page in site.rglob("*.html"):
        for link in {*read(page).links, *read(page).assets}:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            if not target.is_file() or (parts.fragment and parts.fragment not in read(target).ids):
                lost.append(f"{page.relative_to(site)}: {link}")
    assert lost == []


def test_the_site_takes_nothing_from_another_host(site: Path) -> None:
    taken = [
        f"{page.relative_to(site)}: {asset}"
        for page in site.rglob("*.html")
        for asset in read(page).assets
        if is_foreign(asset)
    ]
    for sheet in [*site.rglob("*.css"), *site.rglob("*.svg")]:
        text = sheet.read_text(encoding="utf-8")
        asked = re.findall(r"""(?:url\(|@import\s*|xlink:href=|<image[^>]*\shref=)["']?(https?:)?//[^"')\s]+""", text)
        taken += [f"{sheet.relative_to(site)}: {one}" for one in asked]
    assert taken == []


@pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")
def test_search_copies_and_the_dark_work_without_a_network(site: Path) -> None:
    asked: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(color_scheme="dark")
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "search.html").as_uri() + "?q=quiet+hours")
        page.wait_for_selector("ul.search li a[href^='time.html']")
        page.goto((site / "time.html").as_uri())
        page.wait_for_selector("button.copybtn", state="attached")
        dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
        browser.close()
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert max(int(part) for part in re.findall(r"\d+", dark)[:3]) < 64


def test_every_page_is_in_the_tree() -> None:
    listed = {page for branch in tree.branches() for page in branch.pages}
    for page in [page for page in listed if page.endswith("README.md")]:
        listed |= {other.relative_to(tree.DOCS).as_posix() for other in (tree.DOCS / page).parent.glob("*.md")}
    there = {page.relative_to(tree.DOCS).as_posix() for page in tree.DOCS.rglob("*.md")} - {"index.md"}
    assert there - listed == set(), "README's lists make the tree: name it there"
    assert listed - there == set()


def test_a_folders_page_links_to_each_of_its_pages() -> None:
    for readme in tree.DOCS.rglob("README.md"):
        linked = {path for path, _ in links(readme.read_text(encoding="utf-8"))}
        assert {page.name for page in readme.parent.glob("*.md") if page != readme} <= linked


@cache
def places(page: Path) -> set[str]:
    text = page.read_text(encoding="utf-8")
    return {heading.anchor for heading in headings(text)} | set(re.findall(r'<a id="([\w-]+)">', text))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_to_a_place_in_it(page: Path) -> None:
    lost = []
    for path, anchor in links(page.read_text(encoding="utf-8")):
        target = (page.parent / unquote(path)).resolve() if path else page
        made = target.suffix == ".md" and MARK.search(target.read_text(encoding="utf-8")) if target.is_file() else None
        if not target.exists() or (anchor and target.suffix == ".md" and not made and anchor not in places(target)):
            lost.append(f"{path}#{anchor}")
    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_page_has_one_title_and_every_picture_says_what_it_shows(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [heading.depth for heading in headings(text)].count(1) == 1
    assert [picture for words, picture in re.findall(r"!\[(.*?)\]\(([^)]+)\)", text) if len(words) < 10] == []


def test_links_to_other_places_are_well_formed() -> None:
    found = {link for page in PAGES for link in re.findall(r"\]\((\w+://[^)\s]+)\)", page.read_text(encoding="utf-8"))}
    assert len(found) > 10
    wrong = {link for link in found if urlsplit(link).scheme != "https" or "." not in (urlsplit(link).hostname or "")}
    assert wrong == set(), "make docs-links asks whether they lead somewhere"


def test_every_public_name_is_on_the_page_about_python() -> None:
    marks = [mark[2].split() for mark in MARK.finditer((tree.DOCS / "python.md").read_text(encoding="utf-8"))]
    of_outbox = [name for where, *names in marks if where == "outbox" for name in names]
    assert sorted(of_outbox) == sorted(outbox.__all__)
    whole = {where for where, *names in marks if not names}
    assert {"outbox.testing", "outbox.suppressions", "outbox.unsubscribe"} <= whole
    for where in whole:
        assert exported(where) == [name for name in exported(where) if hasattr(import_module(where), name)] != []


def test_the_page_about_commands_has_all_of_them() -> None:
    def walk(command: commands.Command) -> Iterator[commands.Command]:
        yield command
        for below in command.commands:
            yield from walk(below)

    page = commands.page()
    known = list(walk(commands.read(commands.root())))
    assert len(known) > 50
    anchors = {heading.words for heading in headings(page)}
    assert {command.name for command in known} - anchors == {"outbox"}
    for command in known:
        assert all("| `" + option.names.replace("|", "\\|") + "` |" in page for option in command.options)
        assert all(example in page for example in command.examples)


def test_the_page_of_the_catalog_is_what_a_migrated_database_has(cloned_url: str) -> None:
    assert catalog.PAGE.read_text(encoding="utf-8") == catalog.page(cloned_url), "make reference"
