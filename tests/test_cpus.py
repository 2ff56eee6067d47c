from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from outbox.config import cpus, load
from outbox.config.cpus import count_cpus

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("quota", "bound", "expected"),
    [
        ("max 100000", 8, 8),
        ("250000 100000", 8, 3),
        ("50000 100000", 8, 1),
        ("1600000 100000", 8, 8),
        ("nonsense", 8, 8),
        (None, 8, 8),
    ],
    ids=["no limit", "two and a half", "a half", "more than there are", "unreadable", "no such file"],
)
def test_a_container_has_as_many_processors_as_its_limit_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quota: str | None, bound: int, expected: int
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(f"{quota}\n")
    monkeypatch.setattr(cpus, "_QUOTA", file)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(bound)), raising=False)
    assert count_cpus() == expected


def test_auto_is_one_process_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(environ={}, overrides={"worker.processes": "auto"}).worker.processes == count_cpus()
    assert load(environ={"OUTBOX_WORKER_PROCESSES": "auto"}).worker.processes == count_cpus()
