"""How an application enqueues, in the framework that its own files name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from outbox.terminal.starting.sample import NAME, recipient_of

if TYPE_CHECKING:
    from pathlib import Path

_SEEN = ("django", "fastapi", "flask", "sqlalchemy")
_COMMENT = re.compile(r"#.*")
_FILES = ("pyproject.toml", "requirements*.txt", "requirements/*.txt", "Pipfile", "setup.cfg")
_LONGEST = 1_000_000

_ENQUEUE = """\
{call}(
    {conn},
    channel="{channel}",
    recipient={recipient},
    template="{template}",
    payload={{"name": name}},
    idempotency_key=f"{template}:{{{recipient}}}",
)"""

SNIPPETS = {
    "django": """\
import outbox
from django.db import connection, transaction

with transaction.atomic():
    User.objects.create(name=name, {recipient}={recipient})
    {enqueue}""",
    "fastapi": """\
import outbox

async with sessions.begin() as session:  # SQLAlchemy's async_sessionmaker
    session.add(User(name=name, {recipient}={recipient}))
    {enqueue}""",
    "flask": """\
import outbox

with sessions.begin() as session:  # SQLAlchemy's sessionmaker; db.session of Flask-SQLAlchemy does as well
    session.add(User(name=name, {recipient}={recipient}))
    {enqueue}""",
    "sqlalchemy": """\
import outbox

with sessions.begin() as session:  # SQLAlchemy's sessionmaker
    session.add(User(name=name, {recipient}={recipient}))
    {enqueue}""",
    "psycopg": """\
import outbox
import psycopg

with psycopg.connect(url) as conn:
    conn.execute("INSERT INTO users (name, {recipient}) VALUES (%s, %s)", [name, {recipient}])
    {enqueue}""",
}
_CALLS = {"django": ("outbox.enqueue", "connection"), "fastapi": ("await outbox.aenqueue", "session")}
_CALLS |= dict.fromkeys(("flask", "sqlalchemy"), ("outbox.enqueue", "session"))
_CALLS |= {"psycopg": ("outbox.enqueue", "conn")}


def framework(folder: Path) -> str:
    """Return the framework that an application's files name, as `SNIPPETS` has it; without one, `psycopg`."""
    if (folder / "manage.py").is_file():
        return "django"
    texts = [_text(path) for pattern in _FILES for path in sorted(folder.glob(pattern))]
    return next((name for name in _SEEN if any(_names(text, name) for text in texts)), "psycopg")


def snippet(name: str, channel: str) -> str:
    """Return the lines that enqueue in a transaction, in a framework, on a channel."""
    call, conn = _CALLS[name]
    recipient = recipient_of(channel).variable
    enqueue = _ENQUEUE.format(call=call, conn=conn, channel=channel, recipient=recipient, template=NAME)
    return SNIPPETS[name].format(recipient=recipient, enqueue=enqueue.replace("\n", "\n    "))


def _names(text: str, package: str) -> bool:
    return re.search(rf"(?<![\w.-]){package}\b", _COMMENT.sub("", text), re.IGNORECASE) is not None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")[:_LONGEST]
    except OSError:
        return ""
