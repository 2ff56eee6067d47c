"""Functions of the user's own as the ends of channels: typed payloads, retries, dead letters."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from pydantic import BaseModel, ConfigDict, Field, SecretStr

import outbox
from outbox.config import ChannelConfig, Config, WorkerConfig
from outbox.errors import ConfigError, InvalidNotification
from outbox.handlers.serve import handler_of, sender, with_handlers
from tests.command_line import run, run_process
from tests.hands import rows

if TYPE_CHECKING:
    from pathlib import Path

    from psycopg import AsyncConnection, Connection


@dataclass
class Invoice:
    order: int
    amount: Decimal


class Picture(BaseModel):
    path: str
    width: int | None = None


@outbox.handler("invoice", max_attempts=3)
def send_invoice(invoice: Invoice) -> str:
    if invoice.amount < 0:
        raise ArithmeticError("the amount of order 42 is negative")
    return f"invoice-{invoice.order}"


@outbox.handler("picture", tell=True)
async def shrink(picture: Picture, notification: outbox.Notification) -> None:
    if picture.width is None:
        raise LookupError(f"no width for {notification.recipient}")


def test_a_handler_is_still_the_function_that_it_was() -> None:
    assert send_invoice(Invoice(7, Decimal("9.90"))) == "invoice-7"
    assert send_invoice.path == f"{__name__}.send_invoice"


def test_a_call_is_enqueued_with_its_payload_as_json(conn: Connection) -> None:
    enqueued = send_invoice.enqueue(conn, Invoice(7, Decimal("9.90")), priority="high", idempotency_key="invoice:7")

    told = conn.execute("SELECT id, channel, recipient, payload, priority FROM outbox.notifications").fetchall()
    assert told == [(enqueued.id, "invoice", "invoice", {"order": 7, "amount": "9.90"}, 2)]


async def test_and_on_an_asynchronous_connection_for_somebody(aconn: AsyncConnection) -> None:
    await shrink.aenqueue(aconn, Picture(path="a.png", width=640), recipient="ada")

    told = await (await aconn.execute("SELECT recipient, payload FROM outbox.notifications")).fetchall()
    assert told == [("ada", {"path": "a.png", "width": 640})]


@pytest.mark.parametrize("payload", [{"order": "seven", "amount": 1}, {"amount": 1}, "seven", None])
def test_a_payload_of_another_type_is_refused_where_it_is_enqueued(conn: Connection, payload: Any) -> None:
    with pytest.raises(InvalidNotification, match="payload"):
        send_invoice.enqueue(conn, payload)

    assert conn.execute("SELECT count(*) FROM outbox.notifications").fetchone() == (0,)


def _notification(channel: str, payload: dict[str, Any]) -> outbox.Notification:
    return outbox.Notification(id=UUID(int=7), channel=channel, recipient="ada", payload=payload)


def test_what_is_delivered_is_the_type_again_and_a_text_is_the_id() -> None:
    receipt = sender(send_invoice)(_notification("invoice", {"order": 7, "amount": "9.90"}), "key")

    assert receipt.provider_message_id == "invoice-7"


def test_an_exception_is_tried_again_and_its_words_stay_unsaid() -> None:
    with pytest.raises(outbox.Temporary) as raised:
        sender(send_invoice)(_notification("invoice", {"order": 42, "amount": -1}), "key")

    assert raised.value.code == "ArithmeticError"
    assert "ArithmeticError at test_handlers.py:" in raised.value.detail
    assert "42" not in raised.value.detail.partition(".py:")[0]
    assert "negative" not in raised.value.detail


async def test_unless_they_are_to_be_told() -> None:
    with pytest.raises(outbox.Temporary, match="no width for ada"):
        await sender(shrink)(_notification("picture", {"path": "a.png"}), "key")


def test_a_payload_that_fits_no_more_is_a_dead_letter() -> None:
    with pytest.raises(outbox.Rejected, match=r"payload\.order: field required"):
        sender(send_invoice)(_notification("invoice", {"amount": 1}), "key")


def test_a_function_without_a_parameter_and_a_name_that_is_none_are_refused() -> None:
    with pytest.raises(TypeError, match="takes no payload"):
        outbox.handler("nightly")(lambda: None)
    with pytest.raises(ValueError, match="not a channel name"):
        outbox.handler("Nightly Report")


def test_modules_with_handlers_are_channels_unless_the_configuration_has_them() -> None:
    made = with_handlers(Config(), [__name__])

    assert made.channels["invoice"].providers == (send_invoice.path,)
    assert made.channels["invoice"].max_attempts == 3
    assert with_handlers(made, [__name__]).channels == made.channels


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (None, "there is no module nowhere_jobs"),
        ("x = 1\n", "has no function with @outbox.handler"),
        ("@outbox.handler('a')\ndef one(p): ...\n@outbox.handler('a')\ndef two(p): ...\n", "are both for a"),
        ("@outbox.handler('a')\ndef one(p: 'Missing'): ...\n", "cannot be read or written: NameError"),
        ("@outbox.handler('a', max_attempt=3)\ndef one(p): ...\n", "max_attempts"),
        ("import os\nos.environ['NO_SUCH_KEY']\n", "cannot be imported: KeyError at "),
        ("def\n", "cannot be imported: SyntaxError"),
    ],
)
def test_mistakes_in_modules_are_found_when_a_worker_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, problem: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nowhere_jobs", raising=False)
    if source is not None:
        (tmp_path / "nowhere_jobs.py").write_text(f"import outbox\n{source}")

    with pytest.raises(ConfigError, match=problem):
        with_handlers(Config(), ["nowhere_jobs"])


def test_a_module_that_cannot_be_imported_here_has_no_handler_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nowhere_jobs", raising=False)
    (tmp_path / "nowhere_jobs.py").write_text("import os\nos.environ['NO_SUCH_KEY']\n")
    channels = {"report": ChannelConfig(providers=("nowhere_jobs.write",))}
    config = Config(channels=channels, worker=WorkerConfig(handlers=("nowhere_jobs",)))
    assert handler_of(config, "report") is None
    assert handler_of(config, "email") is None


_JOBS = """
    from pathlib import Path

    import outbox


    @outbox.handler("report", max_attempts=2, backoff=["10ms"])
    def write_report(report: dict[str, str]) -> None:
        Path(report["path"]).write_text(report["text"])
"""


def test_a_worker_does_the_work_tries_again_and_gives_up(
    cloned_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs_of_mine.py").write_text(textwrap.dedent(_JOBS))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    import jobs_of_mine  # type: ignore[import-not-found]  # noqa: PLC0415 - it has just been written

    with psycopg.connect(cloned_url) as conn:
        jobs_of_mine.write_report.enqueue(conn, {"path": str(tmp_path / "report.txt"), "text": "all well"})
        jobs_of_mine.write_report.enqueue(conn, {"path": str(tmp_path / "no" / "where"), "text": "lost"})

    worker = ("worker", "--handlers", "jobs_of_mine", "--channel", "report", "--drain")
    assert run_process(cloned_url, *worker).returncode == 0

    assert (tmp_path / "report.txt").read_text() == "all well"
    while rows(cloned_url, "SELECT 1 FROM outbox.queue"):  # the second try, which may not have been due
        run_process(cloned_url, *worker)
    letters = rows(cloned_url, "SELECT error_class, error_code, attempts FROM outbox.dead_letters")
    assert letters == [("temporary", "FileNotFoundError", 2)]


def test_check_knows_them(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checked_jobs.py").write_text(textwrap.dedent(_JOBS))
    (tmp_path / "outbox.toml").write_text('[worker]\nhandlers = ["checked_jobs"]\n')
    monkeypatch.syspath_prepend(tmp_path)

    result = run(database_url, "check", "--config", tmp_path / "outbox.toml")

    assert result.exit_code == 0, result.output
    assert "report" in result.output


class Sealed(BaseModel):
    """Strict, and with another name in JSON."""

    model_config = ConfigDict(strict=True)

    order: int = Field(alias="orderNumber")
    at: datetime


class Token(BaseModel):
    value: SecretStr


@outbox.handler("sealed")
def unseal(sealed: Sealed) -> str:
    return f"{sealed.order} at {sealed.at:%Y}"


@outbox.handler("token")
def use(token: Token) -> None:
    assert token.value.get_secret_value()


def test_what_json_writes_otherwise_comes_back_as_it_was(conn: Connection) -> None:
    unseal.enqueue(conn, Sealed(orderNumber=7, at=datetime(2026, 1, 2, tzinfo=UTC)))
    row = conn.execute("SELECT payload FROM outbox.notifications").fetchone()
    assert row is not None

    assert sender(unseal)(_notification("sealed", row[0]), "key").provider_message_id == "7 at 2026"


def test_what_would_not_come_back_is_refused(conn: Connection) -> None:
    with pytest.raises(InvalidNotification, match="a secret"):
        use.enqueue(conn, Token(value=SecretStr("hunter2")))
