"""What the README and the pages under docs/ say is so: examples run, the tour goes one way."""

from __future__ import annotations

import ast
import asyncio
import email
import email.policy
import os
import re
import secrets
import shlex
import sys
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest

import outbox
from outbox import config
from outbox.check import check
from outbox.devdb import find_binaries
from outbox.migrate import roles_sql
from outbox.outcomes import Ambiguous, Dead, Failure, Retry, Sent
from outbox.queue.topics import declare_now
from outbox.reasons import KNOWN
from outbox.worker import process
from tests.command_line import run
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle
from tests.recorder import Recorder, drain, route
from tests.smtp_server import SmtpServer

ROOT = Path(__file__).parent.parent


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )


async def test_the_readmes_quickstart_delivers_a_notification(tmp_path: Path, empty_url: str) -> None:
    async with SmtpServer() as server:
        (config,) = blocks("README.md", "toml")
        (tmp_path / "outbox.toml").write_text(config.replace("2525", str(server.port)))
        folder = tmp_path / "templates" / "welcome"
        folder.mkdir(parents=True)
        for name, text in zip(("subject.txt", "body.txt"), blocks("README.md", "jinja"), strict=True):
            (folder / name).write_text(text)
        program, _ = blocks("README.md", "python")
        (tmp_path / "signup.py").write_text(program)
        migrate, work = blocks("README.md", "bash")

        async def run(script: str) -> str:
            path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{find_binaries()}"  # for psql
            script = script.replace("export OUTBOX_DATABASE_URL=postgresql://localhost/app\n", "")
            process = await asyncio.create_subprocess_exec(
                "bash", "-ec", script, cwd=tmp_path, env=os.environ | {"PATH": path, "OUTBOX_DATABASE_URL": empty_url},
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            )  # fmt: skip
            output, _ = await process.communicate()
            assert process.returncode == 0, output.decode()
            return output.decode()

        await run(migrate)
        await run("python signup.py")
        output = await run(work)
        assert "worker 1 stopped: 1 sent; 0 given back" in output
        assert "ada@example.org | sent" in output
        (message,) = server.accepted
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert message.recipients == ["ada@example.org"]
    assert parsed["Subject"] == "Welcome, Ada"
    assert parsed.get_content().strip() == "Hello Ada, good to have you here."
    assert rows(empty_url, "SELECT state FROM outbox.status") == [("sent",)]


def test_a_page_about_the_tables_names_all_of_them(conn: psycopg.Connection) -> None:
    page = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    tables = conn.execute(
        "SELECT relname FROM pg_class "
        "WHERE relnamespace = 'outbox'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition"
    ).fetchall()
    assert [name for (name,) in tables if f"`{name}`" not in page and name != "migrations"] == []
    (definition,) = conn.execute("SELECT pg_get_viewdef('outbox.status'::regclass)").fetchone() or ("",)
    states = set(re.findall(r"THEN '(\w+)'", definition)) | {"sent", "expired", "suppressed", "cancelled"}
    assert {state for state in states if f"| `{state}` |" not in page} == set()


@pytest.fixture
async def yesterday(cloned_url: str) -> str:
    """A database with a delivery of each kind, some of it dead since yesterday."""
    enqueue(cloned_url, 6, recipient="ada@example.org", group_key="order:42")
    sent, retried, dead, ambiguous, _lost = await claim(cloned_url, limit=5)
    await settle(cloned_url, sent, Sent(provider="smtp"))
    await settle(cloned_url, retried, Retry(provider="smtp", failure=TROUBLE, delay=0))
    refused = Failure("unreachable", "550 5.1.1", "no such user")
    await settle(cloned_url, dead, Dead(provider="smtp", failure=refused, reason="unreachable"))
    await settle(cloned_url, ambiguous, Ambiguous(provider="smtp", failure=TROUBLE, delay=0))
    expire_leases(cloned_url)
    for again in await claim(cloned_url, worker=2):
        if again.claim > 1:
            await settle(cloned_url, again, Sent(provider="smtp"), worker=2)
    rows(cloned_url, "UPDATE outbox.queue SET worker = NULL, leased_until = NULL, run_at = now() - interval '1 s'")
    rows(cloned_url, "UPDATE outbox.dead_letters SET died_at = died_at - interval '1 day'")
    return cloned_url


async def test_the_audit_queries_answer_their_questions(yesterday: str) -> None:
    answers: list[list[tuple[Any, ...]]] = []
    with psycopg.connect(yesterday) as conn:
        for query in blocks("docs/tables.md", "sql"):
            cursor = conn.execute(query.encode())
            answers.append(cursor.fetchall() if cursor.description else [])
            if "cancel(" in query:
                conn.rollback()
    count, sent_to_ada, failed, providers, delivery, twice, waiting, cancelled, suppressed, unaccounted, *enqueued = (
        answers
    )
    assert count == [(6,)]
    assert len(sent_to_ada) == 6
    assert failed == [("email", "unreachable", "unreachable", "550 5.1.1", 1, "no such user")]
    assert [row[:4] for row in providers] == [("smtp", 7, 1, 1)]
    assert [row[1:3] for row in delivery] == [("email", 4)]
    assert {row[2][0].partition(" ")[0] for row in twice} == {"ambiguous", "lost"}
    assert [row[:3] for row in waiting] == [("email", 5, 1)]
    assert cancelled[0][0] == 1
    assert [row[:2] for row in suppressed] == [(True, "unsubscribed")]
    assert unaccounted == []
    assert enqueued[1][0][1:] == (True, False)


async def test_the_provider_of_ones_own_delivers_and_refuses(
    tmp_path: Path, cloned_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, function, reader = blocks("docs/adding-a-provider.md", "python")
    section, of_the_function = blocks("docs/adding-a-provider.md", "toml")
    (tmp_path / "company").mkdir()
    (tmp_path / "company" / "fax.py").write_text(program)
    (tmp_path / "company" / "modem.py").write_text(function)
    (tmp_path / "outbox.toml").write_text(section + of_the_function)
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = config.load(tmp_path / "outbox.toml", environ={}, overrides={"database.url": cloned_url})
    assert check(settings) == []
    (taken,) = enqueue(cloned_url, recipient="ada@example.org")
    enqueue(cloned_url, recipient="nobody@example.org")
    await drain(cloned_url, *process.routes(settings, ["email"], lambda _: None))
    assert rows(cloned_url, "SELECT provider_message_id FROM outbox.attempts WHERE outcome = 'sent'") == [
        (f"fax-{taken}",)
    ]
    assert rows(cloned_url, "SELECT reason, error_code, error FROM outbox.dead_letters") == [
        ("unreachable", "404", "no such number")
    ]
    numbers = {"+447700900001": "sent", "+14155550100": "dead"}
    for number in numbers:
        enqueue(cloned_url, channel="sms", recipient=number, payload={"text": "hello"})
    await drain(cloned_url, *process.routes(settings, ["sms"], lambda _: None))
    ended = rows(cloned_url, "SELECT recipient, state FROM outbox.status WHERE channel = 'sms'")
    assert dict(ended) == numbers
    exec(reader)  # noqa: S102 - our own page


async def test_the_grants_on_the_page_about_roles_are_enough(cloned_url: str) -> None:
    prefix = f"t{secrets.token_hex(4)}_"
    logins = {name: f"{prefix}{name}" for name in ("app", "mailer", "analyst", "on_call", "privacy")}
    roles = [f"{prefix}{role}" for role in ("enqueuer", "worker", "auditor", "operator")]
    grants = "".join(blocks("docs/roles.md", "sql"))
    grants = re.sub(r"\b(app|mailer|analyst|on_call|privacy)\b", lambda match: logins[match[1]], grants)
    rows(cloned_url, f"{roles_sql(prefix)}; {'; '.join(f'CREATE ROLE {name}' for name in logins.values())}")
    rows(cloned_url, re.sub(r"\boutbox_(?=enqueuer|worker|auditor|operator)", prefix, grants))

    def url(who: str) -> str:
        return f"{cloned_url}{'&' if '?' in cloned_url else '?'}options=-c%20role%3D{logins[who]}"

    try:
        enqueue(url("app"), 2, group_key="g")
        recorder = Recorder()
        await drain(url("mailer"), route(recorder))
        assert len(recorder.sent) == 2
        assert len(rows(url("analyst"), "SELECT state FROM outbox.status")) == 2
        enqueue(url("app"), group_key="g", run_at=timedelta(hours=1))
        with psycopg.connect(url("app")) as conn:
            assert outbox.cancel(conn, group_key="g") == outbox.Cancelled(1, 0, 2, 0, 0)
        with psycopg.connect(url("privacy")) as conn:
            assert outbox.erase(conn, recipient="user0@example.org").notifications == 2
    finally:
        everybody = ", ".join([*logins.values(), *roles])
        rows(cloned_url, f"DROP OWNED BY {everybody}; DROP ROLE {everybody}")


async def test_the_page_about_retention_is_right(cloned_url: str) -> None:
    days, counts = blocks("docs/retention.md", "sql")
    (day,) = set(re.findall(r"_(\d{8})", days))
    tomorrow = rows(cloned_url, "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 day', 'YYYYMMDD')")[0][0]
    rows(cloned_url, days.replace(day, tomorrow))
    enqueue(cloned_url, 3, recipient="ada@example.org")
    (claimed,) = await claim(cloned_url, limit=1)
    await settle(cloned_url, claimed, Sent(provider="smtp"))
    (program,) = blocks("docs/retention.md", "python")
    before = [row[2:] for row in rows(cloned_url, counts)]
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
    assert rows(cloned_url, "SELECT 1 FROM outbox.notifications") == []
    assert before == [("due", 2), ("sent", 1)]
    assert [row[2:] for row in rows(cloned_url, counts)] == [("cancelled", 2), ("sent", 1)]


async def test_the_page_about_ordering_is_right(cloned_url: str) -> None:
    (program,) = blocks("docs/ordering.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
    line, longest = blocks("docs/ordering.md", "sql")
    assert [row[1:3] for row in rows(cloned_url, line)] == [
        ("confirmed", "due"),
        ("paid", "blocked"),
        ("shipped", "blocked"),
    ]
    assert [row[:3] for row in rows(cloned_url, longest)] == [("email", "order:42", 3)]
    recorder = Recorder()
    await drain(cloned_url, route(recorder))
    assert [notification.template for notification in recorder.sent] == ["confirmed", "paid", "shipped"]


async def test_the_page_about_email_is_right(cloned_url: str, tmp_path: Path) -> None:
    (program,) = blocks("docs/email.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
    async with SmtpServer() as server:
        (tmp_path / "outbox.toml").write_text(
            f'[channels.email]\nproviders = ["smtp"]\n[providers.smtp]\nhost = "127.0.0.1"\nport = {server.port}\n'
            'tls = "none"\nsender = "shop@example.org"\n'
        )
        settings = config.load(tmp_path / "outbox.toml", environ={}, overrides={"database.url": cloned_url})
        await drain(cloned_url, *process.routes(settings, ["email"], lambda _: None))
        (message,) = server.accepted
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert parsed["Reply-To"] == "Accounts <accounts@example.org>"
    (attachment,) = parsed.iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("invoice.pdf", b"%PDF-1.7 and so on")


def test_the_page_about_templates_is_right(cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (says,) = blocks("docs/templates.md", "toml")
    program, _ = blocks("docs/templates.md", "python")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "templates" / "shipped").mkdir(parents=True)
    (tmp_path / "templates" / "shipped" / "template.toml").write_text(says)
    (tmp_path / "templates" / "shipped" / "body.txt").write_text("Dear {{ name }}")
    exec(program, {"psycopg": psycopg, "url": cloned_url})  # noqa: S102 - our own page
    kept = "SELECT topic, priority, expires_at - created_at = interval '2 days' FROM outbox.notifications"
    assert rows(cloned_url, kept) == [("orders", 2, True)]
    assert rows(cloned_url, *blocks("docs/templates.md", "sql")) == []
    payload = '{"name": "Ada", "paid_on": "2030-01-31", "order": {"number": 7, "items": []}}'
    (tmp_path / "ada.json").write_text(payload)
    (tmp_path / "templates" / "shipped" / "sample.json").write_text(payload)
    for part in ("subject.txt", "body.html"):
        (tmp_path / "templates" / "shipped" / part).write_text("Dear {{ name }}")
    for line in "".join(blocks("docs/templates.md", "bash")).splitlines():
        assert run(cloned_url, *line.split()[1:]).exit_code == 0, line


def test_the_source_of_templates_of_ones_own_is_read_by_a_worker(
    cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, own = blocks("docs/templates.md", "python")
    (tmp_path / "mail_table.py").write_text(own)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OUTBOX_DATABASE_URL", cloned_url)
    rows(cloned_url, "CREATE TABLE mail_templates (path text PRIMARY KEY, content text, updated_at timestamptz)")
    rows(cloned_url, "INSERT INTO mail_templates VALUES ('hi/subject.txt', 'Hi', now()), ('hi/body.txt', 'You', now())")
    file = tmp_path / "outbox.toml"
    file.write_text('[channels.inapp]\nproviders = ["inbox"]\n[templates]\nsource = "mail_table.templates"\n')
    assert run(cloned_url, "template", "check", "--config", file).exit_code == 0
    enqueue(cloned_url, channel="inapp", template="hi", payload={})
    assert run(cloned_url, "worker", "--channel", "inapp", "--config", file, "--drain").exit_code == 0
    assert rows(cloned_url, "SELECT title, body FROM outbox.inbox") == [("Hi", "You")]
    file.write_text('[templates]\nsource = "mail_table.Templates"\n')
    assert "templates.source: there is no function mail_table.Templates" in run("", "check", "--config", file).stderr


def test_the_page_about_the_inbox_is_right(cloned_url: str, tmp_path: Path) -> None:
    enqueues, shows = blocks("docs/inapp.md", "python")
    (example,) = blocks("docs/inapp.md", "toml")
    (tmp_path / "outbox.toml").write_text(example)
    assert check(config.load(tmp_path / "outbox.toml", environ={})) == []
    with psycopg.connect(cloned_url) as conn:
        exec(enqueues, {"conn": conn, "outbox": outbox})  # noqa: S102 - our own page
        conn.commit()
        worker = run(cloned_url, "worker", "--channel", "inapp", "--config", str(tmp_path / "outbox.toml"), "--drain")
        assert worker.exit_code == 0
        exec(shows, {"conn": conn})  # noqa: S102 - our own page
    marked = "SELECT title, seen_at < read_at, read_at < archived_at FROM outbox.inbox"
    assert rows(cloned_url, marked) == [("Shipped", True, True)]


def test_the_page_about_schedules_is_right(cloned_url: str) -> None:
    rows(
        cloned_url,
        "CREATE TABLE users (email text, name text, subscribed boolean); "
        "INSERT INTO users VALUES ('ada@example.org', 'Ada', true), ('bob@example.org', 'Bob', false); "
        "CREATE TABLE invoices (email text, due date); "
        "INSERT INTO invoices "
        "VALUES ('ada@example.org', CAST(clock_timestamp() AT TIME ZONE 'Europe/Berlin' AS date) + 1), ('a@b.c', NULL)",
    )
    commands = blocks("docs/schedules.md", "bash")[0].replace("\\\n", " ").splitlines()
    for line in commands:
        result = run(cloned_url, *shlex.split(line, comments=True)[1:])
        assert result.exit_code == 0, (line, result.stderr)
    sent = "SELECT recipient, template FROM outbox.notifications"
    assert rows(cloned_url, sent) == [("ada@example.org", "digest")]
    (program,) = blocks("docs/schedules.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(program, {"conn": conn})  # noqa: S102 - our own page
    assert rows(cloned_url, sent + " WHERE template = 'reminder'") == [("ada@example.org", "reminder")]
    tells, grants = blocks("docs/schedules.md", "sql")
    of_runs, of_failures = tells.strip().splitlines()
    assert [row[:1] for row in rows(cloned_url, of_runs)] == [("reminders",)]
    assert rows(cloned_url, of_failures) == []
    mailer, enqueuer = (f"t{secrets.token_hex(4)}_{name}" for name in ("mailer", "enqueuer"))
    rows(cloned_url, f"CREATE ROLE {mailer}; CREATE ROLE {enqueuer}")
    try:
        rows(cloned_url, grants.replace("mailer", mailer).replace("outbox_enqueuer", enqueuer))
    finally:
        rows(cloned_url, f"DROP OWNED BY {mailer}, {enqueuer}; DROP ROLE {mailer}, {enqueuer}")


def test_the_page_about_fan_outs_is_right(cloned_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows(
        cloned_url,
        "CREATE TABLE users (id bigint, email text, name text, subscribed boolean, country text); "
        "INSERT INTO users VALUES (1, 'ada@example.org', 'Ada', true, 'DE'), "
        "(2, 'bob@example.org', 'Bob', true, 'AT'), (3, 'eve@example.org', 'Eve', false, 'UK'); "
        "CREATE TABLE orders (user_id bigint, number bigint, carrier text, shipped_on date); "
        "INSERT INTO orders VALUES (1, 7, 'pigeon', '2026-03-01'), (2, 8, 'pigeon', '2026-03-02'), "
        "(3, 9, 'pigeon', '2026-02-28'), (3, 10, 'ship', '2026-03-02'); "
        "INSERT INTO outbox.suppressions (channel, recipient, reason) VALUES ('email', 'bob@example.org', 'stop')",
    )
    selects, chunks = blocks("docs/fan-out.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(selects, {"conn": conn, "date": date})  # noqa: S102 - our own page
    assert capsys.readouterr().out == "1 of 2, 1 of whom must not be contacted\n"
    exec(chunks, {"psycopg": psycopg, "url": cloned_url})  # noqa: S102 - our own page
    assert capsys.readouterr().out == "2 of 2\n"
    for line in blocks("docs/fan-out.md", "bash")[0].replace("\\\n", " ").splitlines():
        result = run(cloned_url, *shlex.split(line)[1:])
        assert result.exit_code == 0, (line, result.stderr)
    told, cancels = blocks("docs/fan-out.md", "sql")[0].strip().splitlines()
    found = [(row[0], *row[3:]) for row in rows(cloned_url, told)]
    assert found == [("spring-sale", 2, 2, 1, 1), ("new-terms", 2, 2, 1, 1)]
    assert rows(cloned_url, "SELECT template, recipient, payload FROM outbox.notifications ORDER BY id") == [
        ("delayed", "ada@example.org", {"name": "Ada", "order": 7}),
        ("terms", "ada@example.org", {}),
        ("sale", "ada@example.org", {"name": "Ada"}),
    ]
    assert rows(cloned_url, cancels) == [(1,)]


def test_the_page_about_suppressions_is_right(
    cloned_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enqueue(cloned_url, 2, recipient="ada@example.org", topic="news")
    enqueue(cloned_url, 1, recipient="ada@example.org")
    adds, removes = blocks("docs/suppressions.md", "python")
    with psycopg.connect(cloned_url) as conn:
        exec(adds + removes, {"conn": conn})  # noqa: S102 - our own page
    assert capsys.readouterr().out.startswith("2 will not be sent; 0 are in a worker's hands\non_holiday None 20")
    left = "SELECT recipient, topic, reason FROM outbox.suppressions"
    assert rows(cloned_url, left) == [("ada@example.org", "news", "unsubscribed")]
    ended = blocks("docs/suppressions.md", "sql")[1]
    assert [row[2].split(",")[0] for row in rows(cloned_url, ended)] == ["news", "news"]
    suppress, unsuppress = blocks("docs/suppressions.md", "sql")[0].strip().splitlines()
    assert rows(cloned_url, suppress) == [(False, "unsubscribed", 0, 0)]
    assert rows(cloned_url, unsuppress) == [("unsubscribed", [])]
    (tmp_path / "outbox.toml").write_text("".join(blocks("docs/suppressions.md", "toml")))
    assert config.load(tmp_path / "outbox.toml", environ={}).transactional == ("receipts",)
    page = (ROOT / "docs" / "suppressions.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `?(\w[\w ]*)`? \|.*\| (kept back|sent) \|", page, re.MULTILINE)
    assert [reason for reason, _ in listed if " " not in reason] == list(KNOWN)
    assert [reason for reason, fate in listed if fate == "sent"] == ["unsubscribed"]


def test_the_page_about_topics_is_right(cloned_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "outbox.toml").write_text("".join(blocks("docs/topics.md", "toml")))
    topics = config.load(tmp_path / "outbox.toml", environ={}).topics
    with psycopg.connect(cloned_url) as conn:
        declare_now(conn, topics)
    enqueue(cloned_url, 2, recipient="ada@example.org", topic="news")
    refused, sets, shows = blocks("docs/topics.md", "python")
    names: dict[str, Any] = {"outbox": outbox}
    with psycopg.connect(cloned_url) as conn:
        exec(refused + sets + shows, names | {"conn": conn}, names)  # noqa: S102 - our own page
    assert capsys.readouterr().out.splitlines() == [
        refused.split("# ")[1].strip(),
        "2 will not be sent; 0 are in a worker's hands",
        "news False explicit",
        "offers False default",
        "receipts True transactional",
    ]
    assert [one.changed for one in names["saved"]] == [True, True]
    in_sql, counts = blocks("docs/topics.md", "sql")
    assert rows(cloned_url, counts) == [("email", "offers", 1, 0), ("push", "offers", 0, 1)]
    set_, of, clear = in_sql.strip().splitlines()
    assert rows(cloned_url, set_) == [(True, 0, 0, None, [])]
    assert rows(cloned_url, of)[0] == ("news", False, "explicit", None)
    assert rows(cloned_url, clear) == [(True, 0, 0)]


@pytest.mark.parametrize("page", ["docs/retention.md", "docs/roles.md", "docs/suppressions.md", "docs/topics.md"])
def test_the_commands_on_the_pages_run(
    page: str, cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some write files
    for line in "".join(blocks(page, "bash")).splitlines():
        arguments = line.partition("#")[0].split()[1:]
        arguments += {"erase": ["--yes"], "roles": ["--prefix", "t_docs_"]}.get(arguments[0], [])
        if "--apply" not in arguments:  # which would make roles of the whole cluster; test_roles_command does
            assert run(cloned_url, *arguments).exit_code == 0, line


def test_the_tour_never_makes_its_reader_go_back() -> None:
    """What a file imports was shown at an earlier stop, or stands at its own."""
    stops = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8").split("\n## ")[1:]
    shown: dict[str, int] = {}
    for number, stop in enumerate(stops):
        for link in re.findall(r"\]\(\.\./(outbox/[^)]+?|cli\.py)\)", stop):
            for path in modules(ROOT / link):
                shown.setdefault(module_name(path), number)
    assert len(shown) > 40
    backwards = [
        f"{name} (stop {number + 1}) needs {needed} (stop {shown[needed] + 1})"
        for name, number in shown.items()
        for needed in imports(name)
        if shown.get(needed, -1) > number
    ]
    assert backwards == []
    missing = {module_name(path) for path in modules(ROOT / "outbox")} - shown.keys()
    assert {name for name in missing if not name.endswith(("__init__", "__main__"))} == set()


def test_the_stops_of_the_tour_are_numbered_in_order() -> None:
    numbers = [
        int(number)
        for number in re.findall(r"^## (\d+)\.", (ROOT / "docs" / "tour.md").read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert all(after == before + 1 for before, after in pairwise(numbers))


def modules(path: Path) -> list[Path]:
    """The module at a path, or all those of a folder; a link into a channel's package shows what is beside it."""
    if path.is_dir():
        return sorted(path.rglob("*.py"))
    return sorted(path.parent.glob("*.py")) if path.parent.name == "email" else [path]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def imports(name: str) -> set[str]:
    path = ROOT / (name.replace(".", "/") + ".py")
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found
