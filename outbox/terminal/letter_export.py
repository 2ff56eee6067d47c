"""`outbox dead-letters export`: dead letters as JSON lines, a few at a time, with a bar where somebody looks."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from outbox.queue.dead_letters import find_dead_letters, read_dead_letters
from outbox.telling.words import counted
from outbox.terminal.output import json_or_text, note, plain
from outbox.terminal.progress import bar
from outbox.terminal.session import reading
from outbox.terminal.setup import is_terminal

if TYPE_CHECKING:
    from outbox.queue.dead_letters import Contents, DeadLetter
    from outbox.queue.letter_selection import Selection

# Payloads have up to 256 KiB each.
CHUNK = 200


def export(url: str, selection: Selection, *, with_payload: bool) -> int:
    """Print every open dead letter that matches at this moment, oldest first, one JSON object a line."""
    with reading(url) as conn:
        ids = find_dead_letters(conn, selection)
        # What is written goes elsewhere, as a rule, while somebody looks at the standard error.
        with bar("exporting", len(ids), shown=sys.stderr.isatty() and not is_terminal()) as advance:
            for start in range(0, len(ids), CHUNK):
                chunk = ids[start : start + CHUNK]
                for letter, contents in read_dead_letters(conn, chunk, with_payload=with_payload):
                    sys.stdout.write(json.dumps(_document(letter, contents), default=plain) + "\n")
                conn.commit()  # a snapshot that is held for minutes keeps vacuum from its work
                advance(len(chunk))
        sys.stdout.flush()
    note(counted(len(ids), "open dead letter"))
    return 0


def _document(letter: DeadLetter, contents: Contents | None) -> dict[str, Any]:
    # How long ago depends on when it is read.
    document = {name: value for name, value in asdict(letter).items() if name != "died_seconds_ago"}
    if contents is None:
        return document
    headers = json_or_text(contents.headers) if contents.headers else None
    return document | {"locale": contents.locale, "payload": json_or_text(contents.payload), "headers": headers}
