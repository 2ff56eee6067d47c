"""The benchmarks: a run of them from beginning to end, and the arithmetic behind the page."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import chart, page, quiet, results, runner
from benchmarks.__main__ import main
from benchmarks.contenders import CONTENDERS, LIMITS, OUTBOX
from benchmarks.errors import Absent, Failed
from benchmarks.figures import figure, with_range
from benchmarks.measures import MEASURES
from benchmarks.measures.steadily import Flow
from benchmarks.musts import MUSTS, best
from benchmarks.processes import Process, call
from benchmarks.results import Journal, Result, Run
from benchmarks.server import cpu_of
from benchmarks.summary import Summary, by_window, percentile, summarise
from tests.waiting import wait_until

ROOT = Path(__file__).parents[1]
PLACE = {
    "date": "2026-01-31",
    "cpu": "A processor",
    "cores": 2,
    "memory_gb": 8,
    "kernel": "6.1",
    "postgres": "18.1",
    "python": "3.11.9",
    "load_before": 0.1,
    "versions": {"outbox": "1.0 (Python 3.11.9)", "pgqueuer": "1.6.0 (Python 3.11.9)"},
    "history": {"outbox": True, "pgqueuer": True},
}
QUICKLY = ("enqueue-1", "bulk-keyed", "drain-2", "latency", "steady")


def run_of(*found: Result) -> Run:
    return Run(PLACE, list(found))


def rates(measure: str, **systems: list[float]) -> list[Result]:
    return [
        Result(measure, system, number, {"rate": rate, "jobs": 100_000})
        for system, found in systems.items()
        for number, rate in enumerate(found, 1)
    ]


def script(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "driver.py"
    file.write_text(text, encoding="utf-8")
    return [sys.executable, str(file)]


def test_a_quick_run_measures_outbox_and_writes_results_a_page_and_a_picture(tmp_path: Path) -> None:
    output = tmp_path / "page.md"
    options = ["--systems", OUTBOX, "--measures", ",".join(QUICKLY), "--rounds", "1", "--held-rounds", "1", "--quick"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *options, "--results", str(tmp_path), "--output", str(output)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (file,) = tmp_path.glob("*.jsonl")
    run = results.read(file)
    assert [(one.absent, one.failed) for one in run.results] == [(None, None)] * len(run.results)
    measured = {one.measure: one.values for one in run.results}
    assert measured.keys() == {*QUICKLY}
    assert measured["drain-2"]["rate"] > 0
    assert measured["drain-2"]["dead"] >= 1  # each row is updated by a claim, or deleted at its end
    assert 300 < measured["bulk-keyed"]["wal"] < 10_000
    assert 0 < measured["latency"]["p50"] <= measured["latency"]["p99"]
    assert measured["enqueue-1"]["client_us"] > 0
    assert sum(measured["steady"]["windows"]) > 0
    assert measured["steady"]["claim_p99"] > 0
    assert figure(measured["drain-2"]["rate"]) in output.read_text(encoding="utf-8")
    assert ET.parse(output.with_suffix(".svg")).getroot().tag.endswith("svg")  # noqa: S314 - our own


def test_a_run_that_is_ended_stops_its_servers_and_leaves_nothing(tmp_path: Path) -> None:
    what = ["--quick", "--systems", "outbox", "--measures", "drain-1", "--results", str(tmp_path)]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # root's server is another account's
        environment = os.environ | {"TMPDIR": folder}
        process = subprocess.Popen([sys.executable, "-m", "benchmarks", *what], cwd=ROOT, env=environment)
        try:
            wait_until(lambda: list(Path(folder).rglob("postmaster.pid")), timeout=60)
            process.terminate()
            assert process.wait(timeout=60) == 128 + signal.SIGTERM
        finally:
            process.kill()
        assert list(Path(folder).iterdir()) == []


@pytest.mark.parametrize("option", [["--systems", "sidekiq"], ["--measures", "beauty"]])
def test_what_is_not_known_is_refused_with_what_is(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(option)
    assert "pgqueuer" in (said := capsys.readouterr().err) or "drain-1" in said


def test_systems_are_interleaved_inside_each_round() -> None:
    turns = list(runner.turns(["outbox", "pgqueuer"], ["bulk", "held", "email"], 2, 1))
    assert [(turn.round, turn.measure, turn.system) for turn in turns] == [
        (1, "bulk", "outbox"),
        (1, "bulk", "pgqueuer"),
        (1, "held", "outbox"),
        (1, "held", "pgqueuer"),
        (1, "email", "outbox"),
        (2, "bulk", "outbox"),
        (2, "bulk", "pgqueuer"),
        (2, "email", "outbox"),
    ]


def test_a_driver_that_says_that_its_system_is_absent_is_believed(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no such broker"):
        call(script(tmp_path, 'print(\'{"absent": "no such broker"}\'); raise SystemExit(77)'), limit=10)


def test_a_driver_that_fails_is_a_failure_with_its_own_words(tmp_path: Path) -> None:
    with pytest.raises(Failed, match=r"status 3; it said: out of luck"):
        call(script(tmp_path, "import sys; print('out of luck', file=sys.stderr); sys.exit(3)"), limit=10)


def test_a_driver_that_prints_something_else_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="not JSON"):
        call(script(tmp_path, "print('hello')"), limit=10)


def test_a_driver_that_takes_too_long_is_ended_with_what_it_started(tmp_path: Path) -> None:
    started = tmp_path / "started"
    text = f"""
import pathlib, subprocess
child = subprocess.Popen(["sleep", "60"])
pathlib.Path({str(started)!r}).write_text(str(child.pid))
child.wait()
"""
    with Process(script(tmp_path, text), limit=3) as process, pytest.raises(Failed, match="took longer than 3 s"):
        process.result()
    child = int(started.read_text(encoding="utf-8"))
    wait_until(lambda: not _runs(child))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, as the benchmarks do")
def test_cpu_time_of_a_process_counts_its_children_dead_ones_too(tmp_path: Path) -> None:
    text = """
import subprocess, sys
spin = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", spin], check=True)
print("{}", flush=True)
sys.stdin.readline()
"""
    process = subprocess.Popen(script(tmp_path, text), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert 0.25 < cpu_of(process.pid) < 3
    finally:
        process.communicate(b"\n")


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0, 100))
def test_a_percentile_is_a_number_that_so_many_do_not_exceed(numbers: list[float], percent: float) -> None:
    found = percentile(numbers, percent)
    assert found in numbers
    assert sum(number <= found for number in numbers) >= len(numbers) * percent / 100 - 1e-9
    assert sum(number < found for number in numbers) <= len(numbers) * percent / 100


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no numbers"):
        percentile([], 50)


@given(st.lists(st.floats(0, 100)), st.floats(0.5, 10), st.integers(1, 20))
def test_windows_count_every_moment_that_falls_into_them_once(moments: list[float], seconds: float, count: int) -> None:
    counted = by_window(moments, 0.0, seconds, count)
    assert len(counted) == count
    within = sum(moment // seconds < count for moment in moments)
    assert sum(counted) * seconds == pytest.approx(within, abs=1e-6)


def test_a_summary_is_the_median_and_the_range() -> None:
    assert summarise([3.0, 1.0, 2.0]) == Summary(2.0, 1.0, 3.0)
    assert summarise([]) is None


@pytest.mark.parametrize(
    ("number", "text"),
    [(36_812.4, "36,800"), (1.314, "1.31"), (0.0042, "0.00420"), (999.6, "1,000"), (0, "0"), (12, "12.0")],
)
def test_figures_have_three_digits_that_count(number: float, text: str) -> None:
    assert figure(number) == text


def test_a_range_is_only_shown_where_there_is_one() -> None:
    assert with_range(Summary(10.0, 10.0, 10.0)) == "10.0"
    assert with_range(Summary(10.0, 9.0, 12.0)) == "10.0 (9.00\N{EN DASH}12.0)"
    assert with_range(None) == "\N{EN DASH}"


def test_latency_is_never_negative_and_the_backlog_is_what_was_committed_and_not_begun() -> None:
    flow = Flow(committed={0: 1.0, 1: 2.0, 2: 3.0}, begun={0: 1.5, 1: 1.9}, late=0)
    assert flow.latencies() == [0.5, 0.0]
    assert flow.backlog([0.5, 1.2, 1.6, 3.5]) == [0, 1, 0, 1]


def test_every_must_is_judged_by_measures_that_exist() -> None:
    everything = [
        Result(
            measure,
            system,
            1,
            dict.fromkeys(
                ("rate", "p50", "p99", "notifies", "wal", "wal_with_enqueue", "ratio", "backlog_seconds", "claim_p99"),
                1.0,
            )
            | {"windows": [3_000.0]},
        )
        for measure in MEASURES
        for system in CONTENDERS
    ]
    verdicts = {must.what: must.judge(run_of(*everything)) for must in MUSTS}
    assert [what for what, verdict in verdicts.items() if verdict.reached is None] == []
    nothing = {must.what: must.judge(run_of()).reached for must in MUSTS}
    assert set(nothing.values()) == {None}


def test_a_steady_load_that_its_producer_did_not_offer_is_not_judged() -> None:
    def judged(*rounds: tuple[float, float]) -> str:
        found = [
            Result("steady", OUTBOX, number, {"windows": [rate, rate], "backlog_seconds": backlog})
            for number, (rate, backlog) in enumerate(rounds, 1)
        ]
        (must,) = [must for must in MUSTS if must.what == "held snapshot at 3,000/s: backlog (s of load)"]
        return must.judge(run_of(*found)).word

    assert judged((2_500.0, 0.1)) == "not measured"
    assert judged((2_500.0, 0.1), (2_990.0, 2.0)) == "**missed**"
    assert judged((2_500.0, 9.0), (2_990.0, 0.5)) == "reached"


def test_the_best_rival_is_neither_outbox_nor_the_limit_and_on_postgresql_where_that_is_asked() -> None:
    run = run_of(*rates("bulk", outbox=[90.0], limits=[99.0], bullmq=[70.0], pgqueuer=[10.0, 60.0, 50.0]))
    assert best(run, "bulk") == (70.0, "BullMQ + Redis")
    assert best(run, "bulk", on_postgres=True) == (50.0, "PgQueuer")
    assert best(run, "drain-1") is None


@pytest.mark.parametrize(("ours", "word"), [(110.0, "reached"), (109.0, "**missed**")])
def test_the_page_says_whether_a_must_was_reached_in_this_run(ours: float, word: str) -> None:
    text = page.render(run_of(*rates("drain-1", outbox=[ours], pgqueuer=[100.0])), "picture.svg")
    (line,) = [line for line in text.splitlines() if line.startswith("| drain, 1 process (jobs/s) | 1")][:1]
    assert line.endswith(f"| 110 (PgQueuer: 100) | {word} |")


def test_the_page_tells_what_is_absent_what_failed_and_who_was_given_less() -> None:
    text = page.render(
        run_of(
            *rates("drain-1", outbox=[5.0]),
            Result("drain-1", "pgqueuer", 1, {"rate": 4.0, "jobs": 3_000}),
            Result("drain-1", "bullmq", 1, absent="there is no Node here"),
            Result("bulk", "pgboss", 1, failed="it took longer than 60 s; it said:\n/somewhere"),
        ),
        "picture.svg",
    )
    assert "- BullMQ + Redis (drain-1): there is no Node here" in text
    assert "- pg-boss (bulk): it took longer than 60 s; it said:\n" in text
    assert "/somewhere" not in text
    assert "PgQueuer, drain, 1 process: 3,000." in text


def test_the_windows_of_several_rounds_are_medians() -> None:
    windows = [[10.0, 5.0], [30.0, 6.0], [20.0, 1.0]]
    found = [Result("held", "outbox", number, {"windows": each}) for number, each in enumerate(windows, 1)]
    assert "| outbox, saturated, held snapshot | 0.200 (0.0500" in page.render(run_of(*found), "picture.svg")


def test_writing_the_page_again_changes_only_what_lies_between_the_marks(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    page.write(file, run_of(*rates("bulk", outbox=[1.0])), "picture.svg")
    file.write_text(f"{file.read_text(encoding='utf-8')}\n## Where the time goes\n", encoding="utf-8")
    page.write(file, run_of(*rates("bulk", outbox=[2.0])), "picture.svg")
    text = file.read_text(encoding="utf-8")
    assert text.startswith("# Benchmarks\n")
    assert text.endswith("## Where the time goes\n")
    assert text.count(page.BEGIN) == text.count(page.END) == 1
    assert "2.00" in text
    file.write_text("# A page without marks\n", encoding="utf-8")
    with pytest.raises(ValueError, match="lacks the line"):
        page.write(file, run_of(), "picture.svg")


def test_results_are_read_as_they_were_written(tmp_path: Path) -> None:
    journal = Journal.begin(tmp_path / "2026.jsonl", PLACE)
    for result in (*rates("bulk", outbox=[1.5]), Result("bulk", "celery", 1, absent="no broker", load=0.5)):
        journal.add(result)
    assert results.read(tmp_path / "2026.jsonl") == journal.run
    assert results.newest(tmp_path) == tmp_path / "2026.jsonl"
    assert all(json.loads(line) for line in (tmp_path / "2026.jsonl").read_text(encoding="utf-8").splitlines())


def test_cells_are_added_to_an_earlier_run_as_further_rounds(tmp_path: Path) -> None:
    file = tmp_path / "2026.jsonl"
    for result in rates("bulk", outbox=[1.0, 2.0], pgqueuer=[3.0]):
        Journal.begin(file, PLACE).add(result) if not file.exists() else Journal.reopen(file, PLACE).add(result)
    Journal.reopen(file, PLACE).add(Result("bulk", "pgqueuer", 1, {"rate": 5.0}))
    run = results.read(file)
    assert [(one.system, one.round) for one in run.results] == [
        ("outbox", 1), ("outbox", 2), ("pgqueuer", 1), ("pgqueuer", 2),
    ]  # fmt: skip
    assert run.values("bulk", "pgqueuer", "rate") == [3.0, 5.0]
    with pytest.raises(ValueError, match="another python"):
        Journal.reopen(file, {**PLACE, "python": "9.9"})


def test_the_page_says_what_was_measured_more_or_less_often() -> None:
    run = run_of(*(Result(measure, OUTBOX, 1, {"rate": 1.0}) for measure in ("enqueue-1", "bulk", "email")))
    assert "; 1 round. " in page.render(run, "picture.svg")
    run.results.append(Result("bulk", OUTBOX, 2, {"rate": 1.0}))
    assert "; 1 round, 2 of bulk. " in page.render(run, "picture.svg")


def test_the_picture_shows_every_system_the_fastest_first_and_no_date() -> None:
    run = run_of(*rates("drain-1", outbox=[50.0, 70.0, 60.0], pgqueuer=[30.0], limits=[90.0]))
    text = chart.draw(run)
    assert text == chart.draw(run)
    assert str(PLACE["date"]) not in text
    root = ET.fromstring(text)  # noqa: S314 - our own
    words = [element.text or "" for element in root.iter() if element.tag.endswith("text")]
    titles = [word for word in words if word in {one.title for one in CONTENDERS.values()}]
    assert titles == [CONTENDERS[name].title for name in (LIMITS, OUTBOX, "pgqueuer")]
    lengths = [float(element.attrib["width"]) for element in root.iter() if element.tag.endswith("rect")]
    assert all(longer >= shorter for longer, shorter in pairwise(lengths))
    assert "60.0" in words


def test_the_page_in_the_repository_is_that_of_the_results_in_it() -> None:
    file = results.newest()
    if file is None:
        assert not (ROOT / "docs" / "benchmarks.md").exists(), "a page of no results"
        return
    text = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    _, _, rest = text.partition(page.BEGIN)
    run = results.read(file)
    assert rest.partition(page.END)[0].strip() == page.render(run, "benchmarks.svg").strip()
    assert (ROOT / "docs" / "benchmarks.svg").read_text(encoding="utf-8") == chart.draw(run)


def test_waiting_for_a_quiet_machine_ends_when_patience_does() -> None:
    began = time.monotonic()
    quiet.wait(0.0)
    assert time.monotonic() - began < 0.2
    assert 0 <= quiet.busy(0.05) <= 1
