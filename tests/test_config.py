"""The configuration: where it comes from, what wins, and how mistakes are reported."""

from __future__ import annotations

import pickle
import traceback
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from outbox.config import Config, ProviderSection, WorkerConfig, load
from outbox.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PROMISED = """
[database]
url = "postgresql://app@db/app"          # or OUTBOX_DATABASE_URL
[channels.email]
providers = ["smtp"]                     # in failover order
max_attempts = 5
[providers.smtp]
host = "127.0.0.1"
port = 2525
tls = "none"                             # none | starttls | implicit
sender = "Example <hello@example.org>"
[worker]
lease = "30s"
concurrency = 200
[templates]
path = "templates"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "outbox.toml"
    path.write_text(PROMISED)
    return path


def test_the_promised_file_loads(file: Path) -> None:
    config = load(file, environ={})

    assert config.database_url == "postgresql://app@db/app"
    assert config.channels["email"].providers == ("smtp",)
    assert config.channels["email"].max_attempts == 5
    assert dict(config.providers["smtp"]) == {
        "host": "127.0.0.1",
        "port": 2525,
        "tls": "none",
        "sender": "Example <hello@example.org>",
    }
    assert config.worker.lease == 30.0
    assert config.worker.concurrency == 200
    assert config.templates.path == file.parent / "templates"
    assert config.source == file


def test_without_a_file_everything_has_its_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(environ={})

    assert config.source is None
    assert config.worker == WorkerConfig()
    assert not config.channels
    assert config.templates.path == tmp_path / "templates"


def test_a_channel_has_defaults_for_all_but_its_providers(file: Path) -> None:
    file.write_text('[channels.email]\nproviders = ["smtp"]')
    email = load(file, environ={}).channels["email"]

    assert list(email.backoff) == [1, 3, 10, 30, 120, 600, 1_800, 3_600]
    assert (email.max_attempts, email.jitter, email.max_lost, email.on_ambiguous) == (5, 0.2, 5, "retry")
    assert (email.max_age, email.timeout) == (3 * 86_400, 15 * 60)


@pytest.mark.parametrize(("said", "means"), [("", "stop"), ('on_ambiguous = "retry"', "retry")])
def test_a_text_message_in_doubt_is_not_repeated_unless_one_says_so(file: Path, said: str, means: str) -> None:
    file.write_text(f'[channels.sms]\nproviders = ["twilio"]\n{said}')
    assert load(file, environ={}).channels["sms"].on_ambiguous == means


def test_the_file_here_is_read_without_being_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    assert load(environ={}).source == file


def test_the_environment_names_the_file(file: Path) -> None:
    assert load(environ={"OUTBOX_CONFIG": str(file)}).source == file


def test_an_explicit_path_wins_over_the_one_in_the_environment(file: Path) -> None:
    assert load(file, environ={"OUTBOX_CONFIG": "/nowhere/outbox.toml"}).source == file


def test_the_process_environment_is_the_default(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTBOX_WORKER_CONCURRENCY", "7")
    assert load(file).worker.concurrency == 7


def test_the_environment_wins_over_the_file_and_arguments_over_both(file: Path) -> None:
    environ = {"OUTBOX_WORKER_CONCURRENCY": "50", "OUTBOX_WORKER_LEASE": "1m", "OUTBOX_DATABASE_URL": "postgres://e/e"}
    config = load(file, environ=environ, overrides={"worker.concurrency": 60, "worker.lease": None})

    assert config.worker.concurrency == 60
    assert config.worker.lease == 60.0, "an argument that was not given hides nothing"
    assert config.database_url == "postgresql://e/e"


def test_an_empty_variable_counts_as_not_set(file: Path) -> None:
    assert load(file, environ={"OUTBOX_DATABASE_URL": ""}).database_url == "postgresql://app@db/app"


def test_variables_are_read_by_the_type_of_their_key(file: Path) -> None:
    environ = {
        "OUTBOX_CHANNELS_EMAIL_MAX_ATTEMPTS": "9",
        "OUTBOX_CHANNELS_EMAIL_PROVIDERS": "smtp, console",
        "OUTBOX_CHANNELS_EMAIL_BACKOFF": "1s,1m",
        "OUTBOX_CHANNELS_EMAIL_ON_AMBIGUOUS": "stop",
        "OUTBOX_PROVIDERS_SMTP_PASSWORD": "hunter2",
        "OUTBOX_PROVIDERS_CONSOLE_WIDTH": "80",
        "OUTBOX_TEMPLATES_PATH": "mails",
    }
    config = load(file, environ=environ)

    email = config.channels["email"]
    assert (email.max_attempts, email.providers, email.backoff) == (9, ("smtp", "console"), (1.0, 60.0))
    assert email.on_ambiguous == "stop"
    assert config.providers["smtp"]["password"] == "hunter2"
    assert config.providers["smtp"].origins["password"] == "OUTBOX_PROVIDERS_SMTP_PASSWORD"
    assert config.providers["console"]["width"] == "80", "a provider that a channel names needs no section in the file"
    assert config.templates.path == file.parent / "mails"


def test_names_with_underscores_and_dots_are_told_apart_by_the_file(file: Path) -> None:
    file.write_text(
        '[channels.email]\nproviders = ["smtp", "smtp_eu", "acme.mail-gun"]\n'
        '[channels.email_bulk]\nproviders = ["smtp"]\n'
    )
    environ = {
        "OUTBOX_CHANNELS_EMAIL_BULK_MAX_ATTEMPTS": "2",
        "OUTBOX_PROVIDERS_SMTP_EU_HOST": "eu",
        "OUTBOX_PROVIDERS_SMTP_HOST": "us",
        "OUTBOX_PROVIDERS_ACME_MAIL_GUN_API_KEY": "k",
    }
    config = load(file, environ=environ)

    assert [config.channels[name].max_attempts for name in ("email", "email_bulk")] == [5, 2]
    assert {name: dict(section) for name, section in config.providers.items()} == {
        "smtp": {"host": "us"},
        "smtp_eu": {"host": "eu"},
        "acme.mail-gun": {"api_key": "k"},
    }


def test_a_channel_can_be_configured_by_the_environment_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    environ = {
        "OUTBOX_CHANNELS_EMAIL_PROVIDERS": "smtp",
        "OUTBOX_CHANNELS_EMAIL_MAX_ATTEMPTS": "3",
        "OUTBOX_PROVIDERS_SMTP_HOST": "mail",
    }
    config = load(environ=environ)

    assert config.channels["email"].providers == ("smtp",)
    assert config.channels["email"].max_attempts == 3
    assert dict(config.providers["smtp"]) == {"host": "mail"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OUTBOX_SERVICE_HOST", "10.0.0.1"),
        ("OUTBOX_PORT", "tcp://10.0.0.1:80"),
        ("OUTBOX_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("OUTBOX_WORKER_SERVICE_HOST", "10.0.0.1"),
        ("OUTBOX_WORKER_SERVICE_PORT_HTTP", "80"),
        ("OUTBOX_WORKER_PORT", "tcp://10.0.0.1:80"),
        ("OUTBOX_WORKER_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("OUTBOX_WORKER_PORT_80_TCP_PROTO", "tcp"),
        ("OUTBOX_PROVIDERS_SMTP_PORT", "tcp://10.0.0.1:25"),
        ("OUTBOX_DATABASE_PORT_5432_TCP_PORT", "5432"),
        ("OUTBOX_TEST_DATABASE_URL", "postgresql://test/test"),
        ("OUTBOX_SOMETHING_ELSE", "x"),
        ("WORKER_LEESE", "x"),
    ],
)
def test_variables_that_kubernetes_injects_or_others_own_are_left_alone(file: Path, name: str, value: str) -> None:
    assert load(file, environ={name: value}) == load(file, environ={})


def test_no_database_is_only_a_mistake_for_those_who_need_it(file: Path) -> None:
    file.write_text("")
    config = load(file, environ={})
    with pytest.raises(ConfigError, match=r"no database: set OUTBOX_DATABASE_URL .* give --database-url, or write url"):
        _ = config.database_url


def test_the_password_of_the_database_is_in_no_repr_and_no_problem(file: Path) -> None:
    config = load(file, environ={"OUTBOX_DATABASE_URL": "postgresql://app:hunter2@db/app"})
    assert "hunter2" in config.database_url
    assert "hunter2" not in f"{config!r} {config} {config.model_dump()}"

    for url in ("mysql://app:hunter2@db/app", "app:hunter2@db", "host=db password=hunter2"):
        with pytest.raises(ConfigError) as refused:
            load(file, environ={"OUTBOX_DATABASE_URL": url})
        assert "hunter2" not in "".join(traceback.format_exception(refused.value))
        assert refused.value.__context__ is None


def test_the_values_of_a_provider_are_in_no_repr(file: Path) -> None:
    config = load(file, environ={"OUTBOX_PROVIDERS_SMTP_PASSWORD": "hunter2"})
    assert repr(config.providers["smtp"]) == "ProviderSection(host=…, port=…, tls=…, sender=…, password=…)"
    assert "hunter2" not in f"{config!r} {config}"


def test_the_configuration_is_frozen_and_goes_to_other_processes(file: Path) -> None:
    config = load(file, environ={})
    with pytest.raises(ValidationError):
        config.worker.lease = 1.0
    again = pickle.loads(pickle.dumps(config))  # noqa: S301 - our own bytes
    assert again.worker == config.worker
    assert dict(again.providers["smtp"]) == dict(config.providers["smtp"])


def test_a_configuration_can_be_made_in_code() -> None:
    config = Config.model_validate(
        {"channels": {"email": {"providers": ["smtp"]}}, "providers": {"smtp": {"port": 25}}}
    )
    assert isinstance(config.providers["smtp"], ProviderSection)
    assert config.channels["email"].timeout == 900.0


def test_unset_templates_do_not_look_chosen(file: Path) -> None:
    assert load(file, environ={}).templates.model_fields_set == {"path"}
    file.write_text("")
    assert load(file, environ={}).templates.model_fields_set == set()


def test_days_are_written_as_numbers_or_as_durations(file: Path) -> None:
    file.write_text('[retention]\ndays = 60\ndead_letter_days = "14d"\n')
    retention = load(file, environ={"OUTBOX_RETENTION_OPEN_DEAD_LETTER_DAYS": "365"}).retention
    assert (retention.days, retention.dead_letter_days, retention.open_dead_letter_days) == (60, 14, 365)


@pytest.mark.parametrize(("written", "kept"), [("", 30), ("days = 7", 30), ("days = 60", 60)])
def test_keys_are_kept_for_as_long_as_their_notifications_and_for_a_month_at_least(
    file: Path, written: str, kept: int
) -> None:
    file.write_text(f"[retention]\n{written}\n")
    assert load(file, environ={}).retention.key_days == kept


def test_topics_say_which_of_them_are_transactional(tmp_path: Path) -> None:
    path = tmp_path / "outbox.toml"
    path.write_text("[topics.receipts]\ntransactional = true\n[topics.news]\n[topics.'order updates']\n")
    config = load(path, environ={"OUTBOX_TOPICS_ORDER_UPDATES_TRANSACTIONAL": "true"})
    assert config.transactional == ("receipts", "order updates")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[topics.receipts]\ntransactonal = true", "topics.receipts.transactonal is not a known key; did you mean "),
        (
            '[topics.receipts]\ntransactional = "perhaps"',
            'topics.receipts.transactional is "perhaps"; it must be true ',
        ),
        ("[topics]\nreceipts = true", "topics.receipts is not a table; write [topics.receipts] and its keys below it"),
        (f"[topics.{'x' * 256}]", f"topics.{'x' * 256}: a topic has 1 to 255 characters"),
    ],
)
def test_a_mistake_in_a_topic_says_what_would_be_right(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "outbox.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as refused:
        load(path, environ={})
    assert refused.value.problems[0].startswith(f"{path}: {problem}")


def test_a_topic_says_who_gets_it_by_what_how_often_and_until_when(tmp_path: Path) -> None:
    path = tmp_path / "outbox.toml"
    path.write_text(
        '[topics.offers]\ndefault = "opt_in"\nchannels = ["email", "push"]\ndelivery = "at_most_once"\n'
        'expires = "10m"\n[topics.news]\n'
    )
    variables = {"OUTBOX_TOPICS_NEWS_CHANNELS": "sms, push", "OUTBOX_TOPICS_NEWS_DEFAULT": "opt_in"}
    topics = load(path, environ=variables).topics
    offers, news = topics["offers"], topics["news"]
    assert (offers.default, offers.channels, offers.delivery, offers.expires) == (
        "opt_in",
        ("email", "push"),
        "at_most_once",
        600.0,
    )
    assert (news.default, news.channels, news.delivery, news.expires) == ("opt_in", ("sms", "push"), None, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('default = "opt_in"\ntransactional = true', 'goes to everybody, and default = "opt_in" says the opposite'),
        ('default = "optin"', 'topics.t.default is "optin"; it must be "opt_out" or "opt_in"'),
        ("channels = []", 'nothing could be sent by no channel; name some, such as ["email"], or leave it out'),
        ('channels = ["email", "email"]', "topics.t.channels: a channel is named twice"),
        ('channels = ["E-mail"]', 'topics.t.channels[0] is "E-mail"; it must be a list of channels'),
        ('delivery = "once"', 'topics.t.delivery is "once"; it must be "at_least_once" or "at_most_once"'),
        ('expires = "0s"', 'topics.t.expires is "0s"; it must be a duration above zero'),
        ('expires = "soon"', "topics.t.expires: 'soon' is not a duration: write it like"),
        ('defalt = "opt_in"', "topics.t.defalt is not a known key; did you mean default?"),
    ],
)
def test_a_contradiction_in_a_topic_is_told(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "outbox.toml"
    path.write_text(f"[topics.t]\n{text}\n")
    with pytest.raises(ConfigError) as refused:
        load(path, environ={})
    assert problem in str(refused.value)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """As Kubernetes mounts them: links, beside folders whose names begin with dots."""
    folder = tmp_path / "secrets"
    (folder / "..2026_01_31").mkdir(parents=True)
    (folder / "..2026_01_31/OUTBOX_PROVIDERS_SMTP_PASSWORD").write_text("a secret\n")
    (folder / "OUTBOX_PROVIDERS_SMTP_PASSWORD").symlink_to("..2026_01_31/OUTBOX_PROVIDERS_SMTP_PASSWORD")
    (folder / "OUTBOX_DATABASE_URL").write_text("postgresql://file@db/app")
    (folder / "postgres_password").write_text("somebody else's")
    return folder


def test_files_stand_for_the_variables_that_they_are_called_as(file: Path, secrets: Path) -> None:
    file.write_text('[channels.email]\nproviders = ["smtp"]\n[database]\nurl = "postgresql://toml@db/app"\n')
    found = load(file, environ={"OUTBOX_SECRETS_DIR": str(secrets)})
    assert found.database_url == "postgresql://file@db/app"
    assert found.providers["smtp"]["password"] == "a secret"


def test_a_variable_that_is_set_goes_before_its_file_and_an_empty_one_does_not(file: Path, secrets: Path) -> None:
    environ = {"OUTBOX_SECRETS_DIR": str(secrets), "OUTBOX_DATABASE_URL": "postgresql://set@db/app"}
    assert load(file, environ=environ).database_url == "postgresql://set@db/app"
    assert load(file, environ=environ | {"OUTBOX_DATABASE_URL": ""}).database_url == "postgresql://file@db/app"


def test_a_mistake_in_a_file_is_told_by_its_name_and_no_word_of_it(file: Path, secrets: Path) -> None:
    environ = {"OUTBOX_SECRETS_DIR": str(secrets)}
    (secrets / "OUTBOX_DATABASE_URL").write_text("mysql://hunter2@db/app")
    with pytest.raises(ConfigError, match="OUTBOX_DATABASE_URL: ") as told:
        load(file, environ=environ)
    assert "hunter2" not in str(told.value)
    (secrets / "OUTBOX_DATABASE_URL").write_bytes(b"hunter2\xff")
    with pytest.raises(ConfigError, match=r"OUTBOX_SECRETS_DIR: OUTBOX_DATABASE_URL is not UTF-8") as told:
        load(file, environ=environ)
    assert "hunter2" not in str(told.value)
    (secrets / "OUTBOX_DATABASE_URL").write_text("x" * 70_000)
    with pytest.raises(ConfigError, match="has more than 65,536 bytes"):
        load(file, environ=environ)
    with pytest.raises(ConfigError, match=r"OUTBOX_SECRETS_DIR: /nowhere cannot be read: No such file"):
        load(file, environ={"OUTBOX_SECRETS_DIR": "/nowhere"})
