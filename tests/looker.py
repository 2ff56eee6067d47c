"""Somebody at a real browser, Debian's Chromium."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING, Any

from playwright.sync_api import expect

from tests.dashboard import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

CHROMIUM = shutil.which("chromium")
WIDE, PHONE = {"width": 1360, "height": 900}, {"width": 390, "height": 844}
# What an email names by URL is not fetched, and the browser says so.
MEANT = re.compile(r"Loading the image 'https://example\.org/opened\.gif' violates .*img-src data:")
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
}


class Looker:
    """Whatever the browser complains of is a failure at the end."""

    def __init__(self, browser: Browser, url: str, **settings: Any) -> None:
        self.url = url
        self.context = browser.new_context(base_url=url, **{"viewport": WIDE} | settings)
        self.context.set_default_timeout(30_000)
        self.complaints: list[str] = []
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not MEANT.search(message.text):
            self.complaints.append(message.text)

    def sign_in(self, name: str = "ada") -> None:
        """Sign in, and be on the overview."""
        self.page.goto("/sign-in")
        self.page.fill("#name", name)
        self.page.fill("#password", PASSWORD)
        self.page.press("#password", "Enter")
        expect(self.page.locator("h1")).to_have_text("Overview")

    def leave(self) -> None:
        """Close the browser, which has complained of nothing."""
        self.context.close()
        assert self.complaints == []


def drawn(page: Page) -> None:
    """Wait until a page is as it will stay."""
    page.wait_for_load_state("load")
    for chart in page.locator("[data-chart]").all():
        expect(chart.locator("canvas")).to_have_count(1)
