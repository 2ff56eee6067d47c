"""`outbox dead-letters edit` as people see it: what would be different, a question, and the new id."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import typer

from outbox.errors import ConfigError, InvalidNotification, Rejected
from outbox.queue.dead_letters import show_dead_letter
from outbox.queue.edit import Edited
from outbox.queue.edit import edit as put_in_place
from outbox.queue.judge import judge
from outbox.telling.forecast import LATE, WHY_NOT
from outbox.telling.sayable import against_who_delivers_it
from outbox.terminal.actor import whoami
from outbox.terminal.editing import edit_text
from outbox.terminal.given import read_json
from outbox.terminal.output import done, json_laid_out, note, print_json, warn_aside
from outbox.terminal.resolve import How, somebody_is_there
from outbox.terminal.session import writing
from outbox.terminal.setup import FAILED, complain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from psycopg import Connection

    from outbox.config import Config


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different, and how the command goes about it."""

    recipient: str | None
    payload: Mapping[str, Any] | None
    in_editor: bool
    how: How

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Changes:
        """Return what the options of the command say.

        Raises:
            ConfigError: nothing is to be different; the payload is given twice, or is no JSON.
        """
        recipient, payload, in_editor = given["recipient"], given["payload"], given["editor"]
        if recipient is None and payload is None and not in_editor:
            raise ConfigError(["nothing is changed: give --recipient, --payload or --editor"])
        if payload is not None and in_editor:
            raise ConfigError(["--payload and --editor both say what the payload is: give one of them"])
        try:
            read = None if payload is None else read_json(payload)
        except ValueError as error:
            raise ConfigError([f"--payload: {error}"]) from None
        how = How(dry_run=False, sure=given["sure"], as_json=given["json"], because=given["because"])
        return cls(recipient, read, in_editor, how)

    def __repr__(self) -> str:
        """Hide what it says: a repr ends in logs."""
        return "Changes(…)"


def edit(config: Config, id: UUID, changes: Changes) -> int:  # noqa: A002 - the name of the column
    """Enqueue the letter with what is different in its place, after asking a person; 1 if it could not be.

    Raises:
        ConfigError: what is different was refused; the sentence begins with the option.
        Rejected: its template cannot say that.
    """
    with writing(config.database_url) as conn:
        payload = _edited(conn, id) if changes.in_editor else changes.payload
        if not changes.how.sure and somebody_is_there():
            named = [
                name for name, value in (("recipient", changes.recipient), ("payload", payload)) if value is not None
            ]
            if any(judged.is_expired for judged in judge(conn, [id])):
                warn_aside(LATE)
            conn.commit()  # no transaction stays open while a person thinks
            if not typer.confirm(f"Send it with another {' and another '.join(named)}?", err=True):
                return FAILED
        try:
            edited = put_in_place(
                conn,
                id,
                recipient=changes.recipient,
                payload=payload,
                check=against_who_delivers_it(config),
                actor=whoami(),
                reason=changes.how.because,
            )
        except InvalidNotification as error:
            conn.rollback()
            raise ConfigError([f"--{error.field}: {error.problem}"]) from None
        except Rejected as error:
            conn.rollback()
            complain(error.detail)
            return FAILED
    return _tell(edited, as_json=changes.how.as_json)


def _edited(conn: Connection[Any], id: UUID) -> Mapping[str, Any] | None:  # noqa: A002 - the name of the column
    """Return the payload as somebody leaves it in their editor; None if they leave it as it was, or it is not there."""
    found = show_dead_letter(conn, id)
    conn.commit()  # no transaction stays open while a person thinks
    if found is None:
        return None
    text = edit_text(json_laid_out(found[1].payload) + "\n", ".json")
    if text is None:
        return None
    try:
        return json.loads(text)  # type: ignore[no-any-return]
    except json.JSONDecodeError as error:
        problem = f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        raise ConfigError([f"--editor: what was left there {problem}"]) from None


def _tell(edited: Edited, *, as_json: bool) -> int:
    if as_json:
        print_json(asdict(edited))
    elif edited.new_id is not None:
        done(f"enqueued as {edited.new_id}, with another {' and another '.join(edited.changed)}")
        note(f"its story: outbox explain {edited.new_id}")
        if edited.is_expired:
            warn_aside(LATE)
    if edited.why_not is not None:
        complain(f"left alone, {WHY_NOT[edited.why_not]}: {edited.id}")
    return 0 if edited.new_id is not None else FAILED
