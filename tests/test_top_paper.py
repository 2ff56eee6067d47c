"""`outbox top` without a screen: `--once`, `--json`, what it refuses; and what rates and lines are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import errors
from outbox.queue.fleet import Fleet, Worker
from outbox.queue.samples import Sample
from outbox.reports import Report, Tally
from outbox.terminal.top.ink import Column, Row, ago, span, table, took, width_of
from outbox.terminal.top.pace import Key, Pace
from outbox.terminal.top.screen.background import lightness
from outbox.terminal.top.screen.heights import heights
from outbox.worker import telling
from tests.command_line import run, run_on_a_terminal, run_process
from tests.endings import put_dead
from tests.hands import enqueue, rows
from tests.recorder import Recorder, route
from tests.test_worker import running
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import Mapping

NOW = datetime(2030, 1, 31, 9, 0, tzinfo=UTC)


def test_once_prints_a_plain_frame(database_url: str) -> None:
    put_dead(database_url, 2, template="welcome")
    enqueue(database_url, 3, priority="urgent")
    assert run(database_url, "pause", "sms", "--reason", "wrong text", "--force").exit_code == 0
    result = run(database_url, "top", "--once")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.output.splitlines()]
    assert any(line.startswith("└ urgent 3 ") for line in lines)
    assert any(line.startswith("email smtp 554 5.6.0 welcome 2 ") for line in lines)
    assert any(line.startswith("warning: sms is paused by ") and "(wrong text)" in line for line in lines)
    assert "\x1b" not in result.output
    assert all(line == line.rstrip() for line in result.output.splitlines())


def test_json_is_one_document(database_url: str) -> None:
    put_dead(database_url, 2)
    enqueue(database_url, 3)
    enqueue(database_url, 4, channel="sms")
    document = json.loads(run(database_url, "top", "--json", "--channel", "email").stdout)
    (email,) = document["channels"]
    assert (email["channel"], email["workers"], email["priorities"][0]["due"]) == ("email", 0, 3)
    (dead,) = document["dead_letters"]
    assert (dead["open"], dead["last_5_minutes"], dead["is_at_least"]) == (2, 2, False)
    assert [(each["code"], each["count"]) for each in document["newest_dead_letters"]] == [("554 5.6.0", 2)]
    assert document["late"] == []


async def test_json_says_how_fast_it_goes_and_who_is_held(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(telling, "EVERY", 0.1)
    held = Recorder()
    held.failing = errors.Misconfigured("bad password", code="535")
    enqueue(database_url, 50)
    enqueue(database_url, 1, channel="sms")
    async with running(database_url, route(Recorder()), route(held, channel="sms")):
        await await_until(lambda: rows(database_url, "SELECT 1 FROM outbox.queue WHERE channel = 'email'") == [])

        def told() -> Mapping[str, object]:
            document = json.loads(run_process(database_url, "top", "--json").stdout)
            found = {(each["channel"], each["provider"]): each for each in document["providers"]}
            email, sms = found.get(("email", "recorder0")), found.get(("sms", "recorder0"))
            return (email or {}) if email and sms and sms["held"] and email["sent_per_second"] else {}

        email = await await_until(told, timeout=40)
        assert email["p99_seconds"] is not None
        assert email["failed_per_second"] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--interval", "soon", "--once"), "--interval: 'soon' is not a duration"),
        (("--interval", "1ms", "--once"), "--interval 1ms: is not between 100ms and 1h"),
        (("--theme", "drak", "--once"), "--theme drak: is none of auto, dark, light, terminal"),
        ((), "needs a terminal: in a pipe or a script, use --once or --json"),
    ],
)
def test_what_will_not_do_is_refused(database_url: str, arguments: tuple[str, ...], words: str) -> None:
    result = run(database_url, "top", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_without_textual_the_screen_names_the_extra_and_a_frame_is_printed(database_url: str) -> None:
    hidden = "import sys; sys.modules['textual'] = None; from outbox.terminal import top_run; "
    given = "{'interval': '1s', 'theme': 'dark', 'channel': None, 'json': False, 'once': True}"
    frame = subprocess.run(
        [sys.executable, "-c", f"{hidden}top_run.run({database_url!r}, {given})"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert frame.stdout.startswith("outbox top")
    screen = subprocess.run(
        [sys.executable, "-c", f"{hidden}top_run._screen()"], check=False, capture_output=True, text=True
    )
    assert "pip install 'outbox[top]'" in screen.stderr


def test_on_a_terminal_it_is_a_screen_until_q(database_url: str) -> None:
    answers = "\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62;c"
    code, screen = run_on_a_terminal(database_url, "top", answer=f"{answers}q")
    assert code == 0
    assert "\x1b[?1049h" in screen, "the alternate screen"
    assert "\x1b[?1049l" in screen, "and back"


@pytest.mark.parametrize(
    ("answer", "light"),
    [
        (b"\x1b]11;rgb:ffff/ffff/ffff\x1b\\\x1b[?62;c", True),
        (b"\x1b]11;rgb:1e1e/1e1e/1e1e\x07", False),
        (b"\x1b]11;rgba:ff/ff/ee/ff\x1b\\", True),
        (b"\x1b[?62;c", False),
        (b"", False),
    ],
)
def test_a_terminal_s_answer_says_whether_it_is_light(answer: bytes, light: bool) -> None:  # noqa: FBT001
    assert (lightness(answer) > 0.5) is light


# Rates


def fleet(*sent: tuple[int, int]) -> Fleet:
    """Workers by their ids, with how many they have sent."""
    return Fleet(
        tuple(
            Worker(number, "host", 1, "1", ["email"], [], NOW, NOW, 1.0, 0.0, None, _report(total))
            for number, total in sent
        )
    )


def _report(total: int) -> Report:
    tallies = (Tally("email", "smtp", "sent", None, total, 10, (10,)),)
    return Report(0.0, 10.0, listening=True, concurrency=1, levels=(5,), drain=False, tallies=tallies)


def test_a_minute_is_what_was_added_in_it_whoever_comes_and_goes() -> None:
    pace, key = Pace(), Key("email", "smtp", "sent")
    pace.after(fleet((1, 1_000)), [], 0.0)
    assert pace.after(fleet((1, 1_300), (2, 50)), [], 30.0).minute == {}
    speed = pace.after(fleet((2, 100), (3, 200)), [], 60.0)
    assert speed.minute == {key: pytest.approx((300 + 100 + 200) / 60)}
    assert speed.now == {key: pytest.approx(2.0)}
    assert [round(ago) for ago, _ in speed.live] == [60, 30, 0]


def test_before_a_minute_was_watched_it_is_the_last_of_the_history_that_all_have_written() -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)

    def sample(minutes: int, sent: int) -> Sample:
        at = now - timedelta(minutes=minutes)
        return Sample(at, "email", "smtp", sent, 0, 0, 0, 0, None, None, None, None, None, [])

    speed = Pace().after(fleet(), [sample(3, 600), sample(2, 1_200), sample(0, 6)])
    assert speed.minute[Key("email", "smtp", "sent")] == 20


# Lines


WORDS = st.text("abc xyz äöü 漢字", max_size=30)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=5), st.integers(1, 100))
def test_a_line_of_a_table_is_as_wide_as_it_was_to_be(cells: list[tuple[str, str, str]], width: int) -> None:
    columns = (Column("one", least=4), Column("two", number=True, sacrifice=1), Column("three", sacrifice=2))
    drawing = table(columns, [Row(str(at), [span(word) for word in row]) for at, row in enumerate(cells)], width)
    assert {width_of(line) for line in drawing.lines()} == {width}
    assert [key for key, _ in drawing.rows] == [str(at) for at in range(len(cells))]


@given(st.integers(12, 200), st.integers(0, 300), st.integers(0, 50), st.integers(0, 50), st.integers(0, 20))
def test_the_parts_of_the_screen_fill_it(lines: int, queue: int, middle: int, workers: int, warnings: int) -> None:
    given_ = heights(lines, {"queue": queue, "middle": middle, "workers": workers}, warnings)
    assert sum(given_.values()) + 2 == lines
    assert min(given_.values()) >= 0
    assert given_["queue"] >= 5
    assert bool(given_["warnings"]) == bool(warnings), "a warning is always seen"


def test_lengths_of_time_are_short() -> None:
    assert [ago(each) for each in (None, 0.4, 61, 3_600, 7_500, 90_000)] == ["-", "0s", "1m 1s", "1h", "2h 5m", "1d 1h"]
    assert [took(each) for each in (None, 0.0412, 1.24, 45.2)] == ["-", "41 ms", "1.2 s", "45 s"]
