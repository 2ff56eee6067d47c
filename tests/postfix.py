"""Postfix with a configuration, a queue and mailboxes of its own, where the machine has it; its service is not used."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

POSTCONF = shutil.which("postconf", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
ABSENT = (
    "no postfix on PATH or in /usr/sbin"
    if POSTCONF is None
    else "postfix starts for root alone"
    if os.geteuid() != 0
    else None
)
"""Why it cannot be started here; None if it can."""
SIZE_LIMIT = 20_000
"""Bytes that a message may have."""
DOMAIN = "example.com"
"""Whose mailboxes it has; it relays to nobody else."""

_QUEUE = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "private", "saved", "trace")
_OF_A_GROUP = ("maildrop", "public")
_SERVICES = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
error unix - - n - - error
retry unix - - n - - error
virtual unix - n n - - virtual
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""
_SETTINGS = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/mail
maillog_file_prefixes = {folder}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mta.test
mydestination =
mynetworks =
local_recipient_maps =
alias_maps =
smtpd_relay_restrictions = reject_unauth_destination
message_size_limit = {size_limit}
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = inline:{{ {mailboxes} }}
virtual_mailbox_base = {folder}/mail
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/chain.pem
"""


class Postfix:
    """Lives as long as the `with` block, and listens on `port` of 127.0.0.1 for the mailboxes of `users`.

    `chain` is a key and its certificates in PEM, for STARTTLS.
    """

    def __init__(self, users: Sequence[str], chain: bytes) -> None:
        self._users = users
        self._chain = chain
        self.port = _free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="outbox-"))
        self._master: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        log = self.folder / "log" / "mail"
        return log.read_text() if log.exists() else ""

    def mail(self, user: str) -> list[bytes]:
        """Return the messages in a mailbox, as they were delivered."""
        folder = self.folder / "mail" / user / "new"
        return [message.read_bytes() for message in sorted(folder.iterdir())] if folder.exists() else []

    def __enter__(self) -> Self:
        assert POSTCONF is not None
        self._lay_out()
        where = subprocess.run([POSTCONF, "-dh", "daemon_directory"], capture_output=True, text=True, check=True)
        self._master = subprocess.Popen(
            [Path(where.stdout.strip()) / "master", "-c", self.folder / "etc"],
            start_new_session=True,  # at its end, it and we end the whole group
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_until(self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._master is not None:
            self._master.terminate()
            self._master.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(self._master.pid, signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _lay_out(self) -> None:
        """Make its folders; their owners and modes are those that it insists on."""
        postfix, nobody = pwd.getpwnam("postfix"), pwd.getpwnam("nobody")
        self.folder.chmod(0o755)
        for name in ("etc", "data", "log", "mail", "queue", "queue/pid", *(f"queue/{each}" for each in _QUEUE)):
            (self.folder / name).mkdir(mode=0o755)
            if name == "data" or Path(name).name in _QUEUE:
                os.chown(self.folder / name, postfix.pw_uid, -1)
                (self.folder / name).chmod(0o700)
        for name in _OF_A_GROUP:
            (self.folder / "queue" / name).mkdir()
            shutil.chown(self.folder / "queue" / name, "postfix", "postdrop")
            (self.folder / "queue" / name).chmod(0o730 if name == "maildrop" else 0o710)
        os.chown(self.folder / "mail", nobody.pw_uid, nobody.pw_gid)
        (self.folder / "chain.pem").write_bytes(self._chain)
        (self.folder / "chain.pem").chmod(0o600)
        settings = _SETTINGS.format(
            folder=self.folder,
            domain=DOMAIN,
            size_limit=SIZE_LIMIT,
            mailboxes=", ".join(f"{user}@{DOMAIN}={user}/" for user in self._users),
            uid=nobody.pw_uid,
            gid=nobody.pw_gid,
        )
        (self.folder / "etc" / "main.cf").write_text(settings)
        (self.folder / "etc" / "master.cf").write_text(_SERVICES.format(port=self.port))

    def _answers(self) -> bool:
        assert self._master is not None
        assert self._master.poll() is None, self.log
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                return connection.recv(3) == b"220"
        except OSError:
            return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
