"""Providers that are functions, that block, or that are there for every channel."""

from __future__ import annotations

import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from outbox.channels import load_provider
from outbox.channels.recorder import recorded
from outbox.channels.settings import ProviderSettings
from outbox.errors import ConfigError, Temporary
from outbox.messages import Digests, Email, Receipt, Sms
from outbox.outcomes import Retry, Sent
from tests.command_line import run_process
from tests.hands import enqueue, rows
from tests.recorder import drain, route
from tests.test_deliver import attempt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MESSAGE = Sms("+447700900001", "hello")


@pytest.fixture
def company(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("company_of_the_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


@pytest.fixture(autouse=True)
def _nothing_recorded() -> Iterator[None]:
    recorded.clear()
    yield
    recorded.clear()


@pytest.mark.parametrize(
    ("returned", "receipt"),
    [(None, Receipt()), ("id 7", Receipt("id 7")), (Receipt("id 8"), Receipt("id 8"))],
)
async def test_a_function_is_a_provider(company: ModuleType, returned: object, receipt: Receipt) -> None:
    async def waits(message: Sms, key: str) -> Any:
        assert (message, key) == (MESSAGE, "k")
        return returned

    def blocks(message: Sms, key: str) -> Any:
        assert (message, key) == (MESSAGE, "k")
        assert threading.current_thread() is not threading.main_thread()
        return returned

    company.waits, company.blocks = waits, blocks  # type: ignore[attr-defined]
    for name in ("waits", "blocks"):
        provider = load_provider("sms", f"{company.__name__}.{name}", {})
        assert await provider.send(MESSAGE, "k") == receipt
        await provider.aclose()


async def test_what_a_function_raises_means_what_it_means_from_any_provider(company: ModuleType) -> None:
    def busy(_message: Sms, _key: str) -> None:
        raise Temporary("busy", code="503")

    company.busy = busy  # type: ignore[attr-defined]
    to = route(load_provider("sms", f"{company.__name__}.busy", {}), channel="sms")  # type: ignore[arg-type]
    outcome = await attempt(to)
    assert isinstance(outcome, Retry)
    assert outcome.failure is not None
    assert outcome.failure.code == "503"
    await to.aclose()


async def test_blocking_functions_wait_side_by_side(company: ModuleType, database_url: str) -> None:
    meeting = threading.Barrier(20, timeout=30)

    def meet(_message: object, _key: str) -> None:
        meeting.wait()

    company.meet = meet  # type: ignore[attr-defined]
    enqueue(database_url, 20, channel="sms", recipient="+447700900001")
    to = route(load_provider("sms", f"{company.__name__}.meet", {}), channel="sms")  # type: ignore[arg-type]
    await drain(database_url, to)
    assert rows(database_url, "SELECT state, count(*) FROM outbox.status GROUP BY 1") == [("sent", 20)]


async def test_a_provider_whose_send_blocks_keeps_all_that_it_has(
    company: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Provider:
        key_lifetime = 60.0

        def __init__(self, _settings: object) -> None:
            self.closed = False

        def send(self, _message: object, key: str) -> Receipt:
            assert threading.current_thread() is not threading.main_thread()
            return Receipt(key)

        async def probe(self) -> None:
            """All is well."""

        async def aclose(self) -> None:
            self.closed = True

    mail = ModuleType(f"{company.__name__}.mail")
    mail.Settings, mail.Provider = ProviderSettings, Provider  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, mail.__name__, mail)
    provider: Any = load_provider("sms", f"{company.__name__}.mail", {})
    assert isinstance(await attempt(route(provider, channel="sms")), Sent)
    assert hasattr(provider, "probe")
    assert provider.key_lifetime == 60
    await provider.aclose()
    assert provider.closed


def test_a_function_takes_no_settings(company: ModuleType) -> None:
    company.send = lambda _message, _key: None  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="token"):
        load_provider("sms", f"{company.__name__}.send", {"token": "x"})


async def test_the_recorder_remembers_what_its_provider_was_given() -> None:
    provider = load_provider("sms", "recorder", {})
    await provider.send(MESSAGE, "k")
    assert recorded == [(MESSAGE, "k")]


async def test_the_console_prints_what_would_be_sent(capsys: pytest.CaptureFixture[str]) -> None:
    email = Email("ada@example.org", "Welcome", "Hello\nAda", None, {"X-Campaign": "spring"})
    email = email._replace(digests=Digests(b"1", b"2"))
    await load_provider("email", "console", {}).send(email, "k")
    assert capsys.readouterr().out.splitlines() == [
        "Email k",
        "  recipient: ada@example.org",
        "  subject: Welcome",
        "  text: Hello",
        "    Ada",
        '  headers: {"X-Campaign": "spring"}',
        "",
    ]


def test_a_worker_prints_to_the_console_on_any_channel(database_url: str, tmp_path: Path) -> None:
    (tmp_path / "outbox.toml").write_text('[channels.fax]\nproviders = ["console"]\n')
    enqueue(database_url, channel="fax", recipient="+441632960001", payload={"text": "hello"})
    done = run_process(database_url, "worker", "--channel", "fax", "--drain", "--config", tmp_path / "outbox.toml")
    assert done.returncode == 0, done.stderr
    assert 'payload: {"text": "hello"}' in done.stdout
    assert rows(database_url, "SELECT state, last_provider FROM outbox.status") == [("sent", "console")]
