"""markup: HTML as mail programs want it: CSS where it applies, and MJML made into HTML."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from outbox.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Callable

_POSITION = re.compile(r"at position (\d+:\d+)")
NO_MJML = "MJML needs a library: install outbox[mjml]"


def with_css_inline(html: str) -> str:
    """Return HTML with what its <style> says in the elements that it is about, for mail programs that read no <style>.

    What cannot stand there (`:hover`, `@media`) stays in the <style>. Nothing is fetched.
    """
    if "<style" not in html:
        return html
    inlined: str = _inliner().inline(html)
    return inlined.replace("<style></style>", "")


@cache
def _inliner() -> Any:
    import css_inline  # noqa: PLC0415 - where no template has a <style>, it need not be loaded

    return css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True, remove_inlined_selectors=True)


def from_mjml(mjml: str) -> str:
    """Return the HTML of an MJML document.

    Raises:
        Rejected: it is none, or the library is not installed.
    """
    try:
        return _mjml2html()(mjml)
    except ValueError as error:  # whose words may quote the message
        position = _POSITION.search(str(error))
        where = f" (at {position[1]} of what is rendered)" if position else ""
    raise Rejected(f"it is no MJML{where}")


def has_mjml() -> bool:
    """Tell whether the library for MJML is installed."""
    try:
        _mjml2html()
    except Rejected:
        return False
    return True


def _mjml2html() -> Callable[[str], str]:
    try:
        from mjml import mjml2html  # noqa: PLC0415 - an extra
    except ImportError:
        raise Rejected(NO_MJML) from None
    return mjml2html
