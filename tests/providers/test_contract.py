"""The contract that every provider with a web API keeps, tried against its counterpart; both are found by name."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import socket
import ssl
import tomllib
import traceback
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules, walk_packages
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from outbox import channels, errors
from outbox.channels import load_provider
from outbox.channels.settings import ConnectionSettings
from tests import providers as far_sides
from tests.providers.counterpart import CANARY, KEY, Counterpart, Refusal
from tests.providers.server import Act, BreakOff, HangUp, Reply, Silence, Stall

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from outbox.channels import Provider
    from tests.providers.server import HttpServer, Request


def _over_http() -> Iterator[str]:
    for found in walk_packages(channels.__path__, channels.__name__ + "."):
        module = import_module(found.name)
        settings = getattr(module, "Settings", None)
        if hasattr(module, "Provider") and settings is not None and issubclass(settings, ConnectionSettings):
            yield ".".join(found.name.split(".")[-2:])


NAMES = sorted(_over_http())
PAGES = Path(__file__).parents[2] / "docs" / "providers"


class Case:
    """One provider and its counterpart; its files are in the working directory."""

    def __init__(self, name: str) -> None:
        self.channel, self.provider = name.split(".")
        self.module = import_module(f"{channels.__name__}.{name}")
        self.far: Counterpart = import_module(f"tests.providers.{self.channel}_{self.provider}").COUNTERPART
        self.scheme = "https" if self.far.tls else "http"
        self.authority = trustme.CA()

    def server(
        self, tls: ssl.SSLContext | None = None, *, answer: Callable[[Request], Act] | None = None
    ) -> HttpServer:
        """Return the API as a server: over TLS if it needs that, or if given how."""
        tls = tls or (context_of(self.authority) if self.far.tls else None)
        return self.far.server(answer or self.far.accept, tls=tls, aside=self.far.aside)

    def meaning(self, status: int, elsewhere: type[errors.DeliveryError]) -> type[errors.DeliveryError]:
        """Return what a status means to this provider, if not what it means elsewhere."""
        return self.far.statuses.get(status, elsewhere)

    @property
    def rows(self) -> set[str | int]:
        """The rows of the provider's tables: its codes, which are text, and its statuses, which are numbers."""
        return {*getattr(self.module, "CODES", {}), *getattr(self.module, "STATUSES", {})}

    def message(self, url: str) -> Any:
        return self.far.message(url) if callable(self.far.message) else self.far.message

    def write_files(self, url: str) -> None:
        self.authority.cert_pem.write_to_path("authority.pem")
        for file, content in self.far.files(url).items():
            Path(file).write_text(content, encoding="utf-8")

    @asynccontextmanager
    async def at(self, url: str, **settings: Any) -> AsyncIterator[Provider]:
        """Open the provider with its API at `url`."""
        self.write_files(url)
        by_url = {"url": url} if "url" in self.module.Settings.model_fields else {}
        where = self.far.settings_at(url) if self.far.settings_at else by_url
        trusted = {"ca_file": "authority.pem"} if self.far.tls else {}
        given = {**self.far.settings, **where, **trusted, "timeout": 10, **settings}
        provider = load_provider(self.channel, self.provider, given)
        try:
            yield provider
        finally:
            await provider.aclose()

    async def failure(self, url: str, **settings: Any) -> errors.DeliveryError:
        """Return what sending to `url` raises, which must not tell what the message says, nor a secret."""
        async with self.at(url, **settings) as provider:
            with pytest.raises(errors.DeliveryError) as caught:
                await provider.send(self.message(url), KEY)
        told = "".join(traceback.format_exception(caught.value))
        for secret in (CANARY, *self.far.secrets):
            assert secret not in told
        return caught.value

    async def failure_after(self, *acts: Act, **settings: Any) -> errors.DeliveryError:
        """Return what sending raises when the API does this."""
        async with self.server() as server:
            server.script.extend(acts)
            return await self.failure(server.url, **settings)


def context_of(authority: trustme.CA) -> ssl.SSLContext:
    """Return what a server on 127.0.0.1 needs to show a certificate of this authority's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(params=NAMES)
def case(
    request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Case]:
    """Every provider in turn; nothing that is logged meanwhile, at any level, may hold a secret."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.chdir(tmp_path)
    it = Case(request.param)
    yield it
    for secret in (CANARY, *it.far.secrets):
        assert secret not in caplog.text


def test_there_are_providers_and_no_counterpart_without_one() -> None:
    known = {found.name for found in iter_modules(far_sides.__path__) if "_" in found.name}
    assert {name.replace(".", "_") for name in NAMES} == {name for name in known if not name.startswith("test_")}


async def test_a_message_arrives_as_the_documentation_wants_it(case: Case) -> None:
    async with case.server() as server, case.at(server.url) as provider:
        receipts = [await provider.send(case.message(server.url), KEY) for _ in range(2)]
    assert [receipt.provider_message_id for receipt in receipts] == [case.far.receipt] * 2
    first, second = map(case.far.same, server.requests)
    assert first == second, "every attempt is the same"


def test_every_row_of_the_tables_is_tried(case: Case) -> None:
    assert case.rows
    assert case.rows <= {refusal.row for refusal in case.far.refusals}


def test_a_code_is_text_and_a_status_is_a_number(case: Case) -> None:
    assert all(isinstance(code, str) for code in getattr(case.module, "CODES", {}))
    assert all(isinstance(status, int) for status in getattr(case.module, "STATUSES", {}))
    assert all(refusal.reply.status == refusal.row for refusal in case.far.refusals if isinstance(refusal.row, int))


async def test_a_refusal_means_what_the_tables_say(case: Case) -> None:
    for refusal in case.far.refusals:
        await _check(case, refusal)


async def _check(case: Case, refusal: Refusal) -> None:
    error = await case.failure_after(refusal.reply)
    assert type(error) is refusal.means, f"{refusal.row or refusal.reply}: {error!r}"
    assert error.code
    if refusal.retry_after is not None:
        assert getattr(error, "retry_after", None) == pytest.approx(refusal.retry_after, abs=2)


async def test_what_a_status_means_without_a_code_that_is_known(case: Case) -> None:
    known = {302: errors.Misconfigured, 401: errors.Misconfigured, 503: errors.Temporary, 418: errors.Unrecognised}
    for status, means in {**known, 500: errors.Ambiguous, 502: errors.Ambiguous, 504: errors.Ambiguous}.items():
        error = await case.failure_after(Reply(status, b"<h1>oh</h1>"))
        assert type(error) is case.meaning(status, means), status


async def test_a_wrong_secret_is_misconfigured(case: Case) -> None:
    means = case.meaning(case.far.refused.status, errors.Misconfigured)
    assert type(await case.failure_after(case.far.refused)) is means


@pytest.mark.parametrize("as_date", [False, True], ids=["in seconds", "as a date"])
async def test_a_rate_limit_is_throttled_for_as_long_as_it_says(case: Case, *, as_date: bool) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    error = await case.failure_after(Reply(429, case.far.too_many, {"Retry-After": until if as_date else "90"}))
    assert isinstance(error, errors.Throttled)
    assert error.retry_after == pytest.approx(90, abs=5)


async def test_nobody_there_is_temporary(case: Case) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        error = await case.failure(f"{case.scheme}://127.0.0.1:{unused.getsockname()[1]}")
    assert type(error) is errors.Temporary
    assert "no connection" in error.detail


async def test_silence_before_anything_was_sent_is_temporary(case: Case) -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()
        closed.set()

    ended, closed = asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    error = await case.failure(f"https://127.0.0.1:{port}", connect_timeout=0.2)
    ended.set()
    await closed.wait()
    server.close()
    assert type(error) is errors.Temporary


async def test_a_certificate_that_nobody_trusts_is_temporary_and_nothing_is_sent(case: Case) -> None:
    async with case.server(context_of(trustme.CA())) as server:
        error = await case.failure(server.url)
    assert type(error) is errors.Temporary
    assert "CERTIFICATE_VERIFY_FAILED" in error.detail
    assert server.requests == []


async def test_a_certificate_of_ones_own_authority_is_taken(case: Case, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with (
        case.server(context_of(authority)) as server,
        case.at(server.url, ca_file=tmp_path / "ca.pem") as provider,
    ):
        assert (await provider.send(case.message(server.url), KEY)).provider_message_id == case.far.receipt


# httpcore leaves the socket of a handshake that is cancelled to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_what_a_stop_cuts_off_before_it_went_out_was_not_sent(case: Case) -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await ended.wait()
        writer.close()
        closed.set()

    connected, ended, closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with case.at(url) as provider:
        sending = asyncio.ensure_future(provider.send(case.message(url), KEY))
        await connected.wait()
        sending.cancel()
        with pytest.raises(errors.NotSent):
            await sending
    ended.set()
    await closed.wait()
    server.close()
    gc.collect()


@pytest.mark.parametrize(
    "act", [Silence(), HangUp(), HangUp(b"HTTP/1.1 20"), HangUp(b"220 smtp.example.org ready\r\n")], ids=str
)
async def test_no_answer_after_it_went_out_is_ambiguous(case: Case, act: Act) -> None:
    assert type(await case.failure_after(act, timeout=0.5 if act == Silence() else 10)) is errors.Ambiguous


@pytest.mark.parametrize(
    "act",
    [
        Reply(200, b"\x00\xff<html>junk"),
        Reply(200, b"[" * 100_000),
        Reply(200, b"x" * 10_000_000),
        Reply(200, b"\x1f\x8b junk", {"content-encoding": "gzip"}),
        Reply(204),
        BreakOff(),
        BreakOff(after=b"\0" * 64),
        Stall(),
    ],
    ids=["junk", "deep", "10 MB", "not gzip", "empty", "half", "half and junk", "stalled"],
)
async def test_whatever_follows_a_2xx_it_is_accepted(case: Case, act: Act) -> None:
    async with case.server() as server, case.at(server.url, timeout=1 if act == Stall() else 10) as provider:
        server.script.append(act)
        assert (await provider.send(case.message(server.url), KEY)).provider_message_id is None


@pytest.mark.parametrize("act", [Reply(401, b"x" * 10_000_000), Stall(401)], ids=["10 MB", "stalled"])
async def test_whatever_follows_a_refusal_it_is_refused(case: Case, act: Act) -> None:
    timeout = 1 if isinstance(act, Stall) else 10
    assert type(await case.failure_after(act, timeout=timeout)) is case.meaning(401, errors.Misconfigured)


async def test_a_probe_checks_the_secrets_and_sends_nothing(case: Case) -> None:
    if case.far.probe_at is not None:
        return  # see below
    if case.far.probed is None:
        assert not hasattr(case.module.Provider, "probe")
        return
    async with case.server(answer=case.far.probed) as server, case.at(server.url) as provider:
        probe: Any = provider
        await probe.probe()
        server.script.append(case.far.refused)
        with pytest.raises(errors.Misconfigured):
            await probe.probe()


async def test_a_probe_that_only_looks_whether_somebody_is_there_takes_any_answer(case: Case) -> None:
    if case.far.probe_at is None:
        return
    async with case.server() as server:
        server.script += [Reply(401), Reply(404), Reply(503)]
        async with case.at(server.url, **case.far.probe_at(server.url)) as provider:
            probe: Any = provider
            for _ in range(3):
                await probe.probe()
        assert [request.method for request in server.requests] == ["HEAD"] * 3
        async with case.at(server.url, **case.far.probe_at(server.url), ports=[1]) as provider:
            probe = provider
            with pytest.raises(errors.Rejected, match="its port is none of those allowed"):
                await probe.probe()
        url = server.url
    async with case.at(url, **case.far.probe_at(url), connect_timeout=5) as provider:
        probe = provider
        with pytest.raises(errors.Temporary, match=r"^127\.0\.0\.1: no connection") as refused:
            await probe.probe()
        assert "the-capability" not in str(refused.value)


def test_its_settings_never_print_a_secret(case: Case) -> None:
    case.write_files("https://api.example.org")
    settings = case.module.Settings.model_validate(dict(case.far.settings))
    for secret in case.far.secrets:
        assert secret not in f"{settings!r} {settings}"
    with pytest.raises(errors.ConfigError) as caught:
        load_provider(case.channel, case.provider, {**case.far.settings, "no_such_key": 1})
    assert "no_such_key" in str(caught.value)


def test_it_has_a_page_with_every_key_and_code_and_an_example_that_is_right(case: Case) -> None:
    page = (PAGES / f"{case.provider}.md").read_text(encoding="utf-8")
    for code in case.rows:
        assert f"`{code}`" in page, f"{code} is missing"
    for key in case.module.Settings.model_fields:
        assert f"`{key}`" in page, f"{key} is missing"
    (example,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert case.provider in tomllib.loads(example)["channels"][case.channel]["providers"]
    case.write_files("https://api.example.org")
    load_provider(case.channel, case.provider, tomllib.loads(example)["providers"][case.provider])
