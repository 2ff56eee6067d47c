"""The page in a real browser: it is shown as meant under its policy, and works by the keyboard, without scripts.

Needs Chromium and its driver (Debian's chromium-driver); skipped where they are not.
"""

from __future__ import annotations

import asyncio
import re
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from outbox.unsubscribe import App
from tests.asgi_server import AsgiServer
from tests.hands import rows
from tests.unsubscribing import configured, token
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(DRIVER is None, reason="there is no chromedriver")
ENTER, TAB = "\ue007", "\ue004"  # https://www.w3.org/TR/webdriver2/#keyboard-actions
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # https://www.w3.org/TR/webdriver2/#elements


class Browser:
    """A session of WebDriver."""

    def __init__(self, client: httpx.AsyncClient, session: str) -> None:
        self._client = client
        self._session = session

    async def ask(self, path: str, given: dict[str, Any] | None = None) -> Any:
        path = f"{self._session}/{path}"
        answer = await (self._client.get(path) if given is None else self._client.post(path, json=given))
        assert answer.is_success, answer.text
        return answer.json()["value"]

    async def text(self, selector: str) -> str:
        found = await self.ask("element", {"using": "css selector", "value": selector})
        return str(await self.ask(f"element/{found[ELEMENT]}/text"))

    async def shows(self, title: str) -> None:
        async def is_shown() -> Any:
            return await self.ask("title") == title

        await await_until(is_shown)

    async def press(self, *keys: str) -> None:
        downs = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        await self.ask("actions", {"actions": [{"type": "key", "id": "keys", "actions": downs}]})


@asynccontextmanager
async def browser(profile: Path, *, scripts: bool) -> AsyncIterator[Browser]:
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
    arguments += [
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={profile / 'profile'}",
    ]
    options: dict[str, Any] = {"args": arguments}
    if not scripts:
        options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
    log = profile / "driver.log"
    with log.open("wb") as output:
        driver = await asyncio.create_subprocess_exec(str(DRIVER), "--port=0", stdout=output, stderr=output)
    try:
        port = await await_until(lambda: re.search(r"successfully on port (\d+)", log.read_text()), timeout=30)
        assert port is not None
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port[1]}", timeout=60) as client:
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            answer = await client.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            assert answer.is_success, answer.text
            session = f"/session/{answer.json()['value']['sessionId']}"
            try:
                yield Browser(client, session)
            finally:
                await client.delete(session)
    finally:
        driver.terminate()
        await driver.wait()


@pytest.mark.parametrize("scripts", [True, False])
async def test_a_person_unsubscribes_and_takes_it_back_by_the_keyboard(
    database_url: str, tmp_path: Path, *, scripts: bool
) -> None:
    standing = "SELECT reason FROM outbox.suppressions"
    async with AsgiServer(App(configured(database_url))) as server, browser(tmp_path, scripts=scripts) as page:
        await page.ask("url", {"url": f"{server.url}/{token()}"})
        assert await page.text("h1") == "Unsubscribe"
        said = "You will no longer receive “Weekly <news> & more” at a•••@example.org."
        assert await page.text("p") == said
        assert rows(database_url, standing) == []
        button = await page.ask("element", {"using": "css selector", "value": "button"})
        assert await page.ask(f"element/{button[ELEMENT]}/css/background-color") == "rgba(11, 87, 208, 1)"
        assert await page.ask(f"element/{button[ELEMENT]}/computedrole") == "button"
        assert await page.ask(f"element/{button[ELEMENT]}/computedlabel") == "Unsubscribe"
        await page.press(TAB, ENTER)
        await page.shows("You are unsubscribed")
        assert rows(database_url, standing) == [("unsubscribed",)]
        await page.press(TAB, ENTER)
        await page.shows("You are subscribed again")
        assert rows(database_url, standing) == []
        assert [
            log["message"] for log in await page.ask("se/log", {"type": "browser"}) if "favicon" not in log["message"]
        ] == []
        pages = [headers for _, headers in server.requests if "favicon" not in headers.get("referer", "")]
    assert all("cookie" not in headers for headers in pages)
