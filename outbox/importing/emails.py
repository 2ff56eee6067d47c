"""From an email of django-post_office to the arguments of an enqueue."""

from __future__ import annotations

import json
from base64 import b64encode
from email.utils import parseaddr
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from outbox import email_fields
from outbox.channels.email.headers import extra_fields
from outbox.errors import Rejected
from outbox.importing.source import CannotCarry

if TYPE_CHECKING:
    from collections.abc import Mapping as Row
    from collections.abc import Sequence

    from outbox.importing.mapping import Emails, Mapping

PRIORITIES = {0: "bulk", 1: "normal", 2: "high", 3: "urgent"}  # low, medium, high, now
_LARGEST_FILE = 190_000  # bytes; in base64, more does not fit into a payload


def email(key: str, row: Row[str, Any], mapping: Mapping) -> Sequence[dict[str, Any]]:
    """Return the arguments of an enqueue, or of one for each recipient.

    Raises:
        CannotCarry: it has something that no payload can say.
    """
    rules = mapping.emails
    recipients = _addresses(row["recipients"])
    if not recipients:
        raise CannotCarry("it has no recipient")
    content = _content(row, rules)
    payload = content.pop("payload") | {"from": row["from_email"]}
    if files := [_attachment(each, rules) for each in _loaded(row["attachments"])]:
        payload["attachments"] = files
    given = content | {
        "channel": _channel(row["backend_alias"], rules),
        "priority": mapping.priorities.get(row["priority"], PRIORITIES.get(row["priority"], "normal")),
        "run_at": row["scheduled_time"],
        "expires_at": row["expires_at"],
        "headers": _headers(row["headers"], rules),
        "topic": rules.topic,
    }
    given = {name: value for name, value in given.items() if value is not None}
    copies = {"cc": _addresses(row["cc"]), "bcc": _addresses(row["bcc"])}
    if rules.to == "first":
        copies["cc"] = recipients[1:] + copies["cc"]
        recipients = recipients[:1]
    elif len(recipients) > 1 and any(copies.values()):
        raise CannotCarry('to = "each" and it has copies, which would be sent once for each')
    payload |= {name: addresses for name, addresses in copies.items() if addresses}
    keys = [key] if len(recipients) == 1 else [f"{key}:{number}" for number in range(1, len(recipients) + 1)]
    return [
        given | {"recipient": recipient, "payload": payload, "idempotency_key": its}
        for recipient, its in zip(recipients, keys, strict=True)
    ]


def _content(row: Row[str, Any], rules: Emails) -> dict[str, Any]:
    """Return template, locale and payload: what was rendered is in the row, the rest is rendered when it is sent."""
    context = _loaded(row["context"])
    if row["template"] is None or context is None:
        texts = {"subject": row["subject"], "text": row["message"], "html": row["html_message"]}
        payload = {name: text for name, text in texts.items() if text or name == "subject"}
        if payload.keys() == {"subject"}:
            payload["text"] = ""
        return {"payload": payload}
    if row["template"] not in rules.templates:
        raise CannotCarry(f"its template {row['template']} is none of emails.templates")
    if context and not isinstance(context, dict):
        raise CannotCarry("its context is no JSON object")
    if taken := email_fields.FIELDS.intersection(context):
        raise CannotCarry(f"its template has a variable {min(taken)}, which means something else in a payload")
    return {"payload": context or {}, "template": rules.templates[row["template"]], "locale": row["language"] or None}


def _channel(backend: str, rules: Emails) -> str:
    if not backend:
        return rules.backends.get("default", rules.channel)
    if backend not in rules.backends:
        raise CannotCarry(f"its backend {backend} is none of emails.backends")
    return rules.backends[backend]


def _headers(found: object, rules: Emails) -> dict[str, str] | None:
    dropped = {name.lower() for name in rules.drop_headers}
    loaded = _loaded(found) or {}
    if not isinstance(loaded, dict):
        raise CannotCarry("its headers are no JSON object")
    kept = {str(name): str(value) for name, value in loaded.items() if str(name).lower() not in dropped}
    try:
        extra_fields(kept)
    except Rejected as error:
        raise CannotCarry(f"its headers: {error}; see emails.drop_headers") from None
    return kept or None


def _addresses(text: str | None) -> list[str]:
    """Return the addresses alone of what is separated by commas: names are lost, which it allows for recipients."""
    return [parseaddr(part)[1] or part.strip() for part in (text or "").split(",") if part.strip()]


def _attachment(found: Row[str, Any], rules: Emails) -> dict[str, str]:
    if found["headers"]:
        raise CannotCarry("an attachment has headers of its own, as inline images do")
    kind = {"type": found["type"]} if found["type"] else {}
    if rules.media is not None:
        content = _read(Path(rules.media), found["file"])
        if len(content) <= _LARGEST_FILE:
            return {"name": found["name"], "content": b64encode(content).decode()} | kind
    if rules.media_url is not None:
        return {"name": found["name"], "url": f"{rules.media_url.rstrip('/')}/{quote(found['file'])}"} | kind
    if rules.media is None:
        raise CannotCarry("it has attachments: see emails.media and emails.media_url")
    raise CannotCarry(f"an attachment has more than {_LARGEST_FILE:,} bytes: see emails.media_url")


def _read(folder: Path, name: str) -> bytes:
    whole, file = folder.resolve(), (folder / name).resolve()
    if not file.is_relative_to(whole):
        raise CannotCarry("an attachment is not within emails.media")
    try:
        return file.read_bytes()
    except OSError as error:
        raise CannotCarry(f"an attachment cannot be read within emails.media: {error.strerror}") from None


def _loaded(value: object) -> Any:
    """Return what JSON says; Django has it as jsonb, or as a text where a project chose another field."""
    if not isinstance(value, str):
        return None if isinstance(value, bytes | memoryview) else value
    try:
        return json.loads(value) if value.strip() else {}
    except ValueError:
        raise CannotCarry("its context or headers are not JSON") from None
