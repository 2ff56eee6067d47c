"""`outbox import post-office`: emails that its own functions queued, beside its own sender."""

from __future__ import annotations

import email
import email.policy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox import config
from outbox.importing.emails import email as translated
from outbox.importing.mapping import Emails, Mapping
from outbox.importing.source import CannotCarry
from outbox.queue.draft import Draft
from outbox.worker import process
from tests.command_line import run
from tests.hands import rows
from tests.migrating.killing import kill_often
from tests.migrating.post_office_project import project
from tests.recorder import drain
from tests.smtp_server import SmtpServer

if TYPE_CHECKING:
    from pathlib import Path

QUEUED = """
from datetime import UTC, datetime, timedelta

later = datetime(2040, 1, 1, tzinfo=UTC)
mail.send(
    ["ada@example.org", "Bob <bob@example.org>"], "Shop <sale@example.org>", subject="Hi {{ name }}",
    message="Dear {{ name }}", html_message="<p>Dear {{ name }}</p>", context={"name": "Ada"}, cc=["cc@example.org"],
    bcc=["bcc@example.org"], headers={"X-Campaign": "spring", "Reply-To": "desk@example.org"}, priority="high",
    scheduled_time=later, expires_at=later + timedelta(days=1),
)
welcome = EmailTemplate.objects.create(name="welcome", subject="Welcome {{ name }}", content="Hello {{ name }}")
welcome.translated_templates.create(language="de", subject="Willkommen {{ name }}", content="Hallo {{ name }}")
mail.send("eve@example.org", template="welcome", context={"name": "Eve"}, render_on_delivery=True, language="de")
mail.send("kim@example.org", template="welcome", context={"name": "Kim"})
mail.send("att@example.org", subject="Files", message="b", attachments={"a.txt": ContentFile(b"the file")})
mail.send("ses@example.org", subject="a", html_message="<b>b</b>", backend="ses", priority="low")
mail.send("mid@example.org", subject="a", message="b", headers={"Message-ID": "<x@example.org>"})
mail.send("now@example.org", subject="a", message="b", priority="now")
"""
MAPPING = """
[emails]
media = "{media}"
drop_headers = ["Message-ID"]
[emails.templates]
welcome = "hello"
[emails.backends]
ses = "bulk_email"
"""
STORED = """
SELECT recipient, channel, template, locale, priority, payload FROM outbox.notifications ORDER BY id
"""
HEADERS = (
    "its headers: Message-ID: this header is written by outbox and cannot be set by a notification; "
    "see emails.drop_headers"
)
WITHOUT_STATUS = 'SELECT "to" FROM post_office_email WHERE status IS NULL ORDER BY id'


@pytest.fixture
def mapping(tmp_path: Path) -> Path:
    file = tmp_path / "mapping.toml"
    file.write_text(MAPPING.format(media=tmp_path))
    return file


def test_emails_become_notifications_and_are_sent_by_nobody_else(
    cloned_url: str, tmp_path: Path, mapping: Path
) -> None:
    project(cloned_url, tmp_path, QUEUED)
    told = run(cloned_url, "import", "post-office", "--map", mapping, "--senders-stopped", "--dry-run")
    assert (told.exit_code, rows(cloned_url, STORED)) == (0, [])
    assert "would import 6" in told.stdout
    done = run(cloned_url, "import", "post-office", "--map", mapping, "--senders-stopped")
    assert (done.exit_code, done.stdout) == (0, "✓ imported 6 from post-office\n")
    ada, eve, kim, attached, ses, mid = rows(cloned_url, STORED)
    assert ada[:5] == ("ada@example.org", "email", None, None, 2)
    assert ada[5] == {
        "subject": "Hi Ada",
        "text": "Dear Ada",
        "html": "<p>Dear Ada</p>",
        "from": "Shop <sale@example.org>",
        "cc": ["bob@example.org", "cc@example.org"],
        "bcc": ["bcc@example.org"],
    }
    sender = {"from": "Shop <shop@example.org>"}
    assert eve == ("eve@example.org", "email", "hello", "de", 5, sender | {"name": "Eve"})
    assert kim[2:] == (None, None, 5, sender | {"subject": "Welcome Kim", "text": "Hello Kim"})
    assert attached[5]["attachments"] == [{"name": "a.txt", "content": "dGhlIGZpbGU="}]
    assert ses[1:] == ("bulk_email", None, None, 8, sender | {"subject": "a", "html": "<b>b</b>"})
    assert mid[0] == "mid@example.org"
    kept = "SELECT headers, extract(year FROM run_at)::int, expires_at - run_at = '1 day' FROM outbox.notifications"
    headers = {"X-Campaign": "spring", "Reply-To": "desk@example.org"}
    assert rows(cloned_url, f"{kept} WHERE recipient = 'ada@example.org'") == [(headers, 2040, True)]
    assert project(cloned_url, tmp_path, "print(mail.send_queued())").split() == ["(0,", "0,", "0)"]
    assert len(rows(cloned_url, WITHOUT_STATUS)) == 6


def test_what_is_due_is_left_alone_while_a_sender_may_have_it(cloned_url: str, tmp_path: Path, mapping: Path) -> None:
    project(cloned_url, tmp_path, QUEUED)
    done = run(cloned_url, "import", "post-office", "--map", mapping)
    assert (done.exit_code, done.stdout.splitlines()) == (
        1,
        [
            "✓ imported 1 from post-office",
            "  5 may be in a sender's hands, and stay: see --senders-stopped",
        ],
    )
    assert rows(cloned_url, WITHOUT_STATUS) == [("ada@example.org, Bob <bob@example.org>",)]
    assert project(cloned_url, tmp_path, "print(mail.send_queued())").split() == ["(5,", "0,", "0)"]


def test_what_no_payload_can_say_is_listed_and_stays(cloned_url: str, tmp_path: Path) -> None:
    project(
        cloned_url,
        tmp_path,
        QUEUED
        + 'mail.send("gone@example.org", subject="a", message="b", expires_at=datetime(2020, 1, 1, tzinfo=UTC))\n',
    )
    done = run(cloned_url, "import", "post-office", "--senders-stopped", "--json")
    assert done.exit_code == 1
    assert sorted(each["why"] for each in json.loads(done.stdout)["left"]) == [
        "expires_at: is not after run_at (or now), so it could never be sent",
        "it has attachments: see emails.media and emails.media_url",
        "its backend ses is none of emails.backends",
        HEADERS,
        "its template welcome is none of emails.templates",
    ]
    assert len(rows(cloned_url, WITHOUT_STATUS)) == 2


def test_what_failed_comes_if_it_is_asked_for_and_what_is_requeued_there_is_not_taken_for_done(
    cloned_url: str, tmp_path: Path
) -> None:
    project(
        cloned_url,
        tmp_path,
        'found = mail.send("ada@example.org", subject="a", message="b")\nEmail.objects.update(status=1)\n',
    )
    assert json.loads(run(cloned_url, "import", "post-office", "--json").stdout)["imported"] == 0
    assert json.loads(run(cloned_url, "import", "post-office", "--failed", "--json").stdout)["imported"] == 1
    rows(cloned_url, "UPDATE post_office_email SET status = 2")
    again = json.loads(run(cloned_url, "import", "post-office", "--senders-stopped", "--json").stdout)
    assert [each["why"] for each in again["left"]] == ["it was imported before, and waits again: see round"]
    file = tmp_path / "mapping.toml"
    file.write_text("round = 2\n")
    done = run(cloned_url, "import", "post-office", "--map", file, "--senders-stopped", "--json")
    assert json.loads(done.stdout)["imported"] == 1
    keys = rows(cloned_url, "SELECT idempotency_key FROM outbox.notifications ORDER BY id")
    assert keys == [("post-office:1",), ("post-office:1:round-2",)]


def test_what_failed_no_sender_takes_so_it_comes_while_one_runs(cloned_url: str, tmp_path: Path) -> None:
    project(
        cloned_url,
        tmp_path,
        'for name in ("failed", "late", "due"):\n'
        '    mail.send(f"{name}@example.org", subject="a", message="b")\n'
        'Email.objects.exclude(to="due@example.org").update(status=1)\n'
        'Email.objects.filter(to="late@example.org").update(scheduled_time="2020-01-01T00:00:00Z")\n',
    )
    foretold = run(cloned_url, "import", "post-office", "--failed", "--dry-run")
    assert "would import 2" in foretold.stdout
    done = run(cloned_url, "import", "post-office", "--failed")
    assert (done.exit_code, done.stdout.splitlines()) == (
        1,
        ["✓ imported 2 from post-office", "  1 may be in a sender's hands, and stay: see --senders-stopped"],
    )
    assert rows(cloned_url, WITHOUT_STATUS) == [("failed@example.org",), ("late@example.org",)]
    rows(cloned_url, "DELETE FROM post_office_email WHERE status = 2")
    again = run(cloned_url, "import", "post-office", "--failed")
    assert (again.exit_code, again.stdout) == (0, "✓ imported 0 from post-office\n")


async def test_an_imported_email_arrives_as_it_was_meant(cloned_url: str, tmp_path: Path, mapping: Path) -> None:
    project(cloned_url, tmp_path, QUEUED.replace("2040, 1, 1", "2020, 1, 1").replace("days=1", "days=9999"))
    run(cloned_url, "import", "post-office", "--map", mapping, "--senders-stopped")
    others = "SELECT id FROM outbox.notifications WHERE recipient <> 'ada@example.org'"
    rows(cloned_url, f"DELETE FROM outbox.queue WHERE id IN ({others})")
    async with SmtpServer() as server:
        (tmp_path / "outbox.toml").write_text(
            f'[channels.email]\nproviders = ["smtp"]\n[providers.smtp]\nhost = "127.0.0.1"\nport = {server.port}\n'
            'tls = "none"\nsender = "other@example.org"\n'
        )
        settings = config.load(tmp_path / "outbox.toml", environ={}, overrides={"database.url": cloned_url})
        await drain(cloned_url, *process.routes(settings, ["email"], lambda _: None))
        (message,) = server.accepted
    parsed = email.message_from_bytes(message.content, policy=email.policy.default)
    assert sorted(message.recipients) == ["ada@example.org", "bcc@example.org", "bob@example.org", "cc@example.org"]
    assert (parsed["From"], parsed["Reply-To"], parsed["X-Campaign"]) == (
        "Shop <sale@example.org>",
        "desk@example.org",
        "spring",
    )


@pytest.mark.timeout(240)  # it starts five importers, one after another
async def test_each_email_is_a_notification_once_however_often_the_importer_is_killed(
    cloned_url: str, tmp_path: Path
) -> None:
    project(
        cloned_url,
        tmp_path,
        'mail.send_many([{"recipients": f"u{n}@example.org", "subject": "a", "message": "b"} for n in range(300)])',
    )
    await kill_often(cloned_url, ["import", "post-office", "--senders-stopped", "--chunk", "2"])
    counts = "SELECT count(*), count(DISTINCT recipient), count(DISTINCT idempotency_key) FROM outbox.notifications"
    assert rows(cloned_url, counts) == [(300, 300, 300)]
    assert rows(cloned_url, "SELECT count(*) FROM post_office_email WHERE status IS NULL") == [(300,)]


TEXTS = st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20)
ADDRESSES = st.integers(0, 99).map(lambda number: f"u{number}@example.org")


def row(**said: Any) -> dict[str, Any]:
    blank: dict[str, Any] = dict.fromkeys(
        ("scheduled_time", "expires_at", "headers", "context", "template", "language")
    )
    texts = {"subject": "", "message": "", "html_message": "", "cc": "", "bcc": "", "backend_alias": ""}
    return blank | texts | {"from_email": "shop@example.org", "priority": 1, "attachments": []} | said


@given(
    st.lists(ADDRESSES, min_size=1, max_size=20, unique=True),
    st.lists(ADDRESSES, max_size=10),
    st.tuples(TEXTS, TEXTS, TEXTS),
    st.sampled_from([0, 1, 2, 3, None]),
)
def test_nobody_and_nothing_of_an_email_is_lost(
    to: list[str], cc: list[str], texts: tuple[str, str, str], priority: int | None
) -> None:
    subject, text, html = texts
    found = row(
        recipients=", ".join(to), cc=", ".join(cc), subject=subject, message=text, html_message=html, priority=priority
    )
    (one,) = translated("post-office:1", found, Mapping())
    Draft.of(one)
    payload = one["payload"]
    assert [one["recipient"], *payload.get("cc", ())] == [*to, *cc]
    assert (payload["subject"], payload.get("text", ""), payload.get("html", "")) == (subject, text, html)
    if cc and len(to) > 1:
        with pytest.raises(CannotCarry):
            translated("post-office:1", found, Mapping(emails=Emails(to="each")))
    elif not cc:
        each = translated("post-office:1", found, Mapping(emails=Emails(to="each")))
        assert [every["recipient"] for every in each] == to
        assert len({every["idempotency_key"] for every in each}) == len(to)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret"])
def test_an_attachment_outside_the_folder_is_not_read(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "media").mkdir()
    file = {"file": name, "name": "a.txt", "type": "", "headers": None}
    with pytest.raises(CannotCarry, match=r"not within emails\.media"):
        translated(
            "k",
            row(recipients="a@example.org", attachments=[file]),
            Mapping(emails=Emails(media=str(tmp_path / "media"))),
        )


def test_an_attachment_that_is_too_large_or_elsewhere_goes_by_url(tmp_path: Path) -> None:
    (tmp_path / "big file.bin").write_bytes(bytes(200_000))
    file = {"file": "big file.bin", "name": "b.bin", "type": "application/x-big", "headers": None}
    rules = Emails(media=str(tmp_path), media_url="https://media.example.org/")
    (one,) = translated("k", row(recipients="a@example.org", attachments=[file]), Mapping(emails=rules))
    assert one["payload"]["attachments"] == [
        {"name": "b.bin", "url": "https://media.example.org/big%20file.bin", "type": "application/x-big"}
    ]
    with pytest.raises(CannotCarry, match=r"more than 190,000 bytes: see emails\.media_url"):
        translated(
            "k", row(recipients="a@example.org", attachments=[file]), Mapping(emails=Emails(media=str(tmp_path)))
        )
    with pytest.raises(CannotCarry, match="headers of its own"):
        translated(
            "k", row(recipients="a@example.org", attachments=[file | {"headers": {"Content-ID": "x"}}]), Mapping()
        )
