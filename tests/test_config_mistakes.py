"""Mistakes in the configuration: all at once, each with its place and what would be right."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from outbox.config import load, survey
from outbox.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outbox.toml"
    path.write_text('[channels.email]\nproviders = ["smtp"]\n')
    return path


def problems(path: Path | None, environ: Mapping[str, str] | None = None, **overrides: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as refused:
        load(path, environ=environ or {}, overrides={key.replace("__", "."): value for key, value in overrides.items()})
    return refused.value.problems


def problem(file: Path, text: str) -> str:
    """The one problem of a file with this text, without the file's name."""
    file.write_text(text)
    (only,) = problems(file)
    assert only.startswith(f"{file}: ")
    return only.removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("OUTBOX_WORKER_LEESE", "worker.leese is not a known key; did you mean lease?"),
        ("OUTBOX_DATABASE_ULR", "database.ulr is not a known key; did you mean url?"),
        (
            "OUTBOX_CHANNELS_EMAIL_MAXATTEMPTS",
            "channels.email.maxattempts is not a known key; did you mean max_attempts?",
        ),
        ("OUTBOX_CHANNELS_SMS_TEMPO", "sms_tempo is not a known channel and key; "),
        (
            "OUTBOX_TOPICS_RECEIPTS_TRANSACTONAL",
            "receipts_transactonal is not a known topic and key; did you mean transactional?",
        ),
        ("OUTBOX_PROVIDERS_TWILIO_TOKEN", "twilio_token is not a known provider and key; known: smtp"),
    ],
)
def test_a_misspelt_variable_is_a_mistake(file: Path, name: str, expected: str) -> None:
    (only,) = problems(file, {name: "1"})
    assert only.startswith(f"{name}: {expected}")


def test_a_wrong_value_is_reported_where_it_was_given(file: Path) -> None:
    assert problems(file, {"OUTBOX_WORKER_LEASE": "0.5s"}, worker__concurrency=0) == (
        'OUTBOX_WORKER_LEASE: worker.lease is 0.5; it must be a duration of at least 1s, such as "30s"',
        "command line: worker.concurrency is 0; it must be a whole number from 1 to 100000",
    )


def test_every_mistake_is_reported_at_once(file: Path) -> None:
    file.write_text(
        'colour = "red"\n[worker]\nleese = "30s"\nconcurrency = "many"\n[channels.email]\nproviders = []\n'
        'backoff = ["1s", "soon"]\njitter = 2\n[channels.SMS]\nproviders = ["a", "a"]\n[database]\nurl = 5\n'
    )
    found = problems(file, {"OUTBOX_WORKER_POLL": "often"})

    assert [text.split(": ", 1) for text in found] == [
        [
            str(file),
            (
                "[colour] is not a known section; "
                "known: attachments, channels, database, log, providers, retention, sentry, templates, topics, "
                "unsubscribe, web, worker"
            ),
        ],
        [str(file), "database.url must be a valid string (a URL such as postgresql://user@host/database)"],
        [str(file), 'worker.concurrency is "many"; it must be a whole number from 1 to 100000'],
        ["OUTBOX_WORKER_POLL", "worker.poll: 'often' is not a duration: write it like 250ms, 30s, 5m, 1h30m or 2d"],
        [str(file), "worker.leese is not a known key; did you mean lease?"],
        [
            str(file),
            'channels.email.providers is []; it must be a list of provider names in failover order, such as ["smtp"]',
        ],
        [str(file), "channels.email.backoff[1]: 'soon' is not a duration: write it like 250ms, 30s, 5m, 1h30m or 2d"],
        [
            str(file),
            "channels.email.jitter is 2; it must be a number from 0 to 1, the share of a delay that is left to chance",
        ],
        [str(file), "channels.SMS: a channel's name is made of a-z, 0-9 and _, from a letter on"],
        [str(file), "channels.SMS.providers: a provider is named twice"],
    ]


def test_what_is_refused_has_its_default_and_what_is_not_stays(file: Path) -> None:
    file.write_text(
        '[worker]\nlease = "soon"\nconcurrency = 7\n[channels.email]\nmax_attempts = 3\n'
        '[channels.sms]\nproviders = ["a"]\njitter = 2\nmax_attempts = 3\n'
        "[templates]\npath = 5\n[providers.smtp]\nx = 1\n"
    )
    found, mistakes = survey(file, environ={})

    assert len(mistakes) == 4
    assert (found.worker.lease, found.worker.concurrency) == (30.0, 7)
    assert found.channels["email"].providers == ()
    assert found.channels["sms"].providers == ("a",)
    assert (found.channels["sms"].jitter, found.channels["sms"].max_attempts) == (0.2, 3)
    assert found.templates.path == file.parent / "templates"
    assert dict(found.providers["smtp"]) == {"x": 1}


def test_a_channel_without_providers_is_a_mistake(file: Path) -> None:
    assert problem(file, "[channels.email]\n").startswith("channels.email.providers is missing; it must be a list of")


@pytest.mark.parametrize("text", ["worker = 5", "channels = 5", "[channels]\nemail = 5", "[providers]\nsmtp = true"])
def test_a_value_where_a_table_belongs_is_a_mistake(file: Path, text: str) -> None:
    assert "is not a table; write [" in problem(file, text)


def test_a_value_where_a_table_belongs_does_not_upset_the_environment(file: Path) -> None:
    file.write_text("worker = 5\nchannels = 6\nproviders = 7")
    environ = {
        "OUTBOX_WORKER_LEASE": "5s",
        "OUTBOX_CHANNELS_EMAIL_PROVIDERS": "smtp",
        "OUTBOX_PROVIDERS_SMTP_HOST": "x",
    }
    assert len([text for text in problems(file, environ) if "is not a table" in text]) == 3


def test_true_is_not_a_number(file: Path) -> None:
    assert problem(file, "[worker]\nconcurrency = true") == "worker.concurrency: true and false are not numbers"


def test_a_file_that_is_not_toml_is_reported_with_its_line_and_column(file: Path) -> None:
    assert problem(file, "[worker]\nlease 30").endswith("(at line 2, column 7)")
    assert "hunter2" not in problem(file, '[providers.smtp]\npassword = "hunter2')


def test_a_secret_that_is_too_short_is_not_shown(file: Path) -> None:
    said = problem(file, '[web]\nmetrics_token = "hunter2"')
    assert "web.metrics_token must have at least 32 characters (" in said
    assert "hunter2" not in said


def test_a_file_that_is_not_utf_8_is_reported(file: Path) -> None:
    file.write_bytes(b'[templates]\npath = "caf\xe9"')
    assert problems(file) == (f"{file}: this is not UTF-8: byte 23 cannot be read",)


def test_a_file_that_was_named_must_be_there(tmp_path: Path) -> None:
    missing = tmp_path / "outbox.toml"
    names = "--config or OUTBOX_CONFIG names it, `outbox init` makes one"
    expected = (f"{missing}: cannot be read: No such file or directory; {names}",)
    assert problems(missing) == expected
    assert problems(None, {"OUTBOX_CONFIG": str(missing)}) == expected


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("days = 60\nidempotency_days = 30", "retention.idempotency_days: a key outlives its notification: "),
        ("days = 0", "retention.days is 0; it must be a whole number of days from 1, such as 30"),
        ("days = true", "retention.days: true and false are not numbers"),
        ('dead_letter_days = "2 weeks"', 'retention.dead_letter_days is "2 weeks"; it must be a whole number of days'),
    ],
)
def test_days_that_make_no_sense_are_refused(file: Path, written: str, problem: str) -> None:
    file.write_text(f"[retention]\n{written}\n")
    (found,) = problems(file)
    assert found.startswith(f"{file}: {problem}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[topics.news]\nthrottle = "3/day"\nthrottle_policy = "drop"\n', ["topics.news.throttle: "]),
        (
            '[topics.news]\nthrottle = "3/d"\nthrottle_policy = "droop"\nthrottle_template = "t"\n',
            ["topics.news.throttle_policy is "],
        ),
        ('[retention]\ndays = "two weeks"\nidempotency_days = 14\n', ["retention.days is "]),
        (
            '[retention]\ndays = "two weeks"\nidempotency_days = "x"\n',
            ["retention.days is ", "retention.idempotency_days is "],
        ),
    ],
)
def test_what_goes_with_a_key_that_is_refused_is_no_mistake_of_its_own(file: Path, text: str, words: list[str]) -> None:
    file.write_text(text)
    found = problems(file)
    assert len(found) == len(words)
    assert all(word in problem for word, problem in zip(words, found, strict=True)), found
