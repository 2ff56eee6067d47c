from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.command_line import run, run_process

if TYPE_CHECKING:
    from pathlib import Path

TO_ADA = ["enqueue", "--channel", "email", "--recipient", "ada@example.org"]


def only_row(url: str) -> dict[str, Any]:
    with psycopg.connect(url, row_factory=dict_row) as conn:
        rows = conn.execute("""
            SELECT *, date_part('epoch', run_at - created_at) AS delay,
                   date_part('epoch', expires_at - created_at) AS lasts
            FROM outbox.notifications
        """).fetchall()
    assert len(rows) == 1
    return rows[0]


def how_many(url: str) -> int:
    with psycopg.connect(url) as conn:
        return len(conn.execute("SELECT id FROM outbox.queue").fetchall())


def test_it_prints_the_id_of_what_it_committed(database_url: str) -> None:
    done = run_process(database_url, *TO_ADA, "--payload", '{"name": "Ada"}')
    identity, words = done.stdout.split()
    row = only_row(database_url)
    assert (done.returncode, words) == (0, "created")
    assert (row["id"], row["recipient"], row["payload"]) == (UUID(identity), "ada@example.org", {"name": "Ada"})
    assert how_many(database_url) == 1


def test_what_a_payload_says_wrongly_of_an_email_is_told_at_once(database_url: str) -> None:
    done = run(database_url, *TO_ADA, "--payload", '{"cc": "bob@example.org"}')
    assert done.exit_code == 2
    assert "--payload: cc: must be a list of addresses" in done.stderr
    assert how_many(database_url) == 0


def test_every_option_arrives(database_url: str) -> None:
    options = {
        "template": "welcome",
        "idempotency_key": "welcome:1",
        "topic": "news",
        "group_key": "order:42",
        "ordering_key": "account:7",
        "locale": "pt-BR",
    }
    flags = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", value)]
    more = ["--priority", "urgent", "--headers", '{"X": "y"}', "--delay", "5m", "--expires-in", "1h"]
    assert run(database_url, *TO_ADA, *flags, *more).exit_code == 0
    row = only_row(database_url)
    assert {name: row[name] for name in options} == options
    assert (row["priority"], row["headers"], row["delay"], row["lasts"]) == (0, {"X": "y"}, 300, 3600)


def test_moments_are_taken_with_their_zone(database_url: str) -> None:
    moments = ["--run-at", "2030-01-31T09:00:00+01:00", "--expires-at", "2030-01-31T09:00:00Z"]
    assert run(database_url, *TO_ADA, *moments).exit_code == 0
    row = only_row(database_url)
    assert row["lasts"] - row["delay"] == 3600


@pytest.mark.parametrize(("priority", "level"), [("bulk", 8), ("0", 0), ("9", 9)])
def test_a_priority_is_a_name_or_a_number(database_url: str, priority: str, level: int) -> None:
    assert run(database_url, *TO_ADA, "--priority", priority).exit_code == 0
    assert only_row(database_url)["priority"] == level


def test_a_payload_may_come_from_a_file_or_from_standard_input(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "payload.json"
    file.write_text('{"name": "Zoë"}', encoding="utf-8")
    for source in (f"@{file}", "-"):
        arguments = [*TO_ADA, "--payload", source, "--idempotency-key", "same"]
        assert run(database_url, *arguments, given='{"name": "Zoë"}').exit_code == 0
    assert only_row(database_url)["payload"] == {"name": "Zoë"}


def test_the_same_key_again_gives_the_first_id(database_url: str) -> None:
    first, second = (
        json.loads(run(database_url, *TO_ADA, "--idempotency-key", "a", "--json").stdout) for _ in range(2)
    )
    assert first == {"id": second["id"], "created": True}
    assert second["created"] is False
    assert "was there already" in run(database_url, *TO_ADA, "--idempotency-key", "a").stdout


def test_the_same_key_for_other_content_fails(database_url: str) -> None:
    run(database_url, *TO_ADA, "--idempotency-key", "a")
    result = run(database_url, *TO_ADA, "--idempotency-key", "a", "--payload", '{"n": 1}')
    assert result.exit_code == 1
    assert "different content" in result.stderr
    assert how_many(database_url) == 1


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (["--recipient", "ada"], "--recipient: an email address"),
        (["--channel", "E-Mail"], "--channel:"),
        (["--priority", "now"], "--priority: 'now' is none of"),
        (["--payload", "{"], "--payload: is not JSON"),
        (["--payload", "[1]"], "--payload: must be a JSON object"),
        (["--payload", "@/no/such/file"], "--payload: /no/such/file cannot be read"),
        (["--payload", "[" * 100_000], "--payload: is nested too deeply"),
        (["--headers", "x"], "--headers: is not JSON"),
        (["--run-at", "tomorrow"], "--run-at: 'tomorrow' is not a moment"),
        (["--run-at", "2030-01-31T09:00"], "--run-at: '2030-01-31T09:00' has no time zone"),
        (["--delay", "soon"], "--delay: 'soon' is not a duration"),
        (["--delay", "1h", "--run-at", "2030-01-31T09:00Z"], "--delay: --run-at says it already"),
        (["--expires-in", "1m", "--delay", "5m"], "--expires-in: is not after run_at"),
        (["--topic", ""], "--topic: must have 1 to 255 characters"),
        (["--ordering-key", "k" * 256], "--ordering-key: must have 1 to 255 characters"),
    ],
)
def test_a_mistake_is_misuse_and_names_the_option(database_url: str, wrong: list[str], names: str) -> None:
    result = run(database_url, *TO_ADA, *wrong)
    assert result.exit_code == 2
    assert f"error: {names}" in result.stderr
    assert how_many(database_url) == 0


def test_mistakes_are_reported_together(database_url: str) -> None:
    result = run(database_url, *TO_ADA, "--payload", "{", "--delay", "soon")
    assert len(result.stderr.splitlines()) == 2


def test_a_channel_and_a_recipient_are_needed(database_url: str) -> None:
    assert run(database_url, "enqueue", "--channel", "email").exit_code == 2


def test_a_channel_that_is_not_configured_is_enqueued_with_a_warning(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.email]\nproviders = ["smtp"]\n', encoding="utf-8")
    to_ada = ["enqueue", "--channel", "emial", "--recipient", "ada@example.org", "--json", "--config", file]
    result = run(database_url, *to_ada)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["created"] is True
    assert f"{file} has no [channels.emial]" in result.stderr
    assert "did you mean email?" in result.stderr
    assert how_many(database_url) == 1


def test_a_configured_channel_or_none_at_all_gives_no_warning(database_url: str, tmp_path: Path) -> None:
    file = tmp_path / "outbox.toml"
    for text in ('[channels.email]\nproviders = ["smtp"]\n', ""):
        file.write_text(text, encoding="utf-8")
        assert "warning" not in run(database_url, *TO_ADA, "--config", file).stderr


MANIFEST = """
channel = "email"
topic = "orders"
priority = "high"
expires_in = "2d"

[variables]
name = "string"
"""


@pytest.fixture
def with_templates(tmp_path: Path) -> Path:
    folder = tmp_path / "templates" / "shipped"
    folder.mkdir(parents=True)
    (folder / "body.txt").write_text("Hello {{ name }}", encoding="utf-8")
    (folder / "template.toml").write_text(MANIFEST, encoding="utf-8")
    (tmp_path / "outbox.toml").write_text("", encoding="utf-8")
    return tmp_path / "outbox.toml"


def test_what_a_template_says_of_itself_is_heeded(database_url: str, with_templates: Path) -> None:
    shipped = [*TO_ADA, "--template", "shipped", "--config", with_templates]
    assert run(database_url, *shipped, "--payload", '{"name": "Ada"}', "--delay", "1h").exit_code == 0
    row = only_row(database_url)
    assert (row["topic"], row["priority"], row["lasts"]) == ("orders", 2, 3600 + 2 * 86_400)
    result = run(database_url, *shipped, "--payload", "{}")
    assert (result.exit_code, result.stderr) == (2, "error: --payload: name: is missing; it must be a string\n")
    result = run(database_url, "enqueue", "--channel", "sms", "--recipient", "+447700900001", *shipped[5:])
    assert (result.exit_code, result.stderr) == (
        2,
        "error: --channel: the template shipped is for email, not for 'sms'\n",
    )
    assert how_many(database_url) == 1


def test_what_is_given_goes_before_what_the_template_says(database_url: str, with_templates: Path) -> None:
    given = ["--topic", "other", "--priority", "bulk", "--expires-in", "5m", "--payload", '{"name": "Ada"}']
    result = run(database_url, *TO_ADA, "--template", "shipped", *given, "--config", with_templates)
    assert result.exit_code == 0
    row = only_row(database_url)
    assert (row["topic"], row["priority"], row["lasts"]) == ("other", 8, 300)


def test_a_template_that_is_not_there_is_only_warned_of(database_url: str, with_templates: Path) -> None:
    result = run(database_url, *TO_ADA, "--template", "shiped", "--config", with_templates)
    assert result.exit_code == 0
    assert "has no template 'shiped'; did you mean shipped?" in result.stderr
    assert how_many(database_url) == 1


def test_a_database_without_the_outbox_is_told_what_to_run(empty_url: str) -> None:
    result = run(empty_url, *TO_ADA)
    assert result.exit_code == 1
    assert "outbox migrate" in result.stderr
