"""The environment's proxies: providers go through them, and where strangers say whereto, nobody does."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from outbox import errors
from outbox.channels.guarded_settings import GuardedSettings
from tests.connect_proxy import ConnectProxy
from tests.providers.counterpart import KEY
from tests.providers.test_contract import NAMES, Case, context_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Case:
    """Every provider with a web API in turn; its files are in the working directory."""
    monkeypatch.chdir(tmp_path)
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return Case(request.param)


def is_guarded(case: Case) -> bool:
    return issubclass(case.module.Settings, GuardedSettings)


@asynccontextmanager
async def over_tls(case: Case) -> AsyncIterator[Any]:
    """The provider's API over TLS, which is what a tunnel is for."""
    async with case.server(context_of(case.authority)) as server:
        yield server


async def send(case: Case, url: str) -> None:
    async with case.at(url, ca_file="authority.pem") as provider:
        await provider.send(case.message(url), KEY)


async def test_it_goes_through_the_proxy_unless_a_stranger_says_whereto(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy() as proxy, over_tls(case) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.authority}")
        await send(case, server.url)
        assert len(server.requests) == 1
        assert set(proxy.tunnels) == (set() if is_guarded(case) else {server.url.removeprefix("https://")})


async def test_no_proxy_names_those_that_are_asked_directly(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    async with ConnectProxy() as proxy, over_tls(case) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.authority}")
        monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
        await send(case, server.url)
        assert (len(server.requests), proxy.tunnels) == (1, [])


async def test_a_proxy_that_wants_another_password_is_our_mistake_and_nothing_went_out(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_guarded(case):
        return
    async with ConnectProxy("user:right") as proxy, over_tls(case) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:wrong@{proxy.authority}")
        with pytest.raises(errors.Misconfigured, match="the proxy wants a user and a password") as refused:
            await send(case, server.url)
        assert (server.requests, proxy.tunnels, "wrong" in str(refused.value)) == ([], [], False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:right@{proxy.authority}")
        await send(case, server.url)
        assert len(server.requests) == 1


async def test_a_proxy_that_is_away_is_trouble_in_which_nothing_went_out(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ConnectProxy() as proxy:
        away = proxy.authority
    async with over_tls(case) as server:
        monkeypatch.setenv("HTTPS_PROXY", f"http://{away}")
        if is_guarded(case):
            await send(case, server.url)
            return
        with pytest.raises(errors.Temporary, match="no connection"):
            await send(case, server.url)
        assert server.requests == []
