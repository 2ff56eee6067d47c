"""`outbox suppress`: one suppression, many of them, and what it says of mistakes."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from outbox import reasons
from tests.command_line import run, run_on_a_terminal
from tests.hands import claim, enqueue, rows
from tests.recorder import delivered

if TYPE_CHECKING:
    from pathlib import Path

ADA = "ada@example.org"
TO_ADA = ("--channel", "email", "--recipient", ADA)
EVERY = "SELECT channel, recipient, topic, sender, reason, source FROM outbox.suppressions ORDER BY 1, 2, 3, 4"


def document(url: str, *arguments: object, given: str | None = None) -> dict[str, Any]:
    result = run(url, "suppress", *arguments, "--json", given=given)
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def problems(url: str, *arguments: object, given: str | None = None) -> list[str]:
    result = run(url, "suppress", *arguments, given=given)
    assert result.exit_code == 2, (result.stdout, result.stderr)
    return [line.removeprefix("error: ") for line in result.stderr.splitlines()]


# One


async def test_added_on_paper_it_says_what_ended(database_url: str) -> None:
    enqueue(database_url, 3, recipient=ADA)
    await claim(database_url, limit=1)
    result = run(database_url, "suppress", "add", *TO_ADA, "--reason", "unsubscribed")
    assert result.stdout.splitlines() == [
        f"✓ {ADA} by email is suppressed: unsubscribed",
        "✓ ended 2 notifications that waited",
        "warning: 1 in a worker's hands this moment may still be sent",
    ]
    result = run(database_url, "suppress", "add", *TO_ADA, "--reason", "stop", "--until", "30d")
    assert result.stdout.startswith(f"{ADA} by email was suppressed already: stop\n")
    result = run(database_url, "suppress", "add", *TO_ADA)
    assert result.stdout.startswith(
        f"{ADA} by email was suppressed already, and stays so for the stronger reason: stop\n"
    )


def test_added_in_json(database_url: str) -> None:
    assert document(database_url, "add", *TO_ADA, "--topic", "news", "--until", "2040-01-31T09:00:00Z") == {
        "new": True,
        "reason": "manual",
        "ended": 0,
        "in_hand": 0,
    }
    assert rows(database_url, "SELECT topic, source, until = '2040-01-31 09:00Z' FROM outbox.suppressions") == [
        ("news", "manual", True)
    ]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--recipient", "ada"), "--recipient: an email address looks like name@example.org"),
        (("--reason", "hard-bounce"), "--reason: must be one of stop, hard_bounce, "),
        (("--reason", "hardbounce"), "--reason: 'hardbounce' is no word that is known here; did you mean hard_bounce?"),
        (("--until", "soon"), "--until: 'soon' is not a moment: write it like 2030-01-31T09:00:00Z"),
        (("--until", "2020-01-01T00:00:00Z"), "--until: lies in the past"),
        (("--until", "2040-01-01"), "--until: '2040-01-01' has no time zone"),
    ],
)
def test_an_option_that_is_wrong_says_what_would_be_right(
    database_url: str, options: tuple[str, str], problem: str
) -> None:
    (only,) = problems(database_url, "add", *TO_ADA, *options)
    assert only.startswith(problem)


def test_removed_it_says_what_stays(database_url: str) -> None:
    for more in (("--reason", "unsubscribed"), ("--topic", "news"), ("--reason", "stop", "--sender", "+447700900999")):
        run(database_url, "suppress", "add", *TO_ADA, *more)
    result = run(database_url, "suppress", "remove", *TO_ADA)
    assert (result.exit_code, result.stdout) == (0, f"✓ removed: {ADA} by email (unsubscribed)\n")
    still = result.stderr.splitlines()
    assert still[0].startswith("still suppressed: stop, --sender +447700900999, since ")
    assert still[1].startswith("still suppressed: manual, --topic news, since ")
    result = run(database_url, "suppress", "remove", *TO_ADA, "--sender", "+447700900999")
    assert (result.exit_code, result.stdout) == (1, "nothing was removed\n")
    assert "--strong removes it all the same" in result.stderr.splitlines()[0]
    assert document(database_url, "remove", *TO_ADA, "--sender", "+447700900999", "--strong")["removed"] == "stop"
    result = run(database_url, "suppress", "remove", *TO_ADA, "--topic", "news", "--json")
    assert json.loads(result.stdout) == {"removed": "manual", "kept": []}
    assert run(database_url, "suppress", "remove", *TO_ADA).exit_code == 1


def test_listed_plainly_in_a_pipe_and_as_json(database_url: str) -> None:
    for number in range(3):
        run(
            database_url, "suppress", "add", "--channel", "sms", "--recipient", f"+44770090000{number}", "--until", "2d"
        )
    run(database_url, "suppress", "add", *TO_ADA, "--topic", "news", "--reason", "unsubscribed")
    lines = run(database_url, "suppress", "list").stdout.splitlines()
    assert lines[0].split() == ["CHANNEL", "RECIPIENT", "TOPIC", "SENDER", "REASON", "SOURCE", "SINCE", "UNTIL"]
    assert lines[1].split()[:6] == ["email", ADA, "news", "-", "unsubscribed", "manual"]
    assert len(lines) == 5
    found = document(database_url, "list", "--channel", "sms", "--limit", "2")
    assert ([one["recipient"] for one in found["suppressions"]], found["more"]) == (
        ["+447700900000", "+447700900001"],
        True,
    )
    assert document(database_url, "list", "--reason", "unsubscribed")["suppressions"][0]["recipient"] == ADA
    result = run(database_url, "suppress", "list", "--reason", "complaint")
    assert (result.stdout, result.stderr) == ("", "no suppression matches\n")


def test_on_a_terminal_it_is_a_table(database_url: str) -> None:
    run(database_url, "suppress", "add", *TO_ADA)
    code, seen = run_on_a_terminal(database_url, "suppress", "list")
    assert (code, ADA in seen, "recipient" in seen) == (0, True, True)


# Many

FILE = f"""channel,recipient,topic,reason,until,created_at
email,Ada@Example.org,,unsubscribed,,2024-05-01T12:00:00Z
email,eve@example.org,news,complaint,2040-01-01T00:00:00Z,
sms,+447700900001,,stop,,
email,{ADA},,hard_bounce,,2025-05-01T12:00:00Z
"""


async def test_an_import_adds_all_and_ends_what_waits(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(FILE)
    enqueue(database_url, 2, recipient=ADA, run_at=timedelta(hours=1))
    enqueue(database_url, 1, recipient="eve@example.org", topic="news")
    enqueue(database_url, 1, recipient="eve@example.org", topic="billing")
    foretold = document(database_url, "import", file, "--dry-run")
    assert foretold == {"lines": 4, "would_add": 3, "new": 3, "would_end": 3}
    assert rows(database_url, EVERY) == []
    assert document(database_url, "import", file) == {"lines": 4, "added": 3, "new": 3, "ended": 3, "in_hand": 0}
    assert rows(database_url, EVERY) == [
        ("email", ADA, "", "", "hard_bounce", "import"),
        ("email", "eve@example.org", "news", "", "complaint", "import"),
        ("sms", "+447700900001", "", "", "stop", "import"),
    ]
    assert rows(database_url, "SELECT created_at = '2024-05-01 12:00Z' FROM outbox.suppressions LIMIT 1") == [(True,)]
    assert [message.topic for message in await delivered(database_url)] == ["billing"]
    said = run(database_url, "suppress", "import", file).stdout
    assert said == "✓ added 3 suppressions, 0 of them new\n"


def test_an_import_weakens_nothing_that_is_there(database_url: str) -> None:
    run(database_url, "suppress", "add", *TO_ADA, "--reason", "stop", "--until", "2d")
    document(database_url, "import", "-", given="channel,recipient,reason\nemail,ada@example.org,unsubscribed\n")
    assert rows(database_url, "SELECT reason, until FROM outbox.suppressions") == [("stop", None)]


def test_lines_of_json_and_what_the_command_says_for_all_of_them(database_url: str) -> None:
    lines = '\ufeff{"recipient": "ada@example.org", "source": "the shop"}\n\n'
    lines += '{"recipient": "eve@example.org", "topic": null}\n'
    given = document(database_url, "import", "-", "--channel", "email", "--reason", "hard_bounce", given=lines)
    assert (given["lines"], given["new"]) == (2, 2)
    assert [row[4:] for row in rows(database_url, EVERY)] == [("hard_bounce", "the shop"), ("hard_bounce", "import")]


def test_every_line_is_looked_at_before_anything_is_written(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(
        "channel,recipient,reason,until,created_at\n"
        "email,ada@example.org,unsubscribed,,\n"
        "email,ada,unsubscribed,,\n"
        "E-Mail,ada@example.org,unsubscribed,,\n"
        '"email","eve\n@example.org",unsubscribed,,\n'
        "email,ada@example.org,unsubscribe,,\n"
        "email,ada@example.org,,,\n"
        "email,ada@example.org,stop,2020-01-01T00:00:00Z,\n"
        "email,ada@example.org,stop,,2090-01-01T00:00:00Z\n"
        "email,ada@example.org,stop\n"
    )
    found = [line.removeprefix(f"{file}, ") for line in problems(database_url, "import", file)]
    assert [line.split(": ", 1)[0] for line in found[:-1]] == [f"line {line}" for line in (3, 4, 6, 7, 8, 9, 10, 11)]
    assert [line.split(": ")[1] for line in found[:-1]][:7] == [
        "recipient",
        "channel",
        "recipient",
        "reason",
        "reason",
        "until",
        "created_at",
    ]
    assert found[-2] == "line 11: has 3 fields, and the header has 5"
    assert found[-1] == "nothing was written: mend these lines, or take them out"
    assert rows(database_url, EVERY) == []
    assert ADA not in "".join(found), "nobody's address is told"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the file is empty: a CSV begins with a header such as channel,recipient,reason"),
        ("chanel,recipient\n", "line 1: the header's 'chanel' is not a known column; did you mean channel?"),
        ("channel,channel,recipient,reason\n", "line 1: the header has channel twice"),
        ("recipient\n", "line 1: the header lacks channel and reason: write it, or give --channel, or give --reason"),
        ("channel,reason\n", "line 1: the header lacks recipient: write it"),
        ('\n\n{"recipient": 1\n', "line 3: is not JSON; each line is an object of its own"),
        ('{"recipient": "a"}\n[]\n', "line 1: channel: "),
        ('{"adress": "a"}\n', "line 1: adress is not a known key; "),
        ('channel,recipient,reason\n"email,x', "line 2: is not CSV: "),
    ],
)
def test_a_file_that_cannot_be_read_says_where(database_url: str, text: str, problem: str) -> None:
    first, *_ = problems(database_url, "import", "-", given=text)
    assert first.startswith(f"standard input, {problem}")


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("created_at", {"at": "2024-05-01T12:00:00Z"}, "created_at: must be a text, not dict"),
        ("created_at", [], "created_at: must be a text, not list"),
        ("created_at", 20240501, "created_at: must be a text, not int"),
        ("until", {"days": 30}, "until: must be a text, not dict"),
        ("until", False, "until: must be a text, not bool"),
        ("reason", ["stop"], "reason: must be one of stop, hard_bounce, "),
        ("reason", {}, "reason: must be one of stop, hard_bounce, "),
        ("source", ["the shop"], "source: must be a text, not list"),
        ("topic", {"news": True}, "topic: must be a text, not dict"),
        ("sender", [1], "sender: must be a text, not list"),
        ("channel", ["email"], "channel: ['email'] is not a channel name"),
        ("recipient", {"address": ADA}, "recipient: must be a text such as an address or a number, not dict"),
    ],
)
def test_a_value_of_json_that_is_no_text_is_refused_by_its_line(
    database_url: str, name: str, value: object, problem: str
) -> None:
    line = {"channel": "email", "recipient": ADA, "reason": "stop"}
    lines = "".join(json.dumps(one) + "\n" for one in (line, line | {name: value}))
    first, last = problems(database_url, "import", "-", given=lines)
    assert first.startswith(f"standard input, line 2: {problem}")
    assert last == "nothing was written: mend these lines, or take them out"
    assert rows(database_url, EVERY) == []


def test_many_mistakes_are_counted(database_url: str) -> None:
    text = "channel,recipient,reason\n" + "email,ada,stop\n" * 1_000
    found = problems(database_url, "import", "-", given=text)
    assert (len(found), found[-1]) == (
        21,
        "nothing was written: mend these lines, or take them out (and 980 more mistakes)",
    )


def test_a_file_that_is_not_there_or_not_text_is_a_mistake(database_url: str, tmp_path: Path) -> None:
    (only,) = problems(database_url, "import", tmp_path / "none.csv")
    assert only == f"{tmp_path / 'none.csv'}: cannot be read: No such file or directory"
    (tmp_path / "latin.csv").write_bytes(b"channel,recipient,reason\nemail,ad\xe9@example.org,stop\n")
    (only,) = problems(database_url, "import", tmp_path / "latin.csv")
    assert only.startswith(f"{tmp_path / 'latin.csv'}: is not UTF-8: byte ")


ADDRESSES = st.from_regex(r"[a-zA-Z0-9]{1,8}@[a-z]{1,5}\.org", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=("C", "Z")) | st.sampled_from(' ,"\\'), max_size=12).map(str.strip)
SUPPRESSION = st.fixed_dictionaries(
    {
        "recipient": ADDRESSES,
        "reason": st.sampled_from([*reasons.KNOWN, "own_word"]),
        "topic": TEXTS,
        "sender": TEXTS,
        "source": TEXTS.filter(bool),
    }
)


@pytest.mark.parametrize("form", ["csv", "json"])
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(some=st.lists(SUPPRESSION, max_size=8))
def test_what_is_exported_is_imported_as_it_was(database_url: str, form: str, some: list[dict[str, str]]) -> None:
    rows(database_url, "DELETE FROM outbox.suppressions")
    given = "".join(json.dumps({"channel": "email", **one}) + "\n" for one in some) or '{"recipient": "a@b.c"}\n'
    document(database_url, "import", "-", "--channel", "email", "--reason", "stop", given=given)
    everything = f"{EVERY.replace('source', 'source, created_at, until')}"
    before = rows(database_url, everything)
    exported = run(database_url, "suppress", "export", "--format", form).stdout
    rows(database_url, "DELETE FROM outbox.suppressions")
    document(database_url, "import", "-", given=exported)
    assert rows(database_url, everything) == before


def test_an_export_can_be_narrowed_and_goes_to_a_file(database_url: str, tmp_path: Path) -> None:
    document(database_url, "import", "-", given=FILE)
    target = tmp_path / "out.csv"
    assert run(database_url, "suppress", "export", "--channel", "email", "--output", target).exit_code == 0
    written = list(csv.DictReader(io.StringIO(target.read_text())))
    assert [(one["recipient"], one["topic"], one["until"]) for one in written] == [
        (ADA, "", ""),
        ("eve@example.org", "news", "2040-01-01T00:00:00Z"),
    ]
    (only,) = problems(database_url, "export", "--format", "xml")
    assert only == "--format: there is no 'xml'; it is csv or json, an object a line"
    (only,) = problems(database_url, "export", "--output", tmp_path)
    assert only == f"--output: {tmp_path}: cannot be written: Is a directory"


def test_a_bar_is_shown_on_a_terminal(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.write_text(FILE)
    code, seen = run_on_a_terminal(database_url, "suppress", "import", file)
    assert (code, "reading" in seen, "adding" in seen, "added 3 suppressions" in seen) == (0, True, True, True)


def test_more_than_a_page_and_a_chunk_of_them(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outbox.queue.load.CHUNK", 7)
    monkeypatch.setattr("outbox.queue.load.PAGE", 3)
    monkeypatch.setattr("outbox.terminal.suppress_files._EXPORTED", 4)
    enqueue(database_url, 20)
    text = "channel,recipient,reason\n" + "".join(f"email,user{number}@example.org,stop\n" for number in range(20))
    told = document(database_url, "import", "-", given=text)
    assert told == {"lines": 20, "added": 20, "new": 20, "ended": 20, "in_hand": 0}
    assert len(run(database_url, "suppress", "export").stdout.splitlines()) == 21
