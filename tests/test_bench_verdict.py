"""The verdict of `outbox bench` never contradicts its numbers; nor does what it is made of."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.bench import measured as m
from outbox.bench.day import most_a_day
from outbox.bench.drawing import bars
from outbox.bench.enqueue_limits import BUSY, SCALES, parts
from outbox.bench.figures import about, lasting
from outbox.bench.flow import arrivals
from outbox.bench.shifts import drained
from outbox.bench.soundness import LOADED, NOISY, is_sound, noisy, rates
from outbox.bench.summary import Summary
from outbox.bench.trouble import BenchError
from outbox.bench.verdict import verdict
from outbox.bench.worker_limits import BOUND, GROWS, IDLE
from outbox.latencies import BOUNDS

if TYPE_CHECKING:
    from outbox.bench.finding import Finding

_SETTINGS = {"fsync": "on", "synchronous_commit": "on", "synchronous_standby_names": ""}
_STEADY = 0.1


def one(number: float, spread: float = 0.0) -> Summary:
    """A summary around its median."""
    return Summary(number, number * (1 - spread / 2), number * (1 + spread / 2))


QUIET = m.Measured(
    server=m.Server("18.1", is_near=False, is_encrypted=True, settings=_SETTINGS),
    machine=m.Machine(cpus=8, load=0.1, busy=0.2),
    concurrency=200,
    provider=0.1,
    rounds=3,
    floor=m.Floor(round_trip=one(0.0005), transaction=one(0.003), commit=one(0.0015)),
    enqueueing=[
        m.Enqueueing(1, one(300), one(0.0032), one(0.006), one(0.2)),
        m.Enqueueing(4, one(1_100, _STEADY), one(0.0035), one(0.007), one(0.8)),
    ],
    bulk=m.Bulk(one(40_000), one(0.7)),
    draining=[
        m.Draining(1, one(14_000), one(0.95), is_whole=True),
        m.Draining(2, one(20_000), one(0.9), is_whole=True),
    ],
    latency=m.Latency(75.0, 375, 375, 0.004, 0.010, 0.02, [0, 0, 300, 70, 5], 0.0),
    cost=m.Cost(820.0, 540.0, 0.0, 640.0, 0.01),
)


def found(measured: m.Measured, about_: str) -> Finding:
    (finding,) = [each for each in verdict(measured) if each.about == about_]
    return finding


def abouts(measured: m.Measured) -> set[str]:
    return {each.about for each in verdict(measured)}


_share = st.floats(0, 1)
_rates = st.builds(one, st.floats(1, 1e6), st.sampled_from([0.0, NOISY, NOISY * 1.5]))
_times = st.builds(one, st.floats(1e-6, 10))
_bytes = st.sampled_from([None, 0.0, 540.0, 1e9])


@st.composite
def measurements(draw: st.DrawFn) -> m.Measured:
    clients = draw(st.sampled_from([[1], [1, 4], [1, 64]]))
    configured = {
        "fsync": draw(st.sampled_from(["on", "off"])),
        "synchronous_commit": draw(st.sampled_from(["on", "off", "local", "remote_apply"])),
        "synchronous_standby_names": draw(st.sampled_from(["", "*"])),
    }
    machine = m.Machine(draw(st.integers(1, 128)), draw(st.none() | st.floats(0, 9)), draw(st.none() | _share))
    return m.Measured(
        server=m.Server("18.1", is_near=draw(st.booleans()), is_encrypted=False, settings=configured),
        machine=machine,
        concurrency=draw(st.integers(1, 10_000)),
        provider=draw(st.sampled_from([0.0, 0.001, 0.1, 3.0, 3_600.0])),
        rounds=draw(st.sampled_from([1, 3])),
        floor=m.Floor(draw(_times), draw(_times), draw(_times)),
        enqueueing=[m.Enqueueing(n, draw(_rates), draw(_times), one(1.0), one(draw(_share))) for n in clients],
        bulk=m.Bulk(draw(_rates), one(0.5)),
        draining=[m.Draining(n, draw(_rates), one(draw(_share)), is_whole=draw(st.booleans())) for n in (1, 2)],
        latency=replace(QUIET.latency, arrived=draw(st.sampled_from([1, 375])), late=draw(_share)),
        cost=m.Cost(draw(_bytes), draw(_bytes), draw(_bytes), 640.0, 0.01),
    )


@settings(max_examples=50)
@given(measurements())
def test_whatever_was_measured_it_has_something_to_say_and_no_number_is_nonsense(measured: m.Measured) -> None:
    said = verdict(measured)
    assert {"capacity", "latency", "day", "enqueue", "worker", "processes", "provider"} <= abouts(measured)
    words = " ".join(each.says + (each.change or "") for each in said)
    assert not re.search(r"\b(nan|inf|None)\b", words)
    assert all(each.says.endswith(".") for each in said)


@settings(max_examples=50)
@given(measurements())
def test_it_calls_noisy_exactly_what_differs_from_round_to_round(measured: m.Measured) -> None:
    differing = {name for name, rate in rates(measured).items() if rate.spread > NOISY}
    assert set(noisy(measured)) == differing
    doubts = " ".join(each.says for each in verdict(measured) if each.about == "noise")
    assert {name for name in rates(measured) if f"{name} from" in doubts} == differing
    assert ("Too noisy for a verdict" in doubts) is bool(differing)
    if is_sound(measured):
        assert not abouts(measured) & {"noise", "load"}


@settings(max_examples=50)
@given(measurements())
def test_what_it_calls_the_limit_of_an_enqueue_is_the_largest_part_of_it(measured: m.Measured) -> None:
    part = parts(measured)
    finding = found(measured, "enqueue")
    assert part.client <= part.work
    assert max(part.disk, part.trips, part.work) == finding.facts[str(finding.facts["limit"])]
    change = finding.change or ""
    assert ("nearer to the database" in change) is (part.largest == "trips" and not measured.server.is_near)
    assert ("transaction" in change) is (part.largest != "work")


@settings(max_examples=50)
@given(measurements())
def test_it_blames_the_processor_of_a_worker_only_where_that_was_used_up(measured: m.Measured) -> None:
    says, cpu = found(measured, "worker").says, measured.draining[0].cpu.middle
    assert ("its own limit" in says) is (cpu >= BOUND)
    assert ("most of the time" in says) is (cpu < IDLE)


@settings(max_examples=50)
@given(measurements())
def test_it_recommends_a_second_process_only_where_it_brought_something(measured: m.Measured) -> None:
    one_, two = (each.per_second.middle for each in measured.draining)
    recommended = "--processes 2" in (found(measured, "processes").change or "")
    assert recommended is (two / one_ >= GROWS)


@settings(max_examples=50)
@given(measurements())
def test_it_blames_this_machine_only_where_it_was_busy_and_more_clients_brought_little(measured: m.Measured) -> None:
    busy = measured.machine.busy
    one_, several = measured.enqueueing[0], measured.enqueueing[-1]
    scaled = several.per_second.middle / one_.per_second.middle >= SCALES * several.clients
    blamed = any("this machine was the limit" in each.says for each in verdict(measured))
    used_up = several.cpu.middle >= BUSY * several.clients
    assert blamed is (busy is not None and busy >= BUSY and len(measured.enqueueing) > 1 and not scaled and not used_up)


@settings(max_examples=50)
@given(measurements())
def test_no_day_is_promised_that_its_enqueues_or_its_deliveries_could_not_follow(measured: m.Measured) -> None:
    busiest_second = most_a_day(measured) * 0.1 / 3_600
    assert busiest_second <= max(each.per_second.middle for each in measured.enqueueing) / 2 * 1.000001
    assert busiest_second <= max(each.per_second.middle for each in measured.draining) / 2 * 1.000001
    assert about(most_a_day(measured)) in found(measured, "day").says


@settings(max_examples=50)
@given(measurements())
def test_the_arithmetic_of_the_provider_adds_up(measured: m.Measured) -> None:
    finding = found(measured, "provider")
    if not measured.provider:
        assert finding.facts == {"provider": 0.0}
        return
    through = measured.concurrency / measured.provider
    one_, most = measured.draining[0].per_second.middle, max(each.per_second.middle for each in measured.draining)
    assert ("is not the limit" in finding.says) is (through >= one_)
    if through < one_:
        processes = finding.facts["processes"]
        assert isinstance(processes, int)
        assert (processes - 1) * through < most <= processes * through * 1.000001
        (concurrency,) = re.findall(r"concurrency = (\d+)", finding.change or "")
        assert int(concurrency) >= most * measured.provider


def test_a_quiet_measurement_is_told_in_a_few_sentences() -> None:
    assert is_sound(QUIET)
    assert abouts(QUIET) == {
        "capacity", "latency", "day", "enqueue", "clients", "worker", "processes", "provider"
    }  # fmt: skip
    assert "about 300 enqueues from one client, about 1,100 from 4" in found(QUIET, "capacity").says
    assert "about 40,000 in bulk. It delivers about 14,000 by 1 worker process" in found(QUIET, "capacity").says
    assert "4.0 ms after the commit, and 99 in 100 after 10 ms" in found(QUIET, "latency").says
    assert "200 at once / 100 ms = 2,000 a second" in found(QUIET, "provider").says
    assert "10 such processes" in found(QUIET, "provider").says
    assert "1,100 a second * 0.5 * 3,600 s / 0.1" in found(QUIET, "day").says


def test_three_slow_round_trips_are_an_advice_to_move_nearer() -> None:
    far = replace(QUIET, floor=m.Floor(round_trip=one(0.02), transaction=one(0.06), commit=one(0.0215)))
    far = replace(far, enqueueing=[replace(QUIET.enqueueing[0], p50=one(0.063))])
    assert found(far, "enqueue").change == (
        "put the application nearer to the database, or enqueue several in one transaction"
    )
    assert "clients" not in abouts(far)


def test_a_slow_disk_is_said_to_be_one() -> None:
    slow = replace(QUIET, floor=m.Floor(round_trip=one(0.0001), transaction=one(0.0083), commit=one(0.0081)))
    slow = replace(slow, enqueueing=[replace(QUIET.enqueueing[0], p50=one(0.01))])
    assert "80 % is the COMMIT's wait for the disk (8.0 ms)" in found(slow, "enqueue").says
    assert "power cut" in (found(slow, "enqueue").change or "")


@pytest.mark.parametrize(
    ("hasty", "says"),
    [
        ({"fsync": "off"}, "may lose everything when the power fails"),
        ({"synchronous_commit": "off"}, "in the last moments before a crash"),
    ],
)
def test_numbers_that_are_bought_with_safety_are_said_to_be(hasty: dict[str, str], says: str) -> None:
    measured = replace(QUIET, server=replace(QUIET.server, settings=_SETTINGS | hasty))
    assert says in found(measured, "safety").says
    assert "waits for no disk here" in found(measured, "enqueue").says


def test_clients_that_used_up_their_processors_are_said_to_be_what_was_measured() -> None:
    bound = replace(QUIET, enqueueing=[QUIET.enqueueing[0], replace(QUIET.enqueueing[1], cpu=one(3.8))])
    assert "it is the clients that were measured, not the server" in found(bound, "clients").says


def test_rounds_that_do_not_agree_are_told_as_ranges() -> None:
    wild = replace(QUIET, draining=[replace(QUIET.draining[0], per_second=Summary(10_000, 6_000, 14_000))])
    assert "It delivers 6,000 to 14,000 by 1 worker process" in found(wild, "capacity").says
    assert "drain, 1 process from 6,000 to 14,000 a second" in found(wild, "noise").says
    assert not is_sound(wild)


def test_one_round_and_a_busy_machine_make_no_verdict() -> None:
    assert not is_sound(replace(QUIET, rounds=1))
    assert not is_sound(replace(QUIET, machine=replace(QUIET.machine, load=LOADED * 2)))
    assert "4.0 programs" in found(replace(QUIET, machine=replace(QUIET.machine, load=4.0)), "load").says


def test_those_who_write_beside_us_are_noticed() -> None:
    loud = replace(QUIET, cost=replace(QUIET.cost, background_wal=14_000 * 540.0))
    assert "100 % of what a drain wrote" in found(loud, "others").says


def test_a_stream_that_was_late_or_did_not_arrive_is_said_to_be() -> None:
    late = replace(QUIET, latency=replace(QUIET.latency, late=0.5, arrived=370))
    assert "behind schedule 50 % of the time" in found(late, "late").says
    assert "5 of 375 had not arrived" in found(late, "latency").says


def test_a_queue_that_was_not_worked_off_in_time_is_said_to_be() -> None:
    slow = replace(QUIET, draining=[replace(QUIET.draining[0], is_whole=False)])
    assert "not worked off in its time" in found(slow, "unfinished").says


def test_the_rate_of_a_drain_leaves_its_first_tenth_out() -> None:
    first = [(10.0, 100, 1.0), (11.0, 450, 1.5), (12.0, 450, 2.0)]
    drain = drained([first], 1_000)
    assert drain is not None
    assert (drain.count, drain.per_second, drain.cpu, drain.is_whole) == (1_000, 450.0, 0.5, True)


def test_the_rate_of_two_workers_is_that_of_both() -> None:
    drain = drained([[(0.0, 50, 0.0), (1.0, 100, 0.8)], [(0.0, 50, 0.0), (2.0, 100, 0.4)]], 500)
    assert drain is not None
    assert drain.per_second == 125.0  # 250 within two seconds, after the first 50
    assert drain.cpu == pytest.approx((0.8 + 0.2) / 2)
    assert not drain.is_whole


@pytest.mark.parametrize(("settled", "expected"), [([[]], None), ([[(1.0, 5, 0.1)]], 5.0)])
def test_a_drain_of_nothing_and_one_of_a_single_batch(
    settled: list[list[tuple[float, int, float]]], expected: float | None
) -> None:
    drain = drained(settled, 5)
    assert (drain and drain.per_second) == expected


def test_latency_is_from_the_commit_to_the_provider_and_never_negative() -> None:
    sent = {"committed": [1.0, 2.0, 3.0], "late": 0}
    latency = arrivals(sent, [(0, 1.5), (1, 1.99), (2, 3.001)], 100.0)
    assert (latency.asked, latency.arrived, latency.longest) == (3, 3, 0.5)
    assert latency.p50 == pytest.approx(0.001)
    assert sum(latency.histogram) == 3
    with pytest.raises(BenchError, match="delivered nothing"):
        arrivals(sent, [], 100.0)


@given(st.lists(st.integers(0, 10_000), max_size=len(BOUNDS) + 1))
def test_the_drawing_counts_everything_and_fits(histogram: list[int]) -> None:
    lines = list(bars(histogram, "#"))
    assert sum(int(line.split()[-1].replace(",", "")) for line in lines) == sum(histogram)
    assert all(len(line) < 70 for line in lines)


@pytest.mark.parametrize(
    ("seconds", "told"), [(0.000066, "66 µs"), (0.0041, "4.1 ms"), (0.234, "230 ms"), (1.26, "1.3 s"), (0, "0 µs")]
)
def test_lengths_of_time_have_two_digits(seconds: float, told: str) -> None:
    assert lasting(seconds) == told
