"""`python -m docsite`: write what is committed and made from the code: the pictures, and the page of the catalog."""

from __future__ import annotations

import sys
from importlib import import_module

from docsite import catalog
from docsite.tree import DOCS

PICTURES = ("architecture", "states", "sequence", "lease")


def pictures() -> dict[str, str]:
    """Return the pictures by the names of their files, below docs/images."""
    return {f"{name}.svg": import_module(f"docsite.pictures.{name}").draw().svg() for name in PICTURES}


def main() -> None:
    """Write everything, and say where."""
    files = {DOCS / "images" / name: svg for name, svg in pictures().items()}
    with catalog.migrated() as url:
        files[catalog.PAGE] = catalog.page(url)
    for path, text in files.items():
        path.write_text(text, encoding="utf-8")
        sys.stdout.write(f"wrote {path.relative_to(DOCS.parent)}\n")


if __name__ == "__main__":
    main()
