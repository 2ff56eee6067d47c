"""Which files make which template: `<name>/{subject.txt,body.txt,body.html}`, and `<name>/<locale>/…` over them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from outbox.templates.source import Files

PARTS = ("subject.txt", "body.txt", "body.html", "body.mjml")
ALONE = ("sms.txt", "push.txt", "inapp.txt", "chat.txt")
"""One file is the whole message on a channel; where it is there, the parts are not for that channel."""
TITLED = ("push.txt", "inapp.txt")
"""Of these, the first line is the title."""
FILES = (*PARTS, *ALONE)
_HTML = ("body.html", "body.mjml")
_WANTED = {
    "email": PARTS,
    "sms": ("body.txt",),
    "chat": ("body.txt",),
    "push": ("subject.txt", "body.txt"),
    "inapp": ("subject.txt", "body.txt"),
}
_SEGMENT = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_NAME = re.compile(rf"(?=.{{1,200}}\Z){_SEGMENT}(?:/{_SEGMENT})*")
_LOCALE = re.compile(r"[a-z]{2,3}(?:[-_][a-z]{4})?(?:[-_](?:[a-z]{2}|[0-9]{3}))?", re.IGNORECASE)  # BCP 47, in short


class Found(NamedTuple):
    """A file of a template: its name, its path, and the locale under which it was found; None: under none."""

    file: str
    path: str
    locale: str | None


def is_name(name: str) -> bool:
    """Tell whether a template can have this name."""
    return _NAME.fullmatch(name) is not None


def names(files: Files) -> list[str]:
    """Return the names of all templates, sorted. A locale's folder is part of its template."""
    found = {folder for folder, held in folders(files).items() if held.intersection(FILES) and not is_shared(folder)}
    return sorted(folder for folder in found if not is_locale_of(folder, found))


def locales(template: str, files: Files) -> list[str]:
    """Return the locales that a template has files of its own for, as its folders are named."""
    under = {path.removeprefix(f"{template}/") for path in files if path.startswith(f"{template}/")}
    found = {path.partition("/")[0] for path in under if path.rpartition("/")[2] in FILES and path.count("/") == 1}
    return sorted(tag for tag in found if _LOCALE.fullmatch(tag))


def folders(files: Iterable[str]) -> dict[str, set[str]]:
    """Return the names of template files by their folder."""
    held: dict[str, set[str]] = {}
    for path in files:
        folder, _, file = path.rpartition("/")
        if _looks_like_template(file):
            held.setdefault(folder, set()).add(file)
    return held


def pick(template: str, files: Files, *, locale: str | None, channel: str | None) -> list[Found]:
    """Return the files that a template is made of in a locale, on a channel; without one, all that it has.

    File by file, the locale's own is taken, else its language's (`pt` for `pt-BR`), else the one under no locale.
    """
    places = _places(template, files, locale)
    alone = f"{channel}.txt"
    if alone in ALONE and (found := _first(places, (alone,), files)):
        return [found]
    wanted = FILES if channel is None else _WANTED.get(channel, ())
    groups = [_HTML if file == "body.html" else (file,) for file in wanted if file != "body.mjml"]
    return [found for group in groups if (found := _first(places, group, files))]


def is_shared(folder: str) -> bool:
    """Tell whether a folder holds what templates include or extend."""
    return any(part.startswith("_") for part in folder.split("/"))


def is_locale_of(folder: str, templates: set[str]) -> bool:
    """Tell whether a folder is that of a locale of one of the templates."""
    parent, _, last = folder.rpartition("/")
    return parent in templates and _LOCALE.fullmatch(last) is not None


def misspelt(file: str) -> str | None:
    """Return the file of a template that a name of none stands for, if it resembles one more than by chance."""
    close = difflib.get_close_matches(file, FILES, n=1, cutoff=0.6 if file.startswith("subject.") else 0.8)
    return close[0] if close and file not in FILES else None


def _places(template: str, files: Files, locale: str | None) -> list[tuple[str, str | None]]:
    """Return the folders to look in, in order, each with its locale; case, and `_` for `-`, do not matter."""
    root = f"{template}/"
    under = {path[len(root) :].partition("/")[0] for path in files if path.startswith(root)}
    tags = {tag.replace("_", "-").lower(): tag for tag in under if f"{root}{tag}" not in files}
    wanted = _widening((locale or "").replace("_", "-").lower())
    return [*((f"{root}{tags[tag]}/", tags[tag]) for tag in wanted if tag in tags), (root, None)]


def _first(places: list[tuple[str, str | None]], group: tuple[str, ...], files: Files) -> Found | None:
    ways = (Found(file, folder + file, locale) for folder, locale in places for file in group)
    return next((found for found in ways if found.path in files), None)


def _widening(locale: str) -> Iterator[str]:
    """Yield `pt-br`, `pt` for `pt-br`."""
    while locale:
        yield locale
        locale = locale.rpartition("-")[0]


def _looks_like_template(file: str) -> bool:
    return file.endswith((".txt", ".html", ".mjml")) or file.startswith(("subject.", "body."))
