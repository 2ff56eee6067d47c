"""The pictures of the documentation are what the code draws, and what they show is so."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import psycopg
import pytest

import outbox
from docsite.__main__ import PICTURES, pictures
from docsite.pictures import architecture, lease, states
from docsite.tree import DOCS
from outbox import outcomes, schema
from outbox.queue.release import release
from outbox.queue.replay import replay
from outbox.worker import lifeline
from tests.hands import TROUBLE, claim, enqueue, expire_leases, rows, settle

if TYPE_CHECKING:
    from uuid import UUID

    from outbox.queue.claim import Claimed

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [f"{name}.svg" for name in PICTURES])
def test_a_picture_is_what_the_code_draws(name: str) -> None:
    assert (DOCS / "images" / name).read_text(encoding="utf-8") == pictures()[name], "make reference, and look at it"


@pytest.mark.parametrize("name", [f"{name}.svg" for name in PICTURES])
def test_a_picture_says_in_words_what_it_shows(name: str) -> None:
    root = ET.fromstring(pictures()[name])  # noqa: S314 - ours
    title, description = (root.find(f"{{http://www.w3.org/2000/svg}}{part}") for part in ("title", "desc"))
    assert title is not None
    assert title.text
    assert description is not None
    assert len(description.text or "") > 100


@pytest.mark.parametrize("module", [architecture, states, lease])
def test_words_stay_within_their_boxes(module: object) -> None:
    assert module.draw().overflowing() == []  # type: ignore[attr-defined]


def test_the_parts_are_those_that_there_are() -> None:
    assert architecture.TABLES.keys() <= set(dir(schema))
    folder = ROOT / "outbox" / "channels"
    missing = [
        f"{channel}/{provider}.py"
        for channel, providers in architecture.CHANNELS.items()
        for provider in providers
        if not (folder / channel / f"{provider}.py").exists()
    ]
    assert missing == []
    channels = {path.parent.name for path in folder.glob("*/__init__.py")}
    assert channels == architecture.CHANNELS.keys()


def test_the_states_are_those_of_the_view_and_of_the_outcomes(conn: psycopg.Connection) -> None:
    (definition,) = conn.execute("SELECT pg_get_viewdef('outbox.status'::regclass)").fetchone() or ("",)
    assert set(re.findall(r"THEN '(\w+)'", definition)) == {*states.WAITING, "leased", "dead"}
    ends = {outcome.name for outcome in outcomes.Outcome.__subclasses__()} - {"retry", "deferred", "ambiguous"}
    assert ends == set(states.ENDS)


def test_the_ways_are_verbs_of_the_queue_and_every_outcome_is_one() -> None:
    verbs = {path.stem for path in (ROOT / "outbox" / "queue").glob("*.py")} | {"time"}
    assert {way.by for way in states.TRANSITIONS} <= verbs
    drawn = {way.outcome for way in states.TRANSITIONS if way.outcome}
    assert drawn == {outcome.name for outcome in outcomes.Outcome.__subclasses__()}


class Life:
    """One notification, brought into a state, and led from there."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.id: UUID | None = None
        self.claimed: list[Claimed] = []

    def state(self) -> str:
        found = rows(self.url, "SELECT state FROM outbox.status WHERE id = %s", self.id)
        return str(found[0][0]) if found else ""

    async def begin(self, state: str) -> None:
        """Bring a new one into a state, by the shortest way."""
        if state == "blocked":
            enqueue(self.url, ordering_key="order:42")
        given: dict[str, dict[str, Any]] = {
            "scheduled": {"run_at": timedelta(hours=1)},
            "blocked": {"ordering_key": "order:42"},
        }
        if state:
            (self.id,) = enqueue(self.url, **given.get(state, {}))
        if state in {"leased", "retrying", "deferred", "dead"}:
            await self.lead("claim")
        if state in {"retrying", "deferred", "dead"}:
            await self.lead("settle", {"retrying": "retry", "deferred": "deferred", "dead": "dead"}[state])

    async def lead(self, by: str, outcome: str = "", target: str = "") -> None:
        """Do what leads from a state to another."""
        if by == "enqueue":
            await self.begin(target)
        elif by == "claim":
            self.claimed = await claim(self.url, limit=1)
        elif by == "settle":
            await self._settle(outcome)
        elif by == "release":
            held = {claimed.id: claimed.claim for claimed in self.claimed}
            async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as conn:
                await release(conn, held=held, worker=1)
        elif by == "time":
            expire_leases(self.url)
            rows(self.url, "UPDATE outbox.queue SET run_at = now() WHERE worker IS NULL")
        else:
            with psycopg.connect(self.url) as conn:
                outbox.cancel(conn, id=self.id) if by == "cancel" else replay(conn, [str(self.id)])

    async def _settle(self, name: str) -> None:
        kind = {kind.name: kind for kind in outcomes.Outcome.__subclasses__()}[name]
        outcome = kind(
            provider="smtp",
            failure=None if name == "sent" else TROUBLE,
            delay=3600.0 if name in {"retry", "deferred", "ambiguous"} else None,
            reason="rejected" if name == "dead" else None,
        )
        if not self.claimed:
            await self.lead("claim")  # of the one ahead
        assert await settle(self.url, self.claimed[0], outcome)


@pytest.mark.parametrize("way", states.TRANSITIONS, ids=" ".join)
async def test_each_way_leads_there(way: states.Transition, cloned_url: str) -> None:
    life = Life(cloned_url)
    await life.begin(way.source)
    assert life.state() == way.source
    await life.lead(way.by, way.outcome, way.target)
    assert life.state() == way.target


def test_a_lease_is_renewed_three_times_before_it_is_over() -> None:
    assert lease.LEASE / 3 <= lifeline._LONGEST_HEARTBEAT  # noqa: SLF001
