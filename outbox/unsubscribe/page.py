"""page: what people see. One document that fetches nothing, runs nothing, and may be framed by nobody."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from html import escape
from typing import TYPE_CHECKING

from outbox.oneclick import POST

if TYPE_CHECKING:
    from collections.abc import Mapping

UNDO = "undo"
"""The field of the form that takes an opt-out back."""
_FIELD, _, _VALUE = POST.partition("=")
_STYLE = (
    ":root{color-scheme:light dark;font:1.125rem/1.5 system-ui,sans-serif}"
    "body{margin:0;background:#fff;color:#1a1a1a}"
    "main{max-width:32rem;margin:12vh auto 0;padding:0 1.25rem;overflow-wrap:anywhere}"
    "h1{font-size:1.6rem;line-height:1.2}"
    "button{font:inherit;padding:.6em 1.2em;border:2px solid #0b57d0;border-radius:.4em;background:#0b57d0;color:#fff}"
    "button.quiet{background:none;border-color:currentColor;color:inherit}"
    "button:focus-visible{outline:3px solid;outline-offset:3px}"
    "@media(prefers-color-scheme:dark){body{background:#121212;color:#eee}}"
)
_STYLE_HASH = b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS: Mapping[str, str] = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex, nofollow",
    "vary": "accept-language",
}
"""The headers of every answer."""


def document(language: str, title: str, text: str, form: str = "") -> bytes:
    """Return a page; the form is HTML, the rest is text."""
    return (
        f'<!doctype html>\n<html lang="{escape(language)}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f'<body>\n<main>\n<h1>{escape(title)}</h1>\n<p role="status">{escape(text)}</p>\n{form}'
        "</main>\n</body>\n</html>\n"
    ).encode()


def unsubscribing(label: str) -> str:
    """Return the form that does what a mail program's one click does. It goes to where the page is."""
    return _form(_FIELD, _VALUE, f"<button>{escape(label)}</button>")


def undoing(label: str, permit: str) -> str:
    """Return the form that takes it back."""
    return _form(UNDO, permit, f'<button class="quiet">{escape(label)}</button>')


def _form(name: str, value: str, button: str) -> str:
    hidden = f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
    return f'<form method="post">{hidden}{button}</form>\n'
