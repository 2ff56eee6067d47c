"""Looking up hosts: names that never resolve keep nobody waiting but themselves."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from outbox.channels.lookups import AT_ONCE, OF_ONE_DOMAIN, Lookups
from outbox.errors import Temporary
from tests.waiting import await_until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class NameServer:
    """Knows all hosts, and notes who is asked for; what has `dead` in its name has no answer until it is let go."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.let_go = threading.Event()

    def __call__(self, host: str) -> list[str]:
        self.asked.append(host)
        if "dead" in host:
            self.let_go.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return ["192.0.2.1"]


@asynccontextmanager
async def looking_up(**options: Any) -> AsyncIterator[tuple[NameServer, Lookups]]:
    server = NameServer()
    lookups = Lookups(server, **options)
    try:
        yield server, lookups
    finally:
        server.let_go.set()
        lookups.close()


def asking(lookups: Lookups, *hosts: str) -> list[asyncio.Future[list[str]]]:
    return [asyncio.ensure_future(lookups(host)) for host in hosts]


async def ends_of(asked: list[asyncio.Future[list[str]]]) -> set[type]:
    return {type(end) for end in await asyncio.gather(*asked, return_exceptions=True)}


async def test_a_host_is_looked_up_once_however_many_ask_for_it() -> None:
    async with looking_up() as (server, lookups):
        waiting = asking(lookups, *["dead.example"] * 500)
        await await_until(lambda: server.asked)
        assert await lookups("a.example") == ["192.0.2.1"]
        assert server.asked == ["dead.example", "a.example"]
        server.let_go.set()
        assert await ends_of(waiting) == {socket.gaierror}


async def test_an_answer_is_for_those_who_wait_and_not_for_later() -> None:
    async with looking_up() as (server, lookups):
        assert await asyncio.gather(*asking(lookups, "a.example", "a.example")) == [["192.0.2.1"]] * 2
        await lookups("a.example")
    assert server.asked == ["a.example"] * 2


async def test_who_gives_up_takes_nothing_from_the_others() -> None:
    async with looking_up() as (server, lookups):
        first, second = asking(lookups, "dead.example", "dead.example")
        await await_until(lambda: server.asked)
        first.cancel()
        assert await ends_of([first]) == {asyncio.CancelledError}
        third = asking(lookups, "dead.example")
        server.let_go.set()
        assert await ends_of([second, *third]) == {socket.gaierror}
    assert server.asked == ["dead.example"]


async def test_the_names_of_one_domain_leave_room_for_others() -> None:
    async with looking_up() as (server, lookups):
        waiting = asking(lookups, *(f"dead.{number}.example.org" for number in range(10 * AT_ONCE)))
        await await_until(lambda: len(server.asked) == OF_ONE_DOMAIN)
        assert await lookups("a.example.net") == ["192.0.2.1"]
        assert len(server.asked) == OF_ONE_DOMAIN + 1
        server.let_go.set()
        assert await ends_of(waiting) == {socket.gaierror}


async def test_when_all_places_are_taken_a_host_waits_its_turn_and_is_then_told_why() -> None:
    async with looking_up(patience=0.1) as (server, lookups):
        waiting = asking(lookups, *(f"dead.{number}.example" for number in range(AT_ONCE)))
        await await_until(lambda: len(server.asked) == AT_ONCE)
        with pytest.raises(Temporary, match="too many other hosts are being resolved"):
            await lookups("a.example")
        server.let_go.set()
        assert await ends_of(waiting) == {socket.gaierror}
        assert await lookups("a.example") == ["192.0.2.1"]


async def test_a_burst_of_hosts_is_looked_up_by_and_by() -> None:
    async with looking_up() as (server, lookups):
        hosts = [f"{number}.example.org" for number in range(400)]
        assert await asyncio.gather(*map(lookups, hosts)) == [["192.0.2.1"]] * 400
    assert sorted(server.asked) == sorted(hosts)


async def test_an_end_waits_for_no_answer() -> None:
    async with looking_up() as (server, lookups):
        waiting = asking(lookups, "dead.example")
        await await_until(lambda: server.asked)
        lookups.close()
        assert await ends_of(waiting) == {asyncio.CancelledError}
