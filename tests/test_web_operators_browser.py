"""What operators do in a real browser: with scripts and without, by the keyboard, and only what they may.

Needs Chromium; skipped where there is none. `--screenshots docs/images` writes the pictures of the documentation.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

from outbox.outcomes import Sent
from tests.aftermath import BUSY, aftermath, alive
from tests.dashboard import USERS, configured, dashboard
from tests.endings import end, enter, put_dead
from tests.hands import rows
from tests.looker import CHROMIUM, PHONE, RULES, WIDE, Looker, drawn
from tests.scenery import configuration, scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page

pytestmark = [pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium"), pytest.mark.timeout(300)]
STATES = "SELECT coalesce(resolution, 'open'), count(*) FROM outbox.dead_letters GROUP BY 1 ORDER BY 1"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def aside(function: Callable[..., Any], *args: Any) -> Any:
    """Call what has an event loop of its own: Playwright has one in this thread."""
    with ThreadPoolExecutor() as others:
        return others.submit(function, *args).result()


@pytest.fixture
def url(database_url: str, tmp_path: Path) -> Iterator[str]:
    with dashboard(configured(database_url, configuration(tmp_path), **USERS)) as url:
        yield url


def happened(database_url: str) -> dict[str, Any]:
    found = aftermath(database_url)
    scene(database_url)
    alive(database_url)
    return dict(found)


def paths(found: dict[str, Any]) -> dict[str, str]:
    group, letters = f"/dead-letters/groups/{found['group']}", "/dead-letters/letters"
    return {
        "dead-letters": "/dead-letters",
        "letters": f"{letters}?state=all",
        "group": group,
        "replay": f"{group}/replay",
        "discard": f"{group}/discard",
        "letter": f"{letters}/{found['letter']}",
        "discarded": f"{letters}/{found['discarded']}",
        "edit": f"{letters}/{found['wrong']}/edit",
        "channels": "/channels",
        "channel": "/channels/channel/email",
        "provider": "/channels/provider/postmark",
        "suppressions": "/suppressions",
        "schedules": "/schedules",
        "schedule": "/schedules/reminders",
        "workers": "/workers",
        "audit": "/audit",
    }


@pytest.mark.parametrize(("theme", "size"), [("light", WIDE), ("dark", PHONE)])
def test_every_page_keeps_the_rules_of_accessibility(
    browser: Browser, url: str, database_url: str, theme: str, size: dict[str, int]
) -> None:
    looker = Looker(browser, url, color_scheme=theme, viewport=size)
    axe, wrong = Axe(), {}
    looker.sign_in()
    for name, path in paths(aside(happened, database_url)).items():
        looker.page.goto(path)
        drawn(looker.page)
        if name == "suppressions":
            looker.page.locator("summary").first.click()
        result = axe.run(looker.page, options=RULES)
        if result.violations_count:
            wrong[name] = result.generate_report()
        if looker.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wrong[f"{name} is wider than the window"] = ""
    looker.leave()
    assert wrong == {}, "\n".join(f"{name}: {report}" for name, report in wrong.items())


def stays(page: Page) -> None:
    """Mark the page, so that a reload is seen."""
    page.evaluate("window.marked = true")


def stayed(page: Page) -> bool:
    return bool(page.evaluate("window.marked === true"))


def test_a_group_is_replayed_a_few_first_and_the_rest_by_itself(browser: Browser, url: str, database_url: str) -> None:
    aside(put_dead, database_url, 40, BUSY)
    aside(enter, database_url, "email")
    looker = Looker(browser, url)
    looker.sign_in()
    page = looker.page
    page.goto("/dead-letters")
    page.get_by_role("link", name="email · smtp").click()
    page.get_by_role("link", name="Replay…").click()
    page.get_by_label("How many go first").fill("8")
    page.get_by_label("Why").fill("the relay is back")
    page.get_by_role("button", name="Replay 40 letters").click()
    status = page.get_by_role("status")
    expect(status).to_contain_text("The first 8 are on their way; the rest waits for them.")
    stays(page)
    assert rows(database_url, STATES) == [("open", 32), ("replayed", 8)]
    aside(end, database_url, Sent(provider="smtp"))
    expect(status).to_contain_text("All is put back.")
    expect(page.get_by_text("40 put back, 0 to go")).to_be_visible()
    assert stayed(page)
    assert rows(database_url, STATES) == [("replayed", 40)]
    assert rows(database_url, "SELECT DISTINCT actor, reason FROM outbox.audit") == [("ada", "the relay is back")]
    looker.leave()


def test_when_the_first_die_the_page_says_so_and_stops(browser: Browser, url: str, database_url: str) -> None:
    aside(put_dead, database_url, 12, BUSY)
    looker = Looker(browser, url)
    looker.sign_in()
    page = looker.page
    (group,) = rows(database_url, "SELECT DISTINCT left(encode(sha256('email smtp temporary 451 4.7.1'), 'hex'), 10)")
    page.goto(f"/dead-letters/groups/{group[0]}/replay")
    expect(page.get_by_text("No live worker serves email")).to_be_visible()
    page.get_by_role("button", name="Replay 12 letters").click()
    expect(page.get_by_role("status")).to_contain_text("are on their way")
    aside(end, database_url, BUSY)
    expect(page.get_by_role("status")).to_contain_text("The first of them died again. 2 letters left as they were.")
    expect(page.locator(".meter .dead")).to_have_count(10)
    page.get_by_role("button", name="Replay the rest all the same").click()
    expect(page.get_by_role("status")).to_contain_text("All is put back.")
    assert rows(database_url, STATES) == [("open", 10), ("replayed", 2)]
    looker.leave()


def test_without_scripts_a_group_is_replayed_by_buttons(browser: Browser, url: str, database_url: str) -> None:
    aside(put_dead, database_url, 6, BUSY)
    aside(enter, database_url, "email")
    looker = Looker(browser, url, java_script_enabled=False)
    looker.sign_in()
    page = looker.page
    page.goto("/dead-letters")
    page.get_by_role("link", name="email · smtp").click()
    page.get_by_role("link", name="Replay…").click()
    page.get_by_label("How many go first").fill("2")
    page.get_by_role("button", name="Replay 6 letters").click()
    aside(end, database_url, Sent(provider="smtp"))
    page.get_by_role("link", name="Look again").click()
    expect(page.get_by_text("The rest follows: 4 to go.")).to_be_visible()
    page.get_by_role("link", name="Stop").click()
    expect(page.get_by_text("Stopped. 4 letters are left as they were.")).to_be_visible()
    page.get_by_role("link", name="Go on").click()
    page.get_by_role("button", name="Replay the next").click()
    expect(page.get_by_text("All is put back.")).to_be_visible()
    assert rows(database_url, STATES) == [("replayed", 6)]
    page.goto("/channels/channel/email")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status")).to_contain_text("email is paused for 1h.")
    page.get_by_role("button", name="Resume").click()
    expect(page.get_by_text("email is resumed")).to_be_visible()
    looker.leave()


def test_a_letter_is_discarded_opened_again_and_sent_to_somebody_else(
    browser: Browser, url: str, database_url: str
) -> None:
    [identity] = aside(lambda: put_dead(database_url, 1, BUSY, recipient="grace@exmaple.org"))
    looker = Looker(browser, url)
    looker.sign_in()
    page = looker.page
    page.goto(f"/dead-letters/letters/{identity}")
    stays(page)
    page.get_by_label("Why (kept with it").fill("nobody lives there")
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("status")).to_have_text("It was discarded.")
    expect(page.locator(".heading .badge")).to_contain_text("discarded")
    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_role("status")).to_have_text("It is open again.")
    assert stayed(page)
    page.get_by_role("link", name="Edit and replay…").click()
    page.get_by_label("Recipient", exact=True).fill("nonsense")
    page.get_by_role("button", name="Send this instead").click()
    expect(page.get_by_role("alert")).to_contain_text("The recipient")
    page.get_by_label("Recipient", exact=True).fill("grace@example.org")
    page.get_by_role("button", name="Send this instead").click()
    expect(page.get_by_role("status")).to_contain_text("Enqueued in its place, with another recipient.")
    assert rows(database_url, "SELECT recipient FROM outbox.notifications ORDER BY id DESC LIMIT 1") == [
        ("grace@example.org",)
    ]
    page.get_by_role("link", name="Audit").click()
    expect(page.locator("tbody tr")).to_have_count(3)
    looker.leave()


def test_a_channel_is_paused_and_resumed_by_the_keyboard_alone(browser: Browser, url: str, database_url: str) -> None:
    aside(enter, database_url, "email")
    looker = Looker(browser, url)
    looker.sign_in()
    page, keys = looker.page, looker.page.keyboard
    for key in ("g", "c"):
        keys.press(key)
    expect(page.locator("h1")).to_have_text("Channels and providers")
    keys.press("j")
    keys.press("Enter")
    expect(page.locator("h1")).to_have_text("email")
    stays(page)
    page.get_by_label("Until").focus()
    keys.press("Control+a")
    keys.type("45m")
    keys.press("Tab")
    keys.type("the relay is down")
    keys.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("email is paused for 45m.")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator(".heading .badge")).to_contain_text("paused")
    page.get_by_role("button", name="Resume").focus()
    keys.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("email is resumed")
    assert stayed(page)
    assert [row[0] for row in rows(database_url, "SELECT action FROM outbox.audit ORDER BY id")] == ["pause", "resume"]
    looker.leave()


def test_somebody_is_suppressed_and_may_be_contacted_again(browser: Browser, url: str, database_url: str) -> None:
    looker = Looker(browser, url)
    looker.sign_in()
    page = looker.page
    page.goto("/suppressions")
    stays(page)
    add = page.get_by_role("region", name="Add one")
    add.get_by_label("Recipient").fill("ada@example.org")
    add.get_by_label("Reason").select_option("complaint")
    add.get_by_role("button", name="Suppress").click()
    expect(page.get_by_role("status")).to_have_text("Added.")
    page.get_by_text("Remove…").click()
    page.get_by_label("I know better").check()
    page.get_by_role("button", name="Remove it").click()
    expect(page.get_by_role("status")).to_contain_text("Removed (complaint).")
    expect(page.get_by_text("Nobody is suppressed.")).to_be_visible()
    assert stayed(page)
    assert rows(database_url, "SELECT count(*) FROM outbox.suppressions") == [(0,)]
    looker.leave()


def test_a_schedule_is_paused_and_run_now(browser: Browser, url: str, database_url: str) -> None:
    aside(aftermath, database_url)
    before = rows(database_url, "SELECT count(*) FROM outbox.queue")[0][0]
    looker = Looker(browser, url)
    looker.sign_in()
    page = looker.page
    page.goto("/schedules")
    page.get_by_role("link", name="weekly-digest").click()
    stays(page)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".heading .badge")).to_contain_text("paused")
    page.get_by_label("Everybody whom the query returns").check()
    page.get_by_role("button", name="Run now").click()
    expect(page.get_by_role("status")).to_have_text("2 notifications enqueued.")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".heading .badge")).to_contain_text("ready")
    assert stayed(page)
    assert rows(database_url, "SELECT count(*) FROM outbox.queue")[0][0] == before + 2
    looker.leave()


def test_a_form_that_is_none_of_ours_is_refused_before_ones_eyes(browser: Browser, url: str, database_url: str) -> None:
    looker = Looker(browser, url)
    looker.sign_in()
    page = looker.page
    page.goto("/channels/channel/email")
    page.evaluate("document.querySelectorAll('main input[name=csrf_token]').forEach((one) => (one.value = 'x'))")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("h1")).to_have_text("That is not allowed")
    assert rows(database_url, "SELECT count(*) FROM outbox.pauses") == [(0,)]
    looker.complaints = [each for each in looker.complaints if "403" not in each]
    looker.leave()


def test_a_viewer_sees_every_page_and_can_act_on_none(browser: Browser, url: str, database_url: str) -> None:
    looker = Looker(browser, url)
    looker.sign_in("bob")
    for name, path in paths(aside(happened, database_url)).items():
        if name == "edit":
            continue
        looker.page.goto(path)
        forms = looker.page.locator("main form[method=post]:not(.filters):not(.pager)")
        expect(forms).to_have_count(0)
        expect(looker.page.locator("h1")).to_be_visible()
    looker.leave()


def test_pictures_for_the_documentation(
    browser: Browser, url: str, database_url: str, request: pytest.FixtureRequest
) -> None:
    folder = request.config.getoption("--screenshots")
    if folder is None:
        pytest.skip("nobody asked for pictures: --screenshots docs/images")
    found = paths(aside(happened, database_url))
    for name, theme, size in (
        ("dead-letters", "light", WIDE),
        ("letter", "light", WIDE),
        ("channels", "dark", WIDE),
        ("channel", "light", WIDE),
        ("suppressions", "light", WIDE),
        ("schedule", "light", WIDE),
        ("workers", "dark", WIDE),
        ("audit", "light", WIDE),
        ("replay", "light", WIDE),
    ):
        looker = Looker(browser, url, color_scheme=theme, viewport=size)
        looker.sign_in()
        aside(alive, database_url)
        looker.page.goto(found[name])
        drawn(looker.page)
        looker.page.screenshot(path=Path(folder) / f"dashboard-{name}.png")
        if name == "replay":
            looker.page.get_by_label("Why").fill("the relay is back")
            looker.page.get_by_role("button", name="Replay 34 letters").click()
            expect(looker.page.get_by_role("status")).to_contain_text("on their way")
            looker.page.screenshot(path=Path(folder) / "dashboard-replaying.png")
        looker.leave()
