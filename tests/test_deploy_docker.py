"""deploy/docker: the image, as far as it can be built without an engine; compose; and a process that is the first."""

from __future__ import annotations

import contextlib
import fnmatch
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import check_jsonschema
import jsonschema_rs
import psycopg
import pytest
import yaml

from outbox import config
from outbox.durations import parse
from tests.fleet import Fleet
from tests.hands import enqueue, rows
from tests.shipped import DEPLOY, ROOT, documents, longest_stop, parsed
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

DOCKER = DEPLOY / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
BIN = Path(sys.executable).parent


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Dockerfile with what it says, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line.strip())]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def compose() -> dict[str, Any]:
    (found,) = documents(DOCKER / "compose.yaml")
    return dict(found)


def ours() -> dict[str, Any]:
    return {name: service for name, service in compose()["services"].items() if service["image"].startswith("outbox:")}


def test_the_dockerfile_has_nothing_that_its_linter_minds() -> None:
    done = subprocess.run([BIN / "hadolint", DOCKER / "Dockerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_image_runs_as_nobody_in_particular_and_starts_outbox_itself() -> None:
    last = stages()[-1]
    assert [rest for word, rest in last if word == "USER"] == ["10001:10001"]
    assert [rest for word, rest in last if word == "ENTRYPOINT"] == ['["outbox"]']
    assert [rest for word, rest in last if word == "COPY"] == ["--from=build /opt/outbox /opt/outbox"]
    assert not [rest for word, rest in last if word == "RUN" and "install" in rest]


def test_what_is_copied_is_there_and_is_all_that_the_engine_is_given() -> None:
    copied = {source for word, rest in stages()[0] if word == "COPY" for source in rest.split()[:-1] if word == "COPY"}
    assert all((ROOT / source).exists() for source in copied)
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_everything_in_the_image_is_pinned_by_its_hash() -> None:
    for name in ("build", "image"):
        text = (ROOT / f"requirements/{name}.txt").read_text()
        entries = re.split(r"\n(?=\S)", re.sub(r"^#.*\n", "", text, flags=re.MULTILINE).strip())
        assert all("==" in entry and "--hash=sha256:" in entry for entry in entries)
    installs = [rest for word, rest in stages()[0] if word == "RUN" and " -r " in rest]
    assert all("--require-hashes --only-binary :all:" in rest for rest in installs)


@pytest.mark.timeout(900)
def test_the_steps_of_the_build_make_a_program_that_works(tmp_path: Path, empty_url: str) -> None:
    """As shell, with this Python, in a folder where only that is which the Dockerfile copies."""
    context, opt = tmp_path / "src", tmp_path / "opt"
    context.mkdir()
    environment = {"PATH": f"{Path(sys.base_prefix) / 'bin'}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    environment |= {
        name: value for name, value in os.environ.items() if name.lower().startswith(("pip_", "http", "ssl"))
    }
    for word, rest in stages()[0]:
        if word == "COPY":
            *sources, target = rest.split()
            for source in sources:
                _copy(ROOT / source, context / target / (Path(source).name if target.endswith("/") else ""))
        elif word == "RUN":
            step = rest.replace("/opt/", f"{opt}/").replace("/wheels", f"{tmp_path}/wheels")
            step = re.sub(r"\bpython -m venv", f"{Path(sys.base_prefix)}/bin/python3 -m venv", step)
            done = subprocess.run(
                ["/bin/sh", "-ec", step], cwd=context, env=environment, capture_output=True, text=True, check=False
            )
            if "Could not find a version" in done.stderr or "Connection" in done.stderr:
                pytest.skip("no package index can be reached from here")
            assert done.returncode == 0, done.stderr
    program = opt / "outbox/bin/outbox"
    env = {"OUTBOX_DATABASE_URL": empty_url, "PATH": os.environ["PATH"]}
    for words in (["migrate"], ["migrate", "--check"]):
        subprocess.run([program, *words], cwd=tmp_path, env=env, check=True, capture_output=True)
    for module in ("uvloop", "starlette", "jwt", "sentry_sdk", "phonenumbers"):
        subprocess.run([opt / "outbox/bin/python", "-c", f"import {module}"], check=True)
    assert not (opt / "outbox/bin/pip").exists()
    assert sum(file.stat().st_size for file in (opt / "outbox").rglob("*") if not file.is_symlink()) < 200e6


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=lambda _, names: fnmatch.filter(names, "__pycache__"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def test_the_compose_file_is_one_by_the_schema() -> None:
    folder = Path(check_jsonschema.__file__).parent / "builtin_schemas/vendor"
    schema = (folder / "compose-spec.json").read_text()
    errors = [str(error) for error in jsonschema_rs.validator_for(schema).iter_errors(compose())]
    assert errors == []


def test_the_services_are_commands_that_exist_and_stop_in_time() -> None:
    found = {name: parsed(service["command"]) for name, service in ours().items()}
    assert {name: command for name, (command, _) in found.items()} == {
        "migrate": "migrate",
        "worker": "worker",
        "web": "web",
    }
    given = found["worker"][1]
    settings = config.load(DOCKER / "outbox.toml", environ={})
    assert set(given["channel"]) <= set(settings.channels)
    stop = parse(ours()["worker"]["stop_grace_period"])
    assert float(str(stop)) > longest_stop(settings.worker.grace)
    port = given["health_port"]
    assert f"http://127.0.0.1:{port}/live" in ours()["worker"]["healthcheck"]["test"][-1]
    (scraped,) = documents(DOCKER / "prometheus.yml")
    assert scraped["scrape_configs"][0]["static_configs"][0]["targets"] == [f"worker:{given['metrics_port']}"]


def test_what_the_services_mount_is_there_and_their_secrets_are_called_as_variables_are() -> None:
    mounts = [mount for service in compose()["services"].values() for mount in service.get("volumes", ())]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    assert files
    assert all((DOCKER / file).is_file() for file in files)
    secrets = {name for service in ours().values() for name in service["secrets"]}
    assert secrets <= set(compose()["secrets"])
    assert config.survey(DOCKER / "outbox.toml", environ=dict.fromkeys(secrets, f"postgresql://{'x' * 40}"))[1] == []


@pytest.fixture
def fleet(tmp_path: Path, cloned_url: str) -> Iterator[Fleet]:
    with Fleet(tmp_path, cloned_url, 0.5) as made:
        yield made


@contextlib.contextmanager
def first(arguments: list[str], url: str, **given: Any) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run `outbox` as the first process of a PID namespace; also its id out here."""
    unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child=SIGKILL"]
    if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode:
        pytest.skip("no PID namespace can be made here")
    command = [*unshare, sys.executable, "-m", "outbox", *arguments]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OUTBOX_DATABASE_URL": url}, **given)
    try:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        yield process, int(wait_until(lambda: children.read_text().split(), timeout=30)[0])
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_that_is_the_first_process_finishes_what_it_sends_when_it_is_told_to_stop(
    fleet: Fleet, cloned_url: str, processes: str, tmp_path: Path
) -> None:
    arguments = ["worker", "--channel", "email", "--config", str(tmp_path / "outbox.toml"), "--processes", processes]
    enqueue(cloned_url, 20)
    with (tmp_path / "log").open("ab") as log, first(arguments, cloned_url, stderr=log) as (process, pid):
        wait_until(lambda: len(fleet.lines("begun")) == 20, timeout=60)
        os.kill(pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 0, fleet.log()
    assert sorted(fleet.lines("begun")) == sorted(fleet.lines("sent"))
    assert rows(cloned_url, "SELECT count(*) FROM outbox.queue") == [(0,)]


def test_a_command_that_is_the_first_process_ends_by_a_signal_at_once(cloned_url: str) -> None:
    """The kernel lets no signal through to a first process that has not asked for it."""
    with psycopg.connect(cloned_url) as holder:
        holder.execute("SELECT pg_advisory_xact_lock(7306076013)")
        with first(["migrate"], cloned_url) as (process, pid):
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory'"
            wait_until(lambda: rows(cloned_url, waiting) == [(1,)], timeout=60)
            os.kill(pid, signal.SIGTERM)
            assert process.wait(timeout=30) == 128 + signal.SIGTERM


def test_yaml_has_no_names_twice() -> None:
    """PyYAML takes the last of two keys, and says nothing."""

    class Strict(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:  # noqa: FBT001, FBT002 - as PyYAML has it
            names = [key.value for key, _ in node.value]
            assert len(names) == len(set(names)), node.start_mark
            return super().construct_mapping(node, deep)

    for file in [*DEPLOY.rglob("*.yaml"), *DEPLOY.rglob("*.yml")]:
        list(yaml.load_all(file.read_text(), Strict))
