"""`outbox preference import` and `export`: what many people want, from a file and into one."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.command_line import run, run_on_a_terminal
from tests.endings import put
from tests.hands import claim, enqueue, rows
from tests.recorder import delivered
from tests.topical import ADA, choose, say

if TYPE_CHECKING:
    from pathlib import Path

EVERY = "SELECT channel, recipient, topic, wanted, source FROM outbox.preferences ORDER BY 1, 2, 3"
FILE = f"""channel,recipient,topic,wanted,updated_at
email,Ada@Example.org,news,yes,2024-05-01T12:00:00Z
email,eve@example.org,news,no,
email,eve@example.org,offers,TRUE,
sms,+447700900001,news,no,
email,{ADA},news,no,2025-05-01T12:00:00Z
"""


def document(url: str, *arguments: object, given: str | None = None) -> dict[str, Any]:
    result = run(url, "preference", *arguments, "--json", given=given)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def problems(url: str, *arguments: object, given: str | None = None) -> list[str]:
    result = run(url, "preference", *arguments, given=given)
    assert result.exit_code == 2, (result.stdout, result.stderr)
    return [line.removeprefix("error: ") for line in result.stderr.splitlines()]


async def test_an_import_writes_all_down_and_ends_what_waits(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(FILE)
    enqueue(database_url, 2, recipient=ADA, topic="news", run_at=timedelta(hours=1))
    enqueue(database_url, 1, recipient="Eve@example.org", topic="news")
    enqueue(database_url, 1, recipient="eve@example.org", topic="offers")
    enqueue(database_url, 1, recipient="eve@example.org")
    foretold = document(database_url, "import", file, "--dry-run")
    assert foretold == {"lines": 5, "would_write": 4, "would_change": 4, "outdated": 0, "would_end": 3}
    assert rows(database_url, EVERY) == []
    told = {"lines": 5, "written": 4, "changed": 4, "outdated": 0, "lifted": 0, "ended": 3, "in_hand": 0}
    assert document(database_url, "import", file) == told
    assert rows(database_url, EVERY) == [
        ("email", ADA, "news", False, "import"),
        ("email", "eve@example.org", "news", False, "import"),
        ("email", "eve@example.org", "offers", True, "import"),
        ("sms", "+447700900001", "news", False, "import"),
    ]
    ended = rows(database_url, "SELECT DISTINCT last_error FROM outbox.status WHERE state = 'suppressed' ORDER BY 1")
    assert ended[0] == ("opted out, topic news, since 2025-05-01",)
    assert [message.topic for message in await delivered(database_url)] == ["offers", None]
    said = run(database_url, "preference", "import", file).stdout
    assert said == "✓ wrote 4 preferences, 0 of them new or changed\n"


async def test_what_a_worker_holds_is_told_and_not_ended(database_url: str) -> None:
    enqueue(database_url, 1, recipient=ADA, topic="news")
    await claim(database_url)
    told = document(database_url, "import", "-", given=f"channel,recipient,topic,wanted\nemail,{ADA},news,no\n")
    assert (told["ended"], told["in_hand"]) == (0, 1)


def test_what_somebody_said_later_stays(database_url: str) -> None:
    choose(database_url, "news", wanted=True, source="the form")
    line = f"channel,recipient,topic,wanted,updated_at\nemail,{ADA},news,no,2024-01-01T00:00:00Z\n"
    enqueue(database_url, 1, recipient=ADA, topic="news")
    foretold = document(database_url, "import", "-", "--dry-run", given=line)
    assert foretold == {"lines": 1, "would_write": 0, "would_change": 0, "outdated": 1, "would_end": 0}
    result = run(database_url, "preference", "import", "-", given=line)
    assert result.stdout == "✓ wrote 0 preferences, 0 of them new or changed\n"
    assert "1 line left out: they have said something since" in result.stderr
    assert [row[3:] for row in rows(database_url, EVERY)] == [(True, "the form")]


def test_a_yes_takes_back_an_unsubscription_from_the_topic_unless_that_is_younger(database_url: str) -> None:
    rows(
        database_url,
        "INSERT INTO outbox.suppressions (channel, recipient, topic, reason, created_at) VALUES "
        "('email', %s, 'news', 'unsubscribed', '2024-06-01Z'), ('email', %s, '', 'unsubscribed', '2024-06-01Z')",
        ADA,
        ADA,
    )
    header = "channel,recipient,topic,wanted,updated_at\n"
    told = document(database_url, "import", "-", given=f"{header}email,{ADA},news,yes,2024-05-01T00:00:00Z\n")
    assert told["lifted"] == 0
    result = run(
        database_url, "preference", "import", "-", given=f"{header}email,{ADA},news,yes,2024-07-01T00:00:00Z\n"
    )
    assert "✓ lifted 1 suppression of a topic that is wanted: unsubscribed" in result.stdout
    assert rows(database_url, "SELECT topic FROM outbox.suppressions") == [("",)]


def test_who_did_not_opt_in_loses_what_waits_and_what_everybody_gets_stays(database_url: str) -> None:
    say(database_url, offers={"default": "opt_in"}, receipts={"transactional": True}, news={})
    for topic in ("offers", "receipts", "news"):
        put(database_url, recipient="eve@example.org", topic=topic)
    told = document(database_url, "import", "-", given=f"channel,recipient,topic,wanted\nemail,{ADA},news,no\n")
    assert told["ended"] == 1
    assert rows(database_url, "SELECT topic FROM outbox.status WHERE state = 'suppressed'") == [("offers",)]


def test_lines_of_json_and_what_the_command_says_for_all_of_them(database_url: str) -> None:
    lines = f'{{"recipient": "{ADA}", "wanted": false, "source": "the shop"}}\n\n'
    lines += '{"recipient": "eve@example.org", "wanted": "yes", "topic": null}\n'
    told = document(database_url, "import", "-", "--channel", "email", "--topic", "news", given=lines)
    assert (told["lines"], told["changed"]) == (2, 2)
    assert [row[3:] for row in rows(database_url, EVERY)] == [(False, "the shop"), (True, "import")]


def test_every_line_is_looked_at_before_anything_is_written(database_url: str, tmp_path: Path) -> None:
    say(database_url, news={"channels": ["email"]}, receipts={"transactional": True})
    file = tmp_path / "file.csv"
    file.write_text(
        "channel,recipient,topic,wanted,updated_at\n"
        f"email,{ADA},news,no,\n"
        "email,ada,news,no,\n"
        f"email,{ADA},newz,no,\n"
        "sms,+447700900001,news,no,\n"
        f"email,{ADA},receipts,no,\n"
        f"email,{ADA},news,perhaps,\n"
        f"email,{ADA},news,,\n"
        f"email,{ADA},,no,\n"
        f"email,{ADA},news,no,2090-01-01T00:00:00Z\n"
        f"email,{ADA},news,no,yesterday\n"
        f"email,{ADA},news\n"
    )
    found = [line.removeprefix(f"{file}, ") for line in problems(database_url, "import", file)]
    assert found[1:] == [
        "line 4: topic: 'newz' is not declared; did you mean news?",
        "line 5: topic: 'news' is not sent by sms; it is sent by email",
        "line 6: topic: 'receipts' is transactional: everybody gets it, and nobody chooses",
        "line 7: wanted: must be yes or no, or true or false",
        "line 8: wanted: is missing: yes or no",
        "line 9: topic: is missing: it says what is wanted, or not",
        "line 10: updated_at: lies in the future: it is when they said so",
        "line 11: updated_at: 'yesterday' is not a moment: write it like 2030-01-31T09:00:00Z, or with +01:00",
        "line 12: has 3 fields, and the header has 5",
        "nothing was written: mend these lines, or take them out",
    ]
    assert found[0].startswith("line 3: recipient: ")
    assert ADA not in "".join(found), "nobody's address is told"
    assert rows(database_url, EVERY) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the file is empty: a CSV begins with a header such as channel,recipient,topic,wanted"),
        ("channel,recipient,topic,want\n", "line 1: the header's 'want' is not a known column; did you mean wanted?"),
        (
            "recipient,wanted\n",
            "line 1: the header lacks channel and topic: write it, or give --channel, or give --topic",
        ),
        ("channel,recipient,topic\n", "line 1: the header lacks wanted: write it"),
        ('{"wantet": true}\n', "line 1: wantet is not a known key; did you mean wanted?"),
    ],
)
def test_a_file_that_cannot_be_read_says_where(database_url: str, text: str, problem: str) -> None:
    first, *_ = problems(database_url, "import", "-", given=text)
    assert first == f"standard input, {problem}"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("updated_at", {"at": "2024-05-01T12:00:00Z"}, "updated_at: must be a text, not dict"),
        ("updated_at", [], "updated_at: must be a text, not list"),
        ("wanted", ["yes"], "wanted: must be yes or no, or true or false"),
        ("source", {"form": 1}, "source: must be a text of 1 to 100 printable characters"),
        ("topic", ["news"], "topic: must be a text, not list"),
        ("channel", {}, "channel: {} is not a channel name"),
        ("recipient", [ADA], "recipient: must be a text such as an address or a number, not list"),
    ],
)
def test_a_value_of_json_that_is_no_text_is_refused_by_its_line(
    database_url: str, name: str, value: object, problem: str
) -> None:
    line = {"channel": "email", "recipient": ADA, "topic": "news", "wanted": True}
    lines = "".join(json.dumps(one) + "\n" for one in (line, line | {name: value}))
    first, last = problems(database_url, "import", "-", given=lines)
    assert first.startswith(f"standard input, line 2: {problem}")
    assert last == "nothing was written: mend these lines, or take them out"
    assert rows(database_url, EVERY) == []


TOPICS = st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from(' ,"\\'), max_size=12).map(str.strip)
PREFERENCE = st.fixed_dictionaries(
    {
        "recipient": st.from_regex(r"[a-zA-Z0-9]{1,8}@[a-z]{1,5}\.org", fullmatch=True),
        "topic": TOPICS.filter(bool),
        "source": TOPICS.filter(bool),
        "wanted": st.booleans(),
    }
)


@pytest.mark.parametrize("form", ["csv", "json"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=st.lists(PREFERENCE, min_size=1, max_size=8))
def test_what_is_exported_is_imported_as_it_was(database_url: str, form: str, some: list[dict[str, Any]]) -> None:
    rows(database_url, "DELETE FROM outbox.preferences")
    document(database_url, "import", "-", "--channel", "email", given="".join(json.dumps(one) + "\n" for one in some))
    everything = EVERY.replace("source", "source, updated_at")
    before = rows(database_url, everything)
    last = {(one["recipient"].lower(), one["topic"]): (one["wanted"], one["source"]) for one in some}
    assert {row[1:3]: row[3:5] for row in before} == last
    exported = run(database_url, "preference", "export", "--format", form).stdout
    rows(database_url, "DELETE FROM outbox.preferences")
    document(database_url, "import", "-", given=exported)
    assert rows(database_url, everything) == before


def test_an_export_can_be_narrowed_and_goes_to_a_file(database_url: str, tmp_path: Path) -> None:
    document(database_url, "import", "-", given=FILE)
    target = tmp_path / "out.csv"
    narrowed = ("--channel", "email", "--recipient", "ADA@example.org", "--output", target)
    assert run(database_url, "preference", "export", *narrowed).exit_code == 0
    assert target.read_text().splitlines() == [
        "channel,recipient,topic,wanted,source,updated_at",
        f"email,{ADA},news,no,import,2025-05-01T12:00:00Z",
    ]
    assert len(run(database_url, "preference", "export", "--topic", "offers").stdout.splitlines()) == 2
    (only,) = problems(database_url, "export", "--format", "xml")
    assert only == "--format: there is no 'xml'; it is csv or json, an object a line"


def test_a_bar_is_shown_on_a_terminal(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(FILE)
    code, seen = run_on_a_terminal(database_url, "preference", "import", file)
    assert (code, "reading" in seen, "writing" in seen, "wrote 4 preferences" in seen) == (0, True, True, True)


def test_more_than_a_page_and_a_chunk_of_them_and_interrupted_it_goes_on(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.queue.load_preferences.CHUNK", 7)
    monkeypatch.setattr("outbox.queue.load_preferences.PAGE", 3)
    monkeypatch.setattr("outbox.queue.said.PAGE", 4)
    enqueue(database_url, 20, topic="news")
    text = "channel,recipient,topic,wanted\n"
    text += "".join(f"email,user{number}@example.org,news,no\n" for number in range(20))
    rows(
        database_url,
        "ALTER TABLE outbox.preferences ADD CONSTRAINT stop CHECK (recipient <> 'user5@example.org') NOT VALID",
    )
    try:
        stopped = run(database_url, "preference", "import", "-", given=text)
    finally:
        rows(database_url, "ALTER TABLE outbox.preferences DROP CONSTRAINT stop")
    assert stopped.exit_code != 0
    assert "run this again, and it goes on" in stopped.stdout
    left = len(rows(database_url, EVERY))
    assert 0 < left < 20
    told = document(database_url, "import", "-", given=text)
    assert (told["written"], told["changed"], told["ended"]) == (20, 20 - left, 20)
    assert len(run(database_url, "preference", "export").stdout.splitlines()) == 21
