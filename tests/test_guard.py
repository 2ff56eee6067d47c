"""What a stranger's URL may not reach is not reached: however it is written, whatever the DNS says, and whenever."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import sys
import threading
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from outbox import errors
from outbox.channels.guard import Guard
from outbox.channels.guarded_settings import TlsOptionalSettings
from outbox.channels.http import Client
from outbox.channels.special_addresses import Address, rule_against
from tests.providers.server import HttpServer, Reply, Request
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence
    from pathlib import Path

FORBIDDEN_4 = [
    "0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.1",  # noqa: S104 - to refuse them
    "10.255.255.254", "100.64.0.1", "100.100.100.200",
    "100.127.255.254", "127.0.0.1", "127.0.0.53", "127.1.2.3", "127.255.255.254", "168.63.129.16", "169.254.0.1",
    "169.254.169.253", "169.254.169.254", "169.254.170.2", "172.16.0.1", "172.17.0.1", "172.31.255.254", "192.0.0.1",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.254", "198.18.0.1", "198.19.255.254",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
]  # fmt: skip
FORBIDDEN_6 = [
    "::", "::1", "::2", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0.0.0.0",
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::a00:1", "64:ff9b:1::7f00:1", "64:ff9b:1::1", "100::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "2001:2::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
    "2002:a9fe:a9fe::", "2002:a00:1::1", "3fff::1", "4000::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fd20:ce::254",
    "fd12:3456:789a::1", "fe80::1", "fe80::1%1", "febf::1", "fec0::1", "ff02::1", "ff0e::1",
]  # fmt: skip
PUBLIC = ["1.1.1.1", "8.8.8.8", "100.128.0.1", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450:4001::1",
          "::ffff:8.8.8.8", "64:ff9b::808:808"]  # fmt: skip
NAME = "hooks.example.org"
PLAIN = [
    NAME,
    "localhost",
    *FORBIDDEN_4,
    *FORBIDDEN_6,
]  # to be asked without TLS, all of them, if it were for that alone
_connects: list[Any] = []
sys.addaudithook(lambda event, args: _connects.append(args[1]) if event == "socket.connect" else None)


class Resolver:
    """Answers each question with the next of its answers, over and over, and counts the questions."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = itertools.cycle(answers)
        self.asked = 0

    async def __call__(self, host: str) -> list[str]:
        assert host.endswith("example.org"), "what is written as an address is not asked for"
        self.asked += 1
        return list(next(self._answers))


class Sender:
    """Posts to URLs as providers do: through the guard's first look at the URL, or without it."""

    def __init__(self, resolve: Resolver | None = None, **settings: Any) -> None:
        given = TlsOptionalSettings(**{"http": PLAIN, "ports": range(1, 65_536), "connect_timeout": 5, **settings})
        self._guard = Guard(given, without_tls=given.http, resolve=resolve)
        self._client = Client(given, guard=self._guard)

    async def post(self, url: str, *, looked_at: bool = True) -> int:
        where = str(self._guard.check(url)) if looked_at else url
        return (await self._client.post(where, content=b"{}")).status

    async def refusal(self, url: str, *, looked_at: bool = True) -> str:
        with pytest.raises(errors.Rejected) as caught:
            await self.post(url, looked_at=looked_at)
        return caught.value.detail

    async def aclose(self) -> None:
        await self._client.aclose()
        self._guard.close()


@pytest.fixture
async def sender() -> AsyncIterator[Callable[..., Sender]]:
    made: list[Sender] = []

    def make(*answers: Sequence[str], **settings: Any) -> Sender:
        made.append(Sender(Resolver(*answers) if answers else None, **settings))
        return made[-1]

    yield make
    for each in made:
        await each.aclose()


@pytest.fixture
def connects() -> Iterator[list[Any]]:
    """Every connect of this process, by whatever library, while the test runs."""
    _connects.clear()
    yield _connects
    _connects.clear()


def written(address: str) -> Iterator[str]:
    """Yield the ways to write a host that programs somewhere take for an IPv4 address."""
    number = int(IPv4Address(address))
    one, two, three, four = IPv4Address(address).packed
    yield from (address, f"{address}.", str(number), f"0{number:o}", f"0x{number:x}", f"0x{number:X}")
    yield from (f"0{one:o}.0{two:o}.0{three:o}.0{four:o}", f"0x{one:x}.0x{two:x}.0x{three:x}.0x{four:x}")
    yield from (f"{one}.{number & 0xFFFFFF}", f"{one}.{two}.{number & 0xFFFF}", f"{one}.0x{two:x}.0{three:o}.{four}")
    yield from (f"00{one}.{two}.{three}.{four}", address.replace(".", "。"), address.replace(".", "%2e"))
    yield "".join(chr(ord(char) + 0xFEE0) for char in address)  # full-width
    yield from (f"[::ffff:{address}]", f"[::{address}]", f"[64:ff9b::{address}]", f"[::ffff:0:{address}]")
    yield from (f"[2002:{one:02x}{two:02x}:{three:02x}{four:02x}::1]", f"[64:ff9b:1::{address}]")
    yield from (f"[::ffff:{one:x}{two:02x}:{three:x}{four:02x}]", f"[0:0:0:0:0:ffff:{address}]")


def test_forbidden_addresses_have_a_rule_and_public_ones_none() -> None:
    assert len(FORBIDDEN_4 + FORBIDDEN_6) >= 60
    assert [address for address in FORBIDDEN_4 + FORBIDDEN_6 if rule_against(ip_address(address)) is None] == []
    assert [address for address in PUBLIC if rule_against(ip_address(address)) is not None] == []


def test_the_rule_is_the_one_for_what_an_address_stands_for() -> None:
    loopback: list[Address] = [
        IPv4Address("127.0.0.1"),
        IPv6Address("::1"),
        *map(IPv6Address, ("::ffff:7f00:1", "64:ff9b::7f00:1")),
    ]
    assert {rule_against(address) for address in loopback} == {"a loopback address"}


@pytest.mark.parametrize("looked_at", [True, False], ids=["looked at", "connected to at once"])
async def test_no_way_to_write_a_forbidden_address_reaches_it(
    sender: Callable[..., Sender], connects: list[Any], *, looked_at: bool
) -> None:
    guarded = sender()
    hosts = [host for address in FORBIDDEN_4 for host in written(address)]
    hosts += [f"[{address.replace('%', '%25')}]" for address in FORBIDDEN_6]
    hosts += [f"{user}@{host}" for user in (NAME, "a:b", "") for host in hosts[::7]]
    for number, host in enumerate(hosts):
        await guarded.refusal(f"http{'s' * (number % 2)}://{host}/", looked_at=looked_at)
    assert connects == []


async def test_no_answer_of_a_resolver_reaches_a_forbidden_address(
    sender: Callable[..., Sender], connects: list[Any]
) -> None:
    beside: tuple[list[str], ...] = ([], [PUBLIC[0]], [PUBLIC[5]], PUBLIC)
    answers = [[*some, address] for address in FORBIDDEN_4 + FORBIDDEN_6 for some in beside]
    answers += [answer[::-1] for answer in answers]
    guarded = sender(*answers)
    for answer in answers:
        detail = await guarded.refusal(f"http://{NAME}/")
        assert "its host is, or resolves to, a" in detail
        assert not any(address in detail for address in answer if len(address) > 2), "which one is nobody's business"
    assert connects == []


async def test_names_of_this_machine_are_resolved_and_refused(
    sender: Callable[..., Sender], connects: list[Any]
) -> None:
    guarded = sender()
    for host in ("localhost", "LOCALHOST", "LocalHost"):
        assert "a loopback address" in await guarded.refusal(f"http://{host}/")
    assert [address for address in connects if isinstance(address, tuple)] == []


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        (f"http://user:secret@{NAME}/", "a user or a password"),
        (f"http://{NAME}:secret@example.org/", "a user or a password"),
        (f"http://user@{NAME}", "a user or a password"),
        (f"http://a\\@{NAME}/", "a backslash"),
        (f"http://{NAME}\t/", "a control character"),
        (f"http://{NAME}/a b", "a space"),
        (f"http://{NAME}\r\nHost: evil/", "a control character"),
        (f"ftp://{NAME}/", "does not begin with"),
        ("file:///etc/passwd", "does not begin with"),
        (f"gopher://{NAME}:6379/_FLUSHALL", "does not begin with"),
        (f"//{NAME}/", "does not begin with"),
        ("hooks", "does not begin with"),
        ("", "does not begin with"),
        ("http:///hooks", "no name of a host"),
        (f"http://{NAME}./", "no name of a host"),
        ("http://a..b/", "no name of a host"),
        ("http://-a.example.org/", "no name of a host"),
        (f"http://{'a' * 64}.example.org/", "no name of a host"),
        (f"http://{'a.' * 127}com/", "no name of a host"),
        ("http://ex%61mple.org/", "no name of a host"),
        ("http://[::1/", "not a URL"),
        ("http://[v1.a]/", "not a URL"),
        ("http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "not a URL"),
        ("http://256.256.256.256/", "not a URL"),
        ("http://1.2.3/", "is a number"),
    ],
)
async def test_a_url_is_refused_by_a_rule_that_is_told(sender: Callable[..., Sender], url: str, rule: str) -> None:
    detail = await sender(["93.184.216.34"]).refusal(url)
    assert rule in detail
    assert "secret" not in detail


async def test_only_some_ports_are_allowed_and_tls_is_required(sender: Callable[..., Sender]) -> None:
    strict = sender(["127.0.0.1"], ports=[443, 80], http=[])
    for port in (1, 22, 25, 5432, 6379, 8080, 65_535):
        assert "its port" in await strict.refusal(f"https://{NAME}:{port}/")
        assert "its port" in await strict.refusal(f"https://{NAME}:{port}/", looked_at=False)
    assert "begin with https://" in await strict.refusal(f"http://{NAME}/")
    assert "a loopback address" in await strict.refusal(f"https://{NAME}:443/")


async def test_a_name_that_resolves_differently_each_time_reaches_only_what_was_checked(
    connects: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer alternates between an address that is allowed and one that is not; both have a server."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    outcomes = []
    async with HttpServer(lambda _: Reply(204, b"", {"connection": "close"})) as allowed, forbidden(allowed) as hits:
        port = int(allowed.url.rpartition(":")[2])
        resolver = Resolver(["127.0.0.1"], ["127.0.0.2"], ["127.0.0.1", "127.0.0.2"])
        guarded = Sender(resolver, allow=["127.0.0.1/32"])
        for _ in range(1_000):
            try:
                outcomes.append(await guarded.post(f"http://{NAME}:{port}/"))
            except errors.Rejected:
                outcomes.append(0)
        await guarded.aclose()
    assert outcomes == ([204, 0, 0] * 334)[:1_000]
    assert resolver.asked == 1_000, "one resolution an attempt"
    assert hits == []
    assert {address[0] for address in connects if isinstance(address, tuple)} == {"127.0.0.1"}


class forbidden:  # noqa: N801 - reads as a part of the sentence
    """A listening socket on 127.0.0.2, at the port of a server on 127.0.0.1; notes whoever connects."""

    def __init__(self, beside: HttpServer) -> None:
        self._port = int(beside.url.rpartition(":")[2])
        self._hits: list[str] = []

    async def __aenter__(self) -> list[str]:
        def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._hits.append(writer.get_extra_info("peername"))
            writer.close()

        self._server = await asyncio.start_server(note, "127.0.0.2", self._port)
        return self._hits

    async def __aexit__(self, *_: object) -> None:
        self._server.close()


async def test_a_connection_that_is_kept_is_to_what_was_checked() -> None:
    resolver = Resolver(["127.0.0.1"], ["127.0.0.2"])
    async with HttpServer(lambda _: Reply(204)) as allowed, forbidden(allowed) as hits:
        guarded = Sender(resolver, allow=["127.0.0.1"])
        url = f"http://{NAME}:{allowed.url.rpartition(':')[2]}/"
        assert [await guarded.post(url) for _ in range(5)] == [204] * 5
        await guarded.aclose()
    assert resolver.asked == 1
    assert hits == []


async def test_a_redirect_inside_is_not_followed(sender: Callable[..., Sender]) -> None:
    async with HttpServer(lambda _: Reply(302, b"", {"location": "http://127.0.0.2/"})) as server:
        assert await sender(allow=["127.0.0.1"]).post(server.url) == 302
        assert len(server.requests) == 1


async def test_the_first_address_that_answers_is_taken_and_no_error_names_one(sender: Callable[..., Sender]) -> None:
    async with HttpServer(lambda _: Reply(204)) as server:
        port = server.url.rpartition(":")[2]
        assert await sender(["127.0.0.2", "127.0.0.1"], allow=["127.0.0.0/8"]).post(f"http://{NAME}:{port}/") == 204
    with pytest.raises(errors.Temporary) as caught:
        await sender(["127.0.0.2", "127.0.0.1"], allow=["127.0.0.0/8"]).post(f"http://{NAME}:{port}/")
    assert "127" not in caught.value.detail


async def test_what_does_not_resolve_is_temporary() -> None:
    async def nothing(_host: str) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def no_answer(_host: str) -> list[str]:
        await asyncio.sleep(60)
        return []

    for resolve in (nothing, no_answer, Resolver([])):
        guarded = Sender(resolve, connect_timeout=0.1)  # type: ignore[arg-type]
        with pytest.raises(errors.Temporary):
            await guarded.post(f"http://{NAME}/")
        await guarded.aclose()


async def test_tls_and_the_host_header_keep_the_name(sender: Callable[..., Sender], tmp_path: Path) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(NAME).configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    asked_for: list[str | None] = []
    context.sni_callback = lambda _object, name, _context: asked_for.append(name)
    async with HttpServer(lambda _: Reply(204), tls=context) as server:
        port = server.url.rpartition(":")[2]
        guarded = sender(["127.0.0.1"], allow=["127.0.0.1"], ca_file=tmp_path / "ca.pem")
        assert await guarded.post(f"https://{NAME}:{port}/") == 204
        assert asked_for == [NAME]
        assert server.requests[0].headers["host"] == f"{NAME}:{port}"
        with pytest.raises(errors.Temporary, match="CERTIFICATE_VERIFY_FAILED"):
            await guarded.post(f"https://other.example.org:{port}/")  # at the same address: no connection is shared
    assert len(server.requests) == 1


async def test_what_is_allowed_by_name_or_network_is_reached_and_nothing_beside_it(
    sender: Callable[..., Sender],
) -> None:
    async with HttpServer(lambda _: Reply(204)) as server:
        port = server.url.rpartition(":")[2]
        for allow in ("127.0.0.1", "127.0.0.0/30", "::ffff:127.0.0.1", NAME, NAME.upper()):
            assert await sender(["127.0.0.1"], allow=[allow]).post(f"http://{NAME}:{port}/") == 204
        for allow in ("127.0.0.2", "10.0.0.0/8", "::1", "example.org", f"x.{NAME}", "::/0"):
            await sender(["127.0.0.1"], allow=[allow]).refusal(f"http://{NAME}:{port}/")


@pytest.mark.parametrize("entry", ["bücher.example.org", "BÜCHER.example.org", "XN--BCHER-KVA.example.org"])
async def test_a_name_that_is_allowed_may_be_written_in_letters_or_in_ascii(
    sender: Callable[..., Sender], entry: str
) -> None:
    async with HttpServer(lambda _: Reply(204)) as server:
        port = server.url.rpartition(":")[2]
        guarded = sender(["127.0.0.1"], allow=[entry], http=[entry])
        for host in ("bücher.example.org", "Bücher.example.org", "xn--bcher-kva.example.org"):
            assert await guarded.post(f"http://{host}:{port}/") == 204
        await guarded.refusal(f"http://bucher.example.org:{port}/")


@pytest.mark.parametrize(
    "entry",
    ["10.0.0.1/8", "http://a", "a b", "", "127.1", "a.", "*.example.org", "a:443", "bücher..example", "bü cher.example",
     "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ", "ü" * 60, "bu\u0308cher.example"],
)  # fmt: skip
def test_what_is_allowed_must_be_a_host_or_a_network(entry: str) -> None:
    with pytest.raises(ValueError, match="each must be a host's name, an address, or a network"):
        TlsOptionalSettings(allow=(entry,))


async def test_without_tls_only_hosts_are_asked_that_are_named_for_it(sender: Callable[..., Sender]) -> None:
    async with HttpServer(lambda _: Reply(204)) as server:
        port = server.url.rpartition(":")[2]
        guarded = sender(["127.0.0.1"], allow=["127.0.0.1"], http=["127.0.0.1", NAME.upper()])
        for host in ("127.0.0.1", NAME, NAME.upper()):
            assert await guarded.post(f"http://{host}:{port}/") == 204
        for host in (f"x.{NAME}", "example.org", "localhost", "127.0.0.2", "[::1]"):
            detail = await guarded.refusal(f"http://{host}:{port}/")
            assert detail.endswith("it does not begin with https://, and its host is not one that http names")
        assert "its host is, or resolves to" in await sender(["127.0.0.1"]).refusal(f"http://{NAME}:{port}/")


@pytest.mark.parametrize("entry", ["10.0.0.0/8", "http://a", "a:80", "*", "", "127.1", "[::1]"])
def test_what_is_asked_without_tls_must_be_a_host(entry: str) -> None:
    with pytest.raises(ValueError, match="each must be a host's name, or an address"):
        TlsOptionalSettings(http=(entry,))


def test_that_any_host_is_asked_without_tls_cannot_be_said() -> None:
    for switch in (True, False, ["True"], ["false"]):
        with pytest.raises(ValueError, match=r'name those that it is for, such as \["localhost", "10.0.0.5"\]'):
            TlsOptionalSettings(http=switch)  # type: ignore[arg-type]  # as it comes from a file, or from the environment


async def test_the_system_is_asked_by_default(
    sender: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch, connects: list[Any]
) -> None:
    def answer(host: str, _port: None, **_: object) -> list[tuple[Any, ...]]:
        assert host == NAME
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert "a private address" in await sender().refusal(f"http://{NAME}/")
    assert connects == []


async def test_a_host_that_never_resolves_keeps_no_other_waiting(
    sender: Callable[..., Sender], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ended = threading.Event(), threading.Event()

    def answer(host: str, *_: object, **__: object) -> list[tuple[Any, ...]]:
        if host != NAME:
            asked.set()
            ended.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    async with HttpServer(lambda _: Reply(204)) as server:
        port = server.url.rpartition(":")[2]
        guarded = sender(allow=["127.0.0.1"], http=[NAME, "dead.example.org"])
        monkeypatch.setattr(socket, "getaddrinfo", answer)
        dead = [asyncio.ensure_future(guarded.post(f"http://dead.example.org:{port}/")) for _ in range(200)]
        try:
            await await_until(asked.is_set)
            assert await guarded.post(f"http://{NAME}:{port}/") == 204
            assert not any(one.done() for one in dead)
        finally:
            ended.set()
            ends = await asyncio.gather(*dead, return_exceptions=True)
    assert {type(end) for end in ends} == {errors.Temporary}


async def test_a_request_looks_like_any_other(sender: Callable[..., Sender]) -> None:
    seen: list[Request] = []

    def note(request: Request) -> Reply:
        seen.append(request)
        return Reply(200, b"ok")

    async with HttpServer(note) as server:
        assert await sender(allow=["127.0.0.1"]).post(f"{server.url}/a%20b/%C3%BC?c=d&e") == 200
    assert (seen[0].method, seen[0].target, seen[0].body) == ("POST", "/a%20b/%C3%BC?c=d&e", b"{}")
