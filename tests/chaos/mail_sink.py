"""The mail server of the scenarios: `tests.smtp_server`, with every acceptance in the ledger."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Self

from tests.smtp_server import Act, SmtpServer

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.chaos.ledger import Ledger

_MESSAGE_ID = re.compile(rb"^Message-ID:\s*<([^@>\s]+)@", re.IGNORECASE | re.MULTILINE)


class MailSink:
    """Use it as an asynchronous context manager, or as `stage.mail_sink()`; the id is read from the Message-ID.

    `behave` gets each message's content once its final dot has been read, and says what to answer, None meaning 250;
    `moments` say what to do at the other moments of a session, as the script of `SmtpServer` does: an act, or what
    makes one of the line. A message counts as accepted when the answer begins with 2, or when `keeps` says so of any
    other act.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.behave: Callable[[bytes], Act | None] = lambda _: None
        self.keeps: Callable[[Act], bool] = lambda _: False
        self.moments: dict[str, Act | Callable[[bytes], Act | None]] = {}
        self.contents: dict[str, list[bytes]] = {}
        """What was read, by notification, accepted or not."""
        self.keep_contents = False
        self._ledger = ledger
        self._server: SmtpServer | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> None:
        """Listen, on the same port as before."""
        script = {moment: self._at(moment) for moment in ("connect", "MAIL", "RCPT", "DATA", "content")}
        self._server = SmtpServer(script={**script, "dot": self._dot}, port=self.port)
        await self._server.__aenter__()
        self.port = self._server.port

    async def close(self) -> None:
        """Refuse connections, and end those that are open."""
        if self._server is not None:
            await self._server.__aexit__()
            self._server = None

    def hang_up(self) -> None:
        """End the open connections, as a server that restarts does."""
        if self._server is not None:
            self._server.hang_up()

    def _at(self, moment: str) -> Callable[[bytes], Act | None]:
        def act(line: bytes) -> Act | None:
            wanted = self.moments.get(moment)
            return wanted(line) if callable(wanted) else wanted

        return act

    def _dot(self, content: bytes) -> Act | None:
        found = _MESSAGE_ID.search(content)
        assert found is not None, "a message without a Message-ID"
        identity = found[1].decode()
        if self.keep_contents:
            self.contents.setdefault(identity, []).append(content)
        act = self.behave(content)
        if act is None or (isinstance(act, str) and act.startswith("2")) or self.keeps(act):
            self._ledger.deliver(identity)
        return act
