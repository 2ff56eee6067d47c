"""The colours: dark, light, and the terminal's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.theme import Theme

if TYPE_CHECKING:
    from outbox.terminal.top.ink import Meaning

DARK = Theme(
    name="outbox-dark",
    primary="#5b8def",
    secondary="#3f5f9f",
    accent="#8fb6ff",
    success="#56c288",
    warning="#e6b450",
    error="#f2716b",
    foreground="#d6dbe4",
    background="#10141b",
    surface="#161b24",
    panel="#1d2430",
    dark=True,
    variables={"rule": "#344055", "faint": "#7f8aa0", "chosen": "#2a3b5c"},
)
LIGHT = Theme(
    name="outbox-light",
    primary="#2f5bc0",
    secondary="#7f9bd8",
    accent="#2347a0",
    success="#1b7a45",
    warning="#8a5a00",
    error="#c22f2a",
    foreground="#1d2430",
    background="#fbfcfe",
    surface="#f3f5f9",
    panel="#e6eaf2",
    dark=False,
    variables={"rule": "#b7c1d3", "faint": "#5b6678", "chosen": "#d5e1fb"},
)
THEMES = {"dark": DARK.name, "light": LIGHT.name, "terminal": "ansi-dark"}
# What our own variables are in the themes of others.
FALLBACK = {"rule": "ansi_bright_black", "faint": "ansi_bright_black", "chosen": "ansi_blue"}

STYLES: dict[Meaning, str] = {
    "": "",
    "dim": "$faint",
    "strong": "bold",
    "good": "$success",
    "bad": "bold $error",
    "warn": "$warning",
    "mark": "$accent",
}
