"""The dashboard in a real browser: by the keyboard, in the dark, on a phone, and within a policy of its own.

Needs Chromium; skipped where there is none. `--screenshots docs/images` writes the pictures of the documentation.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from tests.dashboard import PASSWORD, USERS, configured, dashboard
from tests.endings import put
from tests.hands import rows
from tests.looker import CHROMIUM, PHONE, RULES, WIDE, Looker, drawn
from tests.scenery import configuration, scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from playwright.sync_api import Browser

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"), pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def served(database_url: str, tmp_path: Path) -> Iterator[tuple[str, dict[str, UUID]]]:
    with ThreadPoolExecutor() as others:  # Playwright has an event loop in this thread
        found = others.submit(scene, database_url).result()
    with dashboard(configured(database_url, configuration(tmp_path), **USERS)) as url:
        yield url, found


def paths(found: dict[str, UUID]) -> dict[str, str]:
    return {
        "overview": "/",
        "search": "/search",
        "sent": f"/notifications/{found['sent']}",
        "dead": f"/notifications/{found['dead']}",
        "scheduled": f"/notifications/{found['scheduled']}",
        "nowhere": "/nowhere",
    }


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", ["wide", "phone"])
def test_every_page_keeps_the_rules_of_accessibility(
    browser: Browser, served: tuple[str, dict[str, UUID]], theme: str, size: str
) -> None:
    url, found = served
    looker = Looker(browser, url, color_scheme=theme, viewport=WIDE if size == "wide" else PHONE)
    axe, wrong = Axe(), {}

    def rule(name: str) -> None:
        drawn(looker.page)
        result = axe.run(looker.page, options=RULES)
        if result.violations_count:
            wrong[name] = result.generate_report()
        wide = looker.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
        if wide:
            wrong[f"{name} is wider than the window"] = ""

    looker.page.goto("/sign-in")
    rule("sign-in")
    looker.sign_in()
    for name, path in paths(found).items():
        looker.page.goto(path)
        rule(name)
    looker.page.goto(f"/notifications/{found['sent']}")
    looker.page.get_by_role("link", name="Show it").click()
    expect(looker.page.locator("iframe")).to_be_visible()
    rule("contents")
    looker.page.goto("/search")
    looker.page.fill("#q", "ada@example.org")
    looker.page.press("#q", "Enter")
    expect(looker.page.get_by_role("heading", name="By recipient")).to_be_visible()
    rule("results")
    looker.complaints = [each for each in looker.complaints if "404" not in each]  # of the page that is nowhere
    looker.leave()
    assert wrong == {}, "\n".join(f"{name}: {report}" for name, report in wrong.items())


def test_it_is_used_by_the_keyboard_alone(browser: Browser, served: tuple[str, dict[str, UUID]]) -> None:
    url, found = served
    looker = Looker(browser, url)
    looker.page.goto("/sign-in")
    page = looker.page
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Overview")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the page")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("/")
    expect(page.locator("#find")).to_be_focused()
    page.keyboard.type("ada@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="By recipient")).to_be_visible()
    for key in ("j", "j", "j", "k", "j"):
        page.keyboard.press(key)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(str(found["sent"]))
    page.keyboard.press("g")
    page.keyboard.press("o")
    expect(page.locator("h1")).to_have_text("Overview")
    looker.leave()


def test_the_colours_are_the_systems_unless_somebody_says_otherwise(
    browser: Browser, served: tuple[str, dict[str, UUID]]
) -> None:
    looker = Looker(browser, served[0], color_scheme="dark")
    looker.sign_in()

    def ground() -> str:
        return str(looker.page.evaluate("getComputedStyle(document.body.parentElement).backgroundColor"))

    dark = ground()
    looker.page.keyboard.press("t")
    expect(looker.page.locator("[data-theme-label]")).to_have_text("Colours: light")
    light = ground()
    assert light != dark
    looker.page.reload()
    expect(looker.page.locator("html")).to_have_attribute("data-theme", "light")
    assert ground() == light
    looker.page.get_by_role("button", name="Colours").click()
    assert ground() == dark
    looker.page.get_by_role("button", name="Colours").click()
    expect(looker.page.locator("[data-theme-label]")).to_have_text("Colours: as the system")
    assert ground() == dark
    looker.leave()


def test_what_changes_is_shown_without_a_reload(
    browser: Browser, served: tuple[str, dict[str, UUID]], database_url: str
) -> None:
    looker = Looker(browser, served[0])
    looker.sign_in()
    before = looker.page.locator("#channel-chat")
    expect(before).to_have_count(0)
    put(database_url, 7, channel="chat", recipient="#ops", payload={"text": "hello"})
    expect(before.locator("td").nth(3)).to_contain_text("7")
    expect(looker.page.locator("[data-live-words]")).to_have_text("Live")
    looker.leave()


def test_an_operator_takes_back_what_waits(
    browser: Browser, served: tuple[str, dict[str, UUID]], database_url: str
) -> None:
    url, found = served
    looker = Looker(browser, url)
    looker.sign_in()
    looker.page.goto(f"/notifications/{found['scheduled']}")
    looker.page.fill("#reason", "wrong day")
    looker.page.get_by_role("button", name="Cancel this notification").click()
    expect(looker.page.get_by_role("status")).to_contain_text("It was taken back, and will not be sent.")
    expect(looker.page.locator(".heading .badge")).to_contain_text("cancelled")
    told = rows(database_url, "SELECT actor, action, reason FROM outbox.audit")
    assert told == [("ada", "cancel", "wrong day")]
    looker.leave()


def test_what_an_email_says_runs_nothing_and_fetches_nothing(
    browser: Browser, served: tuple[str, dict[str, UUID]], database_url: str
) -> None:
    evil = "<script>parent.document.title='owned'</script><img src='https://example.org/opened.gif' onerror='alert(1)'>"
    [identity] = put(database_url, payload={"subject": "Hi", "html": f"<p>hello</p>{evil}<a href='/sign-out'>x</a>"})
    looker = Looker(browser, served[0])
    looker.sign_in()
    asked: list[str] = []
    looker.page.on("requestfinished", lambda request: asked.append(request.url))
    looker.page.goto(f"/notifications/{identity}")
    looker.page.get_by_role("link", name="Show it").click()
    frame = looker.page.frame_locator("iframe")
    expect(frame.locator("p")).to_have_text("hello")
    looker.complaints = [each for each in looker.complaints if "Blocked script execution" not in each]
    assert "owned" not in looker.page.title()
    assert [url for url in asked if not url.startswith(served[0])] == []
    looker.leave()


def test_pictures_for_the_documentation(
    browser: Browser, served: tuple[str, dict[str, UUID]], request: pytest.FixtureRequest
) -> None:
    folder = request.config.getoption("--screenshots")
    if folder is None:
        pytest.skip("nobody asked for pictures: --screenshots docs/images")
    url, found = served
    for name, path, settings in (
        ("overview", "/", {"color_scheme": "light"}),
        ("overview-dark", "/", {"color_scheme": "dark"}),
        ("notification", f"/notifications/{found['sent']}", {"color_scheme": "light"}),
        ("phone", "/", {"color_scheme": "dark", "viewport": PHONE}),
    ):
        looker = Looker(browser, url, **settings)
        looker.sign_in()
        looker.page.goto(path)
        drawn(looker.page)
        if name == "notification":
            looker.page.get_by_role("link", name="Show it").click()
            expect(looker.page.frame_locator("iframe").locator("h1")).to_be_visible()
        looker.page.screenshot(path=Path(folder) / f"dashboard-{name}.png", full_page=name != "phone")
        looker.leave()


def test_on_a_phone_the_bar_of_pages_is_scrolled_to_where_we_are(
    browser: Browser, served: tuple[str, dict[str, UUID]]
) -> None:
    looker = Looker(browser, served[0], viewport=PHONE)
    looker.sign_in()
    looker.page.goto("/audit")
    expect(looker.page.locator("nav [aria-current]")).to_be_in_viewport(ratio=0.9)
    looker.leave()
