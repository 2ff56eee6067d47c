"""`outbox top` without a terminal: what is to be seen on it."""

from __future__ import annotations

import html
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from outbox.terminal.top.screen.app import Top
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from textual.pilot import Pilot

_TEXT = re.compile(r'<text[^>]* y="([0-9.]+)"[^>]*>([^<]*)</text>')


@asynccontextmanager
async def watching(
    url: str, size: tuple[int, int] = (120, 44), interval: float = 0.1, **given: str
) -> AsyncIterator[Pilot[None]]:
    """The screen for as long as the block lasts, once it has seen something."""
    app = Top(url, interval=interval, **given)
    async with app.run_test(size=size, notifications=True) as pilot:
        await await_until(lambda: app.scene is not None, timeout=30)
        yield pilot


def seen(pilot: Pilot[None]) -> str:
    """What is on the screen, line by line; a part that has one colour ends where the next one begins."""
    lines: dict[str, str] = {}
    for y, words in _TEXT.findall(pilot.app.export_screenshot()):
        lines[y] = f"{lines.get(y, '')} {html.unescape(words)}"
    return "\n".join(" ".join(line.replace("\xa0", " ").split()) for line in lines.values())


async def until_seen(pilot: Pilot[None], *words: str, timeout: float = 20) -> str:  # noqa: ASYNC109 - as await_until
    """Wait until all of the words are on the screen; return what is."""

    async def there() -> str:
        await pilot.pause()
        screen = seen(pilot)
        return screen if all(word in screen for word in words) else ""

    try:
        return await await_until(there, timeout=timeout)
    except AssertionError:
        raise AssertionError(f"not all of {words} in\n{seen(pilot)}") from None


async def type_in(pilot: Pilot[None], words: str) -> None:
    """Press a key for each character."""
    await pilot.press(*("space" if letter == " " else letter for letter in words))
