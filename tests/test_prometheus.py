"""A real Prometheus with our rules beside a real worker: what it scrapes is well made, and its alerts come and go."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from tests.command_line import run
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.promql import needs_promtool, promtool
from tests.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    needs_promtool,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs Debian's package prometheus"),
    pytest.mark.timeout(240),
]

CONFIG = """
[channels.email]
providers = ["tests.switch"]
backoff = ["1s"]
max_attempts = 50
[providers."tests.switch"]
path = "{switch}"
[worker]
lease = "2s"
idle_poll = "100ms"
"""

SCRAPING = """
global: {{scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: outbox
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """Scrapes one target every two seconds, in the `with` block; no alert is pending for more than one."""

    def __init__(self, folder: Path, target: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._folder = folder
        folder.mkdir()
        rules = re.sub(r"^( +for:) \w+$", r"\1 1s", run("", "alerts").stdout, flags=re.MULTILINE)
        (folder / "alerts.yml").write_text(rules)
        (folder / "prometheus.yml").write_text(SCRAPING.format(target=target))

    def __enter__(self) -> Self:
        words = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=warn"]
        words.append(f"--web.listen-address={self._url.removeprefix('http://')}")
        self._log = (self._folder / "log").open("wb")
        self._process = subprocess.Popen(words, cwd=self._folder, stdout=self._log, stderr=self._log)
        wait_until(self._is_ready, timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._log.close()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            return httpx.get(f"{self._url}/-/ready", timeout=5).is_success
        except httpx.TransportError:
            return False

    def _ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self._url}/api/v1/{path}", params=parameters, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def value(self, expression: str) -> float:
        """The one value of an expression; 0 where there is none."""
        result = self._ask("query", query=expression)["result"]
        return float(result[0]["value"][1]) if result else 0.0

    def alerts(self) -> dict[str, dict[str, Any]]:
        """The alerts that fire, by name."""
        return {one["labels"]["alertname"]: one for one in self._ask("alerts")["alerts"] if one["state"] == "firing"}

    def fired(self, name: str) -> dict[str, Any]:
        """An alert, as soon as it fires."""
        return wait_until(lambda: self.alerts().get(name, {}), timeout=60)

    def broken_rules(self) -> list[str]:
        every = [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]
        assert len(every) > 20
        return [f"{rule['name']}: {rule['lastError']}" for rule in every if rule.get("lastError")]


@pytest.fixture
def switch(tmp_path: Path) -> Path:
    file = tmp_path / "switch"
    file.write_text("up")
    return file


def start(fleet: Fleet, folder: Path, config: str, *arguments: str) -> str:
    """Start a worker with this configuration; return where its metrics are served."""
    (folder / "outbox.toml").write_text(config)
    process = fleet.start("--metrics-port", "0", "--metrics-host", "127.0.0.1", *arguments)

    def served() -> list[str]:
        assert process.poll() is None, fleet.log()
        return re.findall(r"metrics at http://(127\.0\.0\.1:\d+)/metrics", fleet.log())

    return wait_until(served, timeout=60)[-1]


def test_an_alert_fires_when_a_provider_fails_and_ends_when_it_is_back(
    tmp_path: Path, cloned_url: str, switch: Path
) -> None:
    with Fleet(tmp_path, cloned_url) as fleet:
        target = start(fleet, tmp_path, CONFIG.format(switch=switch))
        with Prometheus(tmp_path / "prometheus", target) as prometheus:
            enqueue(cloned_url, 20)
            sent = 'sum(outbox_attempts_total{job="outbox",channel="email",outcome="sent"})'
            wait_until(lambda: prometheus.value(sent) == 20, timeout=60)
            wait_until(lambda: prometheus.alerts() == {}, timeout=60)  # at first, nothing has been scraped

            switch.write_text("down")
            enqueue(cloned_url, 60)
            held = prometheus.fired("OutboxProviderHeld")
            assert held["labels"] | {"provider": "tests.switch", "channel": "email"} == held["labels"]
            assert held["annotations"]["runbook_url"] == "docs/alerts.md#outboxproviderheld"
            assert held["annotations"]["summary"].startswith("tests.switch is held on email: ")
            stopped = prometheus.fired("OutboxChannelHeld")
            assert stopped["labels"]["severity"] == "critical"

            switch.write_text("up")
            wait_until(lambda: prometheus.value(sent) == 80, timeout=90)
            wait_until(lambda: not {"OutboxProviderHeld", "OutboxChannelHeld"} & set(prometheus.alerts()), timeout=60)
            assert prometheus.broken_rules() == []
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


def test_an_alert_fires_when_the_only_worker_is_gone(tmp_path: Path, cloned_url: str, switch: Path) -> None:
    with Fleet(tmp_path, cloned_url) as fleet:
        target = start(fleet, tmp_path, CONFIG.format(switch=switch))
        with Prometheus(tmp_path / "prometheus", target) as prometheus:
            wait_until(lambda: prometheus.value("count(outbox_build_info)") == 1, timeout=60)
            wait_until(
                lambda: "OutboxDown" not in prometheus.alerts(), timeout=60
            )  # it had to wait for the first scrape
            fleet.processes[-1].kill()
            down = prometheus.fired("OutboxDown")
            assert down["labels"]["job"] == "outbox"
            assert prometheus.fired("OutboxWorkerUnreachable")["labels"]["instance"] == target


# Partitions are made by the day, and that is how people count them.
IN_DAYS = "outbox_partitions_ahead_days use base unit"


@pytest.mark.parametrize("arguments", [[], ["--processes", "2"]], ids=["one process", "several"])
def test_promtool_finds_nothing_amiss_in_what_is_served(
    arguments: list[str], tmp_path: Path, cloned_url: str, switch: Path
) -> None:
    with Fleet(tmp_path, cloned_url) as fleet:
        target = start(fleet, tmp_path, CONFIG.format(switch=switch), *arguments)
        wait_until(lambda: " serves email" in fleet.log(), timeout=60)
        enqueue(cloned_url, 5)
        wait_until(lambda: 'outcome="sent"' in httpx.get(f"http://{target}/metrics", timeout=10).text, timeout=60)
        served = httpx.get(f"http://{target}/metrics", timeout=10).text
    done = promtool("check", "metrics", given=served)
    amiss = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith(IN_DAYS)]
    assert amiss == []
