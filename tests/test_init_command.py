"""`outbox init`: from an empty folder to a delivered notification, by what it says."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

import outbox
from outbox import config
from outbox.channels import shipped
from outbox.check import check
from outbox.durations import parse
from outbox.terminal.starting import needs
from outbox.terminal.starting.choice import Choice
from outbox.terminal.starting.placing import place, prepared
from outbox.terminal.starting.sample import recipient_of
from outbox.terminal.starting.snippets import SNIPPETS, framework, snippet
from outbox.terminal.starting.toml import configuration
from tests.command_line import run, run_on_a_terminal, run_process
from tests.hands import rows
from tests.providers import push_apns, push_fcm

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = "postgresql://ada@127.0.0.1:1/shop"
OFFLINE = ("--no-connect", "--yes", "--database-url", NOWHERE)
FILES = ["outbox.toml", "templates", "templates/welcome", *(
    f"templates/welcome/{name}" for name in ("body.txt", "sample.json", "subject.txt")
)]  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def commands(said: str) -> list[str]:
    """The lines under `What comes next`, to be typed."""
    _, _, rest = re.sub("\r|\x1b\\[[0-9;]*m", "", said).partition("What comes next:")
    return [line.strip() for line in rest.partition("In your application")[0].splitlines() if line.strip()]


def type_them(lines: list[str], folder: Path, **env: str) -> str:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OUTBOX_")} | env
    done = subprocess.run(
        ["/usr/bin/env", "bash", "-ec", "\n".join(lines)],
        check=False, capture_output=True, text=True, cwd=folder, env=kept | {"PATH": path}, timeout=80,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


class TestANewcomer:
    def test_gets_a_delivered_notification_by_typing_what_is_said(self, here: Path, empty_url: str) -> None:
        code, said = run_on_a_terminal("", "init", answer=f"{empty_url}\n\ny\n", cwd=here)
        assert code == 0, said
        assert everything_in(here) == FILES
        lines = [line.replace("=…", f"='{empty_url}'") for line in commands(said)]
        printed = type_them(lines, here)
        assert "1 sent" in printed
        assert "subject: Welcome, Ada" in printed
        assert rows(empty_url, "SELECT channel, state FROM outbox.status") == [("email", "sent")]

    def test_is_asked_again_after_an_answer_that_leads_nowhere(self, here: Path, empty_url: str) -> None:
        answers = ["mysql://here", NOWHERE, empty_url, "smpt", "smtp", "mail.example.org"]
        answers += ["nowhere", "2525", "maybe", "none", "not an address", "Shop <shop@example.org>", "", "n"]
        code, said = run_on_a_terminal("", "init", answer="\n".join([*answers, ""]), cwd=here)
        assert code == 0, said
        for words in (
            "which is not PostgreSQL", "pg_isready", "did you mean smtp?",
            ": providers.smtp.tls must be", 'providers.smtp.port is "nowhere"; it must be a port such as 587',
        ):  # fmt: skip
            assert words in said
        assert "--set" not in said
        found = config.load(here / "outbox.toml", environ={})
        assert dict(found.providers["smtp"]) == {
            "host": "mail.example.org", "tls": "none", "port": 2525, "sender": "Shop <shop@example.org>",
        }  # fmt: skip
        assert "outbox migrate" in commands(said)
        assert rows(empty_url, "SELECT to_regclass('outbox.notifications')") == [(None,)]

    def test_may_leave_in_the_middle_and_leaves_nothing_behind(self, here: Path, empty_url: str) -> None:
        code, _ = run_on_a_terminal("", "init", answer=f"{empty_url}\nsmtp\n\x04", cwd=here)
        assert code == 1
        assert everything_in(here) == []


class TestWithoutAnybodyToAsk:
    def test_options_are_the_answers(self, here: Path, empty_url: str) -> None:
        done = run_process("", "init", "--database-url", empty_url, "--provider", "inapp", "--yes", cwd=here)
        assert done.returncode == 0, done.stderr
        printed = type_them([line.replace("=…", f"='{empty_url}'") for line in commands(done.stdout)], here)
        assert "1 sent" in printed
        assert rows(empty_url, "SELECT recipient, title FROM outbox.inbox") == [("ada", "Welcome, Ada")]

    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            (["--provider", "console"], "--database-url, or OUTBOX_DATABASE_URL, is missing"),
            (["--database-url", NOWHERE], "--provider, such as console, which sends nothing, or smtp, is missing"),
            (["--database-url", NOWHERE, "--provider", "smtp"], "--set host: providers.smtp.host is missing"),
        ],
    )
    def test_what_is_missing_is_named_and_nothing_is_written(self, here: Path, given: list[str], missing: str) -> None:
        for sure in ([], ["--yes"]):
            result = run("", "init", "--no-connect", *given, *sure)
            assert result.exit_code == 2
            assert missing in result.stderr
            assert everything_in(here) == []

    def test_a_database_that_is_not_there_is_told_with_what_to_do(self, here: Path) -> None:
        result = run("", "init", "--yes", "--provider", "console", "--database-url", NOWHERE)
        assert result.exit_code == 1
        assert "pg_isready" in result.stderr
        assert everything_in(here) == []

    @pytest.mark.parametrize(
        ("given", "wrong"),
        [
            (["--provider", "postmrk"], "did you mean postmark?"),
            (["--provider", "email"], "email is a channel; by which provider: mailgun, postmark"),
            (["--provider", "sms=smtp"], "sms has no provider 'smtp'"),
            (["--provider", "smtp", "--set", "hots=a"], "did you mean host?"),
            (["--provider", "smtp", "--set", "host"], "write KEY=VALUE"),
            (["--provider", "smtp", "--set", "host=a", "--set", "sender=nobody"], "providers.smtp.sender"),
            (["--provider", "smtp", "--set", "password=x"], "set OUTBOX_PROVIDERS_SMTP_PASSWORD"),
            (["--provider", "smtp", "--set", "host=a b", "--set", "sender=a@example.org"], "providers.smtp.host"),
            (["--provider", "smtp", "--provider", "resend", "--set", "sender=a@example.org"], "of which provider?"),
            (["--provider", "console", "--database-url", "mysql://x"], "which is not PostgreSQL"),
        ],
    )
    def test_wrong_answers_are_named_and_nothing_is_written(self, here: Path, given: list[str], wrong: str) -> None:
        result = run("", "init", *OFFLINE, *given)
        assert result.exit_code == 2
        assert wrong in result.stderr
        assert everything_in(here) == []


class TestWhatIsThere:
    def test_no_file_is_overwritten(self, here: Path) -> None:
        (here / "outbox.toml").write_text("mine", encoding="utf-8")
        result = run("", "init", *OFFLINE, "--provider", "console")
        assert result.exit_code == 2
        assert f"{here / 'outbox.toml'} is there already" in result.stderr
        assert (here / "outbox.toml").read_text() == "mine"
        assert everything_in(here) == ["outbox.toml"]

    def test_a_template_of_that_name_is_left_as_it_is(self, here: Path) -> None:
        (here / "templates/welcome").mkdir(parents=True)
        result = run("", "init", *OFFLINE, "--provider", "console")
        assert result.exit_code == 0
        assert "templates/welcome is there already, and was left as it is" in result.stderr
        assert everything_in(here) == ["outbox.toml", "templates", "templates/welcome"]

    def test_another_file_is_named_in_every_command(self, here: Path) -> None:
        result = run("", "init", *OFFLINE, "--provider", "console", "--config", "mail.toml")
        assert (here / "mail.toml").exists()
        assert all(line.endswith("--config mail.toml") for line in commands(result.stdout))
        type_them([commands(result.stdout)[0]], here)

    def test_files_that_cannot_all_be_placed_are_all_taken_back(self, here: Path) -> None:
        (here / "b").mkdir()
        (here / "b/two").write_text("mine", encoding="utf-8")
        files = {"a/one": "1", "b/two": "2"}
        with pytest.raises(outbox.ConfigError, match="two is there already"), prepared(here, files) as draft:
            place(draft, here, [*files])
        assert everything_in(here) == ["b", "b/two"]

    @pytest.mark.skipif(not Path("/proc").is_dir(), reason="only Linux has a folder that not even root can write in")
    def test_a_folder_that_nobody_may_write_in_is_told(self) -> None:
        result = run("", "init", *OFFLINE, "--provider", "console", "--config", "/proc/outbox.toml")
        assert result.exit_code == 1
        assert "/proc: nothing can be written there" in result.stderr

    def test_a_migrated_database_is_left_as_it_is(self, here: Path, database_url: str) -> None:
        result = run(database_url, "init", "--provider", "console")
        assert result.exit_code == 0, result.stderr
        assert "the database has the tables already" in result.stdout
        assert "outbox migrate" not in commands(result.stdout)
        assert "url" not in tomllib.loads((here / "outbox.toml").read_text())["database"]


class TestSecrets:
    @pytest.mark.parametrize("where", ["ada:secret%2Fword@127.0.0.1:1/shop", "ada@127.0.0.1:1/shop?sslpassword=secret"])
    def test_a_password_is_in_no_file_and_is_not_printed(self, here: Path, where: str) -> None:
        url = f"postgresql://{where}"
        result = run("", "init", "--no-connect", "--yes", "--database-url", url, "--provider", "console")
        assert "secret" not in (here / "outbox.toml").read_text() + result.output
        assert commands(result.stdout)[0].startswith("export OUTBOX_DATABASE_URL=…")

    def test_those_of_providers_are_named_as_variables(self, here: Path) -> None:
        given = ("--provider", "postmark", "--set", "sender=shop@example.org")
        result = run("", "init", *OFFLINE, *given)
        assert commands(result.stdout)[0] == "export OUTBOX_PROVIDERS_POSTMARK_TOKEN=…   # the server's API token"
        assert "# token is in OUTBOX_PROVIDERS_POSTMARK_TOKEN\n" in (here / "outbox.toml").read_text()
        assert run("", "check").exit_code == 1
        assert run_process("", "check", env={"OUTBOX_PROVIDERS_POSTMARK_TOKEN": "abc"}, cwd=here).returncode == 0

    def test_one_that_is_set_already_is_not_asked_for(self, here: Path) -> None:
        given = ("--provider", "postmark", "--set", "sender=shop@example.org")
        result = run_process("", "init", *OFFLINE, *given, env={"OUTBOX_PROVIDERS_POSTMARK_TOKEN": "abc"}, cwd=here)
        assert commands(result.stdout)[0] == "outbox check"

    def test_a_provider_that_takes_one_of_several_gets_one(self, here: Path) -> None:
        given = ("--provider", "twilio", "--set", f"account_sid=AC{'0' * 32}", "--set", "sender=+14155550100")
        result = run("", "init", *OFFLINE, *given)
        assert commands(result.stdout)[0] == "export OUTBOX_PROVIDERS_TWILIO_AUTH_TOKEN=…"
        assert run_process("", "check", env={"OUTBOX_PROVIDERS_TWILIO_AUTH_TOKEN": "abc"}, cwd=here).returncode == 0


WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ANSWERS: dict[str, dict[str, str]] = {
    "smtp": {"host": "mail.example.org", "sender": "Shop <shop@example.org>", "username": "shop"},
    "mailgun": {"domain": "mg.example.org"},
    "ses": {"region": "eu-west-1"},
    "sns": {"region": "eu-west-1"},
    "twilio": {"account_sid": f"AC{'0' * 32}", "sender": "+14155550100"},
    "vonage": {"api_key": "abc", "sender": "Shop"},
    "webpush": {"subject": "mailto:ops@example.org"},
    "apns": {"topic": "org.example.shop", "key_file": "key.p8", "key_id": "ABC123DEFG", "team_id": "DEF123GHIJ"},
    "fcm": {"credentials": "service.json"},
}


def every_provider() -> Iterator[Choice]:
    for channel, providers in shipped().items():
        yield from (Choice(channel, provider) for provider in (*providers, "console"))


@pytest.mark.parametrize("choice", [*every_provider()], ids="-".join)
def test_every_provider_that_ships_can_be_begun_with(choice: Choice, here: Path) -> None:
    (here / "key.p8").write_text(push_apns.PEM, encoding="utf-8")
    (here / "service.json").write_text(push_fcm.key_file("https://oauth2.googleapis.com"), encoding="utf-8")
    asked = {need.key for need in needs.needs(choice) if not need.optional}
    answers = ANSWERS.get(choice.provider, {}) | ({"sender": "a@example.org"} if asked == {"sender"} else {})
    if "sender" in asked:
        answers.setdefault("sender", "Shop <shop@example.org>")
    settings = [word for key, value in answers.items() for word in ("--set", f"{key}={value}")]
    assert asked <= set(answers)
    result = run("", "init", *OFFLINE, "--provider", "=".join(choice), *settings)
    assert result.exit_code == 0, result.stderr
    variables = [line.removeprefix("export ").partition("=")[0] for line in commands(result.stdout)]
    known = {name: WHSEC for name in variables if name.endswith("SECRETS")}
    known |= {name: "https://hooks.slack.com/services/a/b/c" for name in variables if name.endswith("SLACK_URL")}
    found, problems = config.survey(here / "outbox.toml", environ=dict.fromkeys(
        (name for name in variables if name.startswith("OUTBOX_PROVIDERS")), "a-secret",
    ) | known)  # fmt: skip
    assert problems == []
    assert found.channels[choice.channel].providers == (choice.provider,)
    excused = {"webpush": "private_key", "telegram": "token"}  # which want more than any word
    left = [each for each in check(found) if excused.get(choice.provider, "\0") not in each]
    assert left == []


def test_the_commands_of_the_page_run(here: Path, database_url: str) -> None:
    page = (Path(__file__).parent.parent / "docs/terminal.md").read_text(encoding="utf-8")
    script = re.findall(r"^```bash\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[1]
    _asks, *lines = script.replace("\\\n", "").splitlines()
    type_them(lines, here, OUTBOX_DATABASE_URL=database_url)
    assert {"outbox.toml", "mail.toml"} <= set(everything_in(here))


class TestTheFile:
    def uncommented(self, text: str) -> str:
        """The file with every default written out."""
        return re.sub(r"^# ([a-z_]+ = )(?![^#]*…)(?!.*# not set)", r"\1", text, flags=re.MULTILINE)

    def test_what_is_commented_out_is_the_default(self, here: Path) -> None:
        choices = [Choice("email", "smtp"), Choice("email", "postmark"), Choice("webhook", "standard")]
        given = {"smtp": {"host": "a.example.org", "sender": "a@example.org"}, "postmark": {"sender": "b@example.org"}}
        text = configuration(NOWHERE, choices, given)
        (here / "templates").mkdir()
        (here / "as_it_is.toml").write_text(text, encoding="utf-8")
        (here / "spelt_out.toml").write_text(self.uncommented(text), encoding="utf-8")
        environ = {"OUTBOX_PROVIDERS_POSTMARK_TOKEN": "abc", "OUTBOX_PROVIDERS_STANDARD_SECRETS": WHSEC}
        as_it_is = config.load(here / "as_it_is.toml", environ=environ)
        spelt_out = config.load(here / "spelt_out.toml", environ=environ)
        assert len(tomllib.loads(self.uncommented(text))["worker"]) >= 8
        for section in ("database", "channels", "worker", "templates", "retention", "log"):
            assert getattr(as_it_is, section) == getattr(spelt_out, section)
        assert parse(spelt_out.providers["smtp"]["data_timeout"]) == 600.0
        assert check(spelt_out) == check(as_it_is) == []

    def test_every_key_of_what_it_shows_is_there(self) -> None:
        text = configuration(NOWHERE, [Choice("email", "smtp")], {})
        written = set(re.findall(r"^(?:# )?([a-z_]+)(?= = | is in )", text, flags=re.MULTILINE))
        models: list[Any] = [needs.model_of(Choice("email", "smtp")), config.ChannelConfig, config.WorkerConfig]
        models += [config.TemplatesConfig, config.RetentionConfig, config.LogConfig]
        assert {key for model in models for key in model.model_fields} <= written


class TestTheSnippet:
    @pytest.mark.parametrize(
        ("file", "text", "seen"),
        [
            ("manage.py", "", "django"),
            ("requirements.txt", "Django==5.2\n", "django"),
            ("pyproject.toml", '[project]\ndependencies = [\n  "fastapi[standard]>=0.115",\n]\n', "fastapi"),
            ("pyproject.toml", '[project]\nname = "a"\ndependencies = ["flask", "psycopg"]\n', "flask"),
            ("requirements.txt", "sqlalchemy>=2\n", "sqlalchemy"),
            ("requirements.txt", "# no fastapi here\n", "psycopg"),
            ("README.md", "django", "psycopg"),
        ],
    )
    def test_is_for_the_framework_that_the_application_names(self, here: Path, file: str, text: str, seen: str) -> None:
        (here / file).write_text(text, encoding="utf-8")
        assert framework(here) == seen

    @pytest.mark.parametrize("name", [*SNIPPETS])
    @pytest.mark.parametrize("channel", [*shipped()])
    def test_is_python(self, name: str, channel: str) -> None:
        words = snippet(name, channel).replace("\n", "\n    ")
        ast.parse(f"async def sign_up():\n    {words}")

    def test_names_columns_that_sql_has_no_other_use_for(self, database_url: str) -> None:
        for channel in shipped():
            column = recipient_of(channel).variable
            rows(database_url, f"DROP TABLE IF EXISTS people; CREATE TABLE people (name text, {column} text)")
            rows(database_url, f"INSERT INTO people (name, {column}) VALUES ('Ada', 'a')")
            rows(database_url, "DROP TABLE people")

    async def test_enqueues(self, database_url: str) -> None:
        url = make_url(database_url).set(drivername="postgresql+psycopg")
        given: dict[str, Any] = {"url": database_url}
        engine, aengine = create_engine(url), create_async_engine(url)
        with psycopg.connect(database_url) as conn:
            conn.execute("CREATE TABLE IF NOT EXISTS users (name text, email text)")
        for name, sessions in {
            "flask": sessionmaker(engine), "sqlalchemy": sessionmaker(engine),
            "fastapi": async_sessionmaker(aengine), "psycopg": None,
        }.items():  # fmt: skip
            words = re.sub(r"^    session\.add.*\n", "", snippet(name, "email"), flags=re.MULTILINE)
            program = "async def sign_up(email, name):\n    " + words.replace("\n", "\n    ")
            space = given | {"sessions": sessions}
            exec(program, space)  # noqa: S102 - our own words
            await space["sign_up"](f"{name}@example.org", "Ada")
        engine.dispose()
        await aengine.dispose()
        rows(database_url, "DROP TABLE users")
        found = rows(database_url, "SELECT recipient FROM outbox.notifications ORDER BY recipient")
        assert [recipient for (recipient,) in found] == [
            f"{name}@example.org" for name in ("fastapi", "flask", "psycopg", "sqlalchemy")
        ]
