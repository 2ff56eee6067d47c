"""plain_text: an email's HTML as text, for those who read no HTML: paragraphs, lists, rows, and where links lead."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_UNSEEN = {"head", "style", "script", "template", "title", "noscript", "svg"}
_EMPTY = {"br", "hr", "img", "meta", "link", "input", "wbr", "col", "area", "base", "embed", "source", "track"}
_APART = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "pre", "hr", "section", "article"}
_LINES = {"div", "li", "tr", "br", "header", "footer", "center", "body", "dt", "dd", "form", "main", "address"}
_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)
_BLANKS = re.compile(r"[ \t\r\n\f]+")
_INVISIBLE = dict.fromkeys(map(ord, "\u00ad\u034f\u200b\u200c\u200d\u2007\ufeff"))  # what fills up a preview
_INVISIBLE[0xA0] = " "


def plain_text(html: str) -> str:
    """Return the text of an HTML document, or of a part of one."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.text()


class _Reader(HTMLParser):
    """Writes what is seen, piece by piece; a break between lines is written when the next word is."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._written: list[str] = []
        self._breaks = 0  # line breaks that are due before the next word
        self._space = False
        self._hidden: list[str] = []  # elements that are open, from the first that is not seen
        self._lists: list[int] = []  # the number of the next item, or 0 where there are none
        self._marked = -1  # how much was written when the number of an item was
        self._link: tuple[str, int] | None = None

    def text(self) -> str:
        """Return all of it."""
        return "".join(self._written).translate(_INVISIBLE).strip()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if self._hidden or tag in _UNSEEN or "hidden" in given or _HIDDEN.search(given.get("style", "")):
            if tag not in _EMPTY:
                self._hidden.append(tag)
            return
        self._break(tag)
        match tag:
            case "a":
                self._link = given.get("href", "").strip(), len(self._written)
            case "img":
                self._write(given.get("alt", ""))
            case "hr":
                self._write("---")
                self._break(tag)
            case "ul" | "ol":
                self._lists.append(1 if tag == "ol" else 0)
            case "li":
                self._item()
            case "td" | "th" if self._written and not self._breaks:
                self._written.append("  ")

    def handle_endtag(self, tag: str) -> None:
        if self._hidden:
            # What was left open in between ends here too.
            if tag in self._hidden:
                del self._hidden[self._hidden.index(tag) :]
            return
        match tag:
            case "a":
                self._follow()
            case "ul" | "ol" if self._lists:
                self._lists.pop()
        if tag != "br":
            self._break(tag)

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self._write(data)

    def _write(self, data: str) -> None:
        text = _BLANKS.sub(" ", data)
        if not text.strip(" "):
            self._space = self._space or bool(text)
            return
        if self._breaks:
            self._end_line()
            text = text.lstrip(" ")
        elif self._space and self._written and not self._written[-1].endswith((" ", "\n")):
            text = " " + text.lstrip(" ")
        self._space = text.endswith(" ")
        self._written.append(text.rstrip(" "))

    def _end_line(self) -> None:
        self._written.append("\n" * self._breaks if self._written else "")
        self._breaks, self._space = 0, False

    def _break(self, tag: str) -> None:
        if len(self._written) == self._marked:  # a paragraph in an item begins beside its number
            return
        wanted = 2 if tag in _APART else 1 if tag in _LINES else 0
        if tag in {"ul", "ol"} and self._lists:  # a list in a list
            wanted = 1
        self._breaks = max(self._breaks, wanted) if tag != "br" else min(self._breaks + 1, 2)

    def _item(self) -> None:
        number = self._lists[-1] if self._lists else 0
        self._end_line()
        self._written.append(f"{'  ' * (len(self._lists) - 1)}{f'{number}.' if number else '-'} ")
        self._marked = len(self._written)
        if number:
            self._lists[-1] += 1

    def _follow(self) -> None:
        """Say where a link leads, unless its words do."""
        if self._link is None:
            return
        target, begun = self._link
        self._link = None
        words = "".join(self._written[begun:]).strip()
        address = target.removeprefix("mailto:")
        if target and not target.startswith("#") and words.rstrip("/") not in {target.rstrip("/"), address}:
            self._write(f" ({address})" if words else target)
