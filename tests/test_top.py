"""`outbox top`: what is to be seen while real workers work, and what its keys do."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest

from outbox import errors
from outbox.queue.pause import pause
from outbox.terminal.actor import whoami
from outbox.worker import telling
from tests.endings import put_dead
from tests.hands import enqueue, rows
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.top_screen import seen, type_in, until_seen, watching
from tests.waiting import await_until

if TYPE_CHECKING:
    from outbox.messages import Notification

PAUSES = "SELECT scope, name, paused_by, reason FROM outbox.pauses WHERE (until > now()) IS NOT FALSE"


@pytest.fixture(autouse=True)
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVERY", 0.1)


async def test_what_a_worker_sends_is_seen_with_its_rate_and_how_long_it_takes(database_url: str) -> None:
    enqueue(database_url, 100)
    async with running(database_url, route(Recorder())), watching(database_url) as pilot:
        await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.queue LIMIT 1") == [])
        screen = await until_seen(pilot, "1 worker on 1 host", "recorder0 email ● ok", "○ idle")
        assert "p50" in screen
        assert "sent 0 " not in screen
        assert "● none is open" in screen


async def test_what_waits_is_seen_by_channel_and_priority(database_url: str) -> None:
    enqueue(database_url, 3, priority="urgent")
    enqueue(database_url, 1_200, priority="bulk")
    enqueue(database_url, 7, channel="sms")
    async with watching(database_url) as pilot:
        screen = await until_seen(pilot, "├ urgent 3", "└ bulk 1,200", "sms 7")
        assert "email 1,203" in screen
        assert "1,203 due on email, and no live worker serves it; start one: outbox worker --channel email" in screen
        assert "no live worker; start one" in screen


async def test_a_held_provider_is_seen_with_its_code_and_when_it_is_probed(database_url: str) -> None:
    enqueue(database_url, 1)
    recorder = Recorder()
    recorder.failing = errors.Misconfigured("bad password", code="535 5.7.8")
    async with running(database_url, route(recorder)), watching(database_url) as pilot:
        screen = await until_seen(pilot, "▲ held 535 5.7.8", "recorder0 is held by 1 of 1 workers")
        assert "misconfigured 535 5.7.8; probed in" in screen


async def test_a_paused_channel_is_seen_with_who_paused_it_and_why(database_url: str) -> None:
    with psycopg.connect(database_url) as conn:
        pause(conn, scope="channel", name="sms", actor="ada@desk", reason="the text says Hello None")
    enqueue(database_url, 2, channel="sms")
    async with watching(database_url) as pilot:
        await until_seen(pilot, "‖ sms paused", "sms is paused by ada@desk since", "(the text says Hello None)")


async def test_dead_letters_are_seen_to_grow(database_url: str) -> None:
    await asyncio.to_thread(put_dead, database_url, 3)
    rows(database_url, "UPDATE outbox.dead_letters SET died_at = now() - interval '20 minutes'")
    async with watching(database_url) as pilot:
        await until_seen(pilot, "email 3 0 +3")
        await asyncio.to_thread(put_dead, database_url, 2)
        await until_seen(pilot, "email 5 +2 +5", "email smtp 554 5.6.0 5")


async def test_p_asks_why_and_pauses_the_channel_that_is_chosen_and_r_resumes_it(database_url: str) -> None:
    recorder = Recorder()
    async with running(database_url, route(recorder), idle_poll=0.1), watching(database_url) as pilot:
        await until_seen(pilot, "▸ email")
        await pilot.press("p")
        await until_seen(pilot, "Pause email?")
        await type_in(pilot, "wrong text")
        await pilot.press("tab")
        await type_in(pilot, "2h")
        await pilot.press("enter")
        await until_seen(pilot, "email is paused for 2h", "‖ email paused", f"email is paused by {whoami()} since")
        assert rows(database_url, PAUSES) == [("channel", "email", whoami(), "wrong text")]
        await pilot.press("r")
        await until_seen(pilot, "Resume email?")
        await type_in(pilot, "mended")
        await pilot.press("enter")
        await until_seen(pilot, "email is resumed, after")
        enqueue(database_url, 1)
        await await_until(lambda: len(recorder.sent) == 1)
    done = rows(database_url, "SELECT action, subject, actor, reason FROM outbox.audit ORDER BY id")
    assert done == [
        ("pause", "channel:email", whoami(), "wrong text"),
        ("resume", "channel:email", whoami(), "mended"),
    ]


async def test_tab_chooses_among_providers_and_p_pauses_one(database_url: str) -> None:
    enqueue(database_url, 5)
    async with running(database_url, route(Recorder(), Recorder())), watching(database_url) as pilot:
        await until_seen(pilot, "recorder0 email ● ok", "recorder1 - · not asked")
        await pilot.press("tab", "down", "p")
        await until_seen(pilot, "Pause the provider recorder1?")
        await pilot.press("enter")
        await until_seen(pilot, "recorder1 - ‖ paused")
        assert rows(database_url, PAUSES) == [("provider", "recorder1", whoami(), None)]


async def test_escape_takes_it_back_and_a_time_that_is_none_is_refused(database_url: str) -> None:
    enqueue(database_url, 1)
    async with watching(database_url) as pilot:
        await until_seen(pilot, "▸ email")
        await pilot.press("p", "tab")
        await type_in(pilot, "tomorrow")
        await pilot.press("enter")
        await until_seen(pilot, "'tomorrow' is not a moment")
        await pilot.press("escape")
        await until_seen(pilot, "▸ email")
    assert rows(database_url, "SELECT 1 FROM outbox.pauses") == []


async def test_where_no_row_can_be_paused_it_says_so(database_url: str) -> None:
    enqueue(database_url, 1)
    async with watching(database_url) as pilot:
        await pilot.press("tab", "tab", "p")
        await until_seen(pilot, "Choose a channel or a provider first")


async def test_d_shows_dead_letters_by_what_they_died_of_and_enter_shows_one(database_url: str) -> None:
    ids = await asyncio.to_thread(put_dead, database_url, 3, template="welcome", payload={"text": "a secret"})
    await asyncio.to_thread(put_dead, database_url, 1, channel="sms", recipient="+15550100")
    async with watching(database_url) as pilot:
        await pilot.press("d")
        screen = await until_seen(pilot, "4 open dead letters", "3 email smtp rejected 554 5.6.0 welcome", "+15550100")
        assert "outbox dead-letters replay" in screen
        await pilot.press("down", "enter")
        await await_until(lambda: "+15550100" not in seen(pilot))
        await pilot.press("end", "enter")
        screen = await until_seen(
            pilot, f"outbox explain {ids[0]}", "user0@example.org", "the content is not acceptable"
        )
        assert "secret" not in screen
        await pilot.press("escape", "escape")
        await until_seen(pilot, "▸ email")


async def test_w_shows_workers_and_says_more_of_the_one_that_is_chosen(database_url: str) -> None:
    gate = asyncio.Event()

    async def behave(_: Notification) -> None:
        await gate.wait()

    enqueue(database_url, 2)
    async with running(database_url, route(Recorder(behave)), concurrency=7), watching(database_url) as pilot:
        await pilot.press("w")
        await until_seen(pilot, "workers: 1 worker on 1 host", "● busy 2", "serves email; 7 at once")
        gate.set()
        await until_seen(pilot, "○ idle")
        await pilot.press("w")
        await until_seen(pilot, "traffic")


async def test_slash_shows_only_some_channels_and_escape_all_again(database_url: str) -> None:
    enqueue(database_url, 2)
    enqueue(database_url, 3, channel="sms")
    async with watching(database_url) as pilot:
        await until_seen(pilot, "email 2", "sms 3")
        await pilot.press("slash", "s", "m")
        screen = await until_seen(pilot, "only *sm*")
        assert "email 2" not in screen
        await pilot.press("enter", "p")
        await until_seen(pilot, "Pause sms?")
        await pilot.press("escape", "escape")
        await until_seen(pilot, "email 2", "sms 3")


async def test_help_colours_and_leaving(database_url: str) -> None:
    async with watching(database_url) as pilot:
        await pilot.press("question_mark")
        await until_seen(pilot, "Shift+Tab", "dead letters")
        await pilot.press("escape", "t")
        assert pilot.app.theme == "outbox-light"
        await pilot.press("t")
        assert pilot.app.theme == "ansi-dark"
        await until_seen(pilot, "traffic")
        await pilot.press("q")
        await await_until(lambda: not pilot.app.is_running)


@pytest.mark.parametrize("size", [(80, 24), (200, 50), (60, 16), (30, 8)])
async def test_it_fits_terminals_of_every_size(database_url: str, size: tuple[int, int]) -> None:
    await asyncio.to_thread(put_dead, database_url, 2)
    enqueue(database_url, 3)
    with psycopg.connect(database_url) as conn:
        pause(conn, scope="channel", name="email", actor="ada@desk")
    async with running(database_url, route(Recorder())), watching(database_url, size) as pilot:
        await until_seen(pilot, "paused")
        for widget in pilot.app.screen.children:
            assert widget.region.right <= size[0]
            assert widget.region.bottom <= size[1]


async def test_it_knows_what_it_shows_without_colours(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    enqueue(database_url, 1)
    async with watching(database_url) as pilot:
        await until_seen(pilot, "▸ email")
        colours = {part for part in pilot.app.export_screenshot().split('fill="')[1:] if part.startswith("#")}
        greys = {part[:7] for part in colours if part[1:3] == part[3:5] == part[5:7]}
        assert "#56c288" not in {part[:7] for part in colours}
        assert greys
