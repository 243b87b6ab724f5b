"""Latencies that differ: drawn from the run's seed, or as recorded."""

from __future__ import annotations

from pathlib import Path
from statistics import mean, median, pstdev

import pytest

from backtester import run
from backtester.app.latency import recorded_series, run_latency
from backtester.config.run_config import RunConfig, SimSection
from backtester.domain.errors import ConfigError, DataError, DataUnavailableError
from backtester.domain.latency_series import LatencySample, LatencySeries
from backtester.domain.orders import OrderAck
from backtester.engine.clock import Clock
from backtester.engine.rng import RandomStreams
from backtester.sim.latency import Distribution, DrawnLatency, RecordedLatency
from tests.sim.small_run import clock_text, flat, ms, small_run

ORDERS = "\n".join(f"00:{minute:02d} o{minute} buy 1" for minute in range(1, 9))


def drawn(distribution: Distribution, *, seed: int = 1, spread: float = 0.5) -> list[int]:
    stream = RandomStreams(seed).stream("latency")
    latency = DrawnLatency(order_ms=1000, cancel_ms=10, response_ms=0, distribution=distribution, spread_frac=spread, stream=stream)
    assert latency.response_ms() == 0
    return [latency.order_ms() for _ in range(4000)]


def test_uniform_lies_around_the_leg() -> None:
    legs = drawn("uniform")
    assert 500 <= min(legs) < 510
    assert 1490 < max(legs) <= 1500
    assert abs(mean(legs) - 1000) < 20


def test_the_leg_is_the_median_of_lognormal() -> None:
    legs = drawn("lognormal")
    assert abs(median(legs) - 1000) < 30
    assert mean(legs) > 1080


def test_the_leg_is_the_mean_of_gamma() -> None:
    legs = drawn("gamma")
    assert abs(mean(legs) - 1000) < 30
    assert abs(pstdev(legs) / mean(legs) - 0.5) < 0.03


@pytest.mark.parametrize("distribution", ["uniform", "lognormal", "gamma"])
def test_draws_are_a_function_of_the_seed(distribution: Distribution) -> None:
    assert drawn(distribution, seed=3) == drawn(distribution, seed=3) != drawn(distribution, seed=4)

    def told(seed: int, routing: str = "interest") -> list[str]:
        sim = {"order_latency_ms": 5000, "latency_model": distribution}
        return small_run(flat("00:00", 12), ORDERS, seed=seed, routing=routing, **sim).told(OrderAck)

    assert told(1) == told(1) == told(1, "broadcast")
    assert len({tuple(told(seed)) for seed in range(3)}) == 3


def write(path: Path, *rows: str, header: str = "request_ms,venue_ms,response_ms") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_recording_decides_when_orders_arrive_and_reports_come_back(tmp_path: Path) -> None:
    first, last = ms("00:01"), ms("00:05")
    file = write(tmp_path / "l.csv", f"{first},{first + 100},{first + 150}", f"{last},{last + 500},{last + 900}")
    run = small_run(flat("00:00", 12), ORDERS, latency_model="recorded", latency_file=str(file))
    arrived = [line.split()[0] for line in run.told(OrderAck)]
    assert arrived[:5] == ["00:01:00.100", "00:02:00.200", "00:03:00.300", "00:04:00.400", "00:05:00.500"]
    again = small_run(flat("00:00", 12), ORDERS, latency_model="recorded", latency_file=str(file), latency_factor=2)
    assert again.told(OrderAck)[1].split()[0] == "00:02:00.400"


def test_where_a_recording_lies_decides_nothing(tmp_path: Path) -> None:
    start = 1_735_689_600_000
    digests = []
    for name in ("a.csv", "b.csv"):
        file = write(tmp_path / name, f"{start},{start + 9_000},{start + 9_500}")
        settings = {"sim.latency_model": "recorded", "sim.latency_file": str(file)}
        result = run("sma_extended", symbols=["BTCUSDT"], start="2025-01-01", end="2025-01-06", settings=settings)
        digests.append((result.digest, result.manifest.config_sha256))
        assert any("latency as recorded in" in one.rule for one in result.manifest.assumptions)
    assert digests[0] == digests[1]
    plain = run("sma_extended", symbols=["BTCUSDT"], start="2025-01-01", end="2025-01-06")
    assert plain.digest != digests[0][0]


@pytest.mark.parametrize("setting", [("sim.latency_model", "recorded"), ("sim.latency_file", "x.csv")])
def test_a_recording_needs_its_model_and_its_file(setting: tuple[str, str]) -> None:
    with pytest.raises(ConfigError, match="a recording needs latency_model = recorded and the file"):
        run("sma_extended", symbols=["BTCUSDT"], settings=dict([setting]))


def test_outside_its_range_a_recording_is_played_again() -> None:
    series = LatencySeries((LatencySample(1000, 1010, 1030), LatencySample(2000, 2020, 2100)))
    clock = Clock(0)
    latency = RecordedLatency(series, clock=clock)
    for now_ms in (1500, 1500 + 1001, 1500 + 7007):
        clock.advance(now_ms)
        assert (latency.order_ms(), latency.cancel_ms(), latency.response_ms()) == (15, 15, 50)
    assert series.repeated(999) == 2000
    assert clock_text(ms("00:01")) == "00:01"


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        (["1,2,3"], "a,b,c", "no column request_ms, venue_ms, response_ms"),
        (["1,,3"], "request_ms,venue_ms,response_ms", "line 2: venue_ms is empty"),
        (["1,x,3"], "request_ms,venue_ms,response_ms", "line 2: a time is no number"),
        (["1,2"], "request_ms,venue_ms,response_ms", "line 2: a time is no number"),
        (["5,6,7", "1,2,3"], "request_ms,venue_ms,response_ms", "in order of sending"),
        (["5,4,7"], "request_ms,venue_ms,response_ms", "ends before it was sent"),
        (["5,8,7"], "request_ms,venue_ms,response_ms", "answered before the venue had it"),
        ([], "request_ms,venue_ms,response_ms", "at least one sample"),
    ],
)
def test_a_recording_that_cannot_be_is_named(tmp_path: Path, rows: list[str], header: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        recorded_series(write(tmp_path / "l.csv", *rows, header=header))


def test_a_recording_that_is_not_there_is_named(tmp_path: Path) -> None:
    sim = SimSection(latency_model="recorded", latency_file=str(tmp_path / "none.csv"))
    with pytest.raises(DataUnavailableError, match=r"none\.csv: No such file"):
        run_latency(RunConfig(sim=sim), Clock(0))


@pytest.mark.parametrize(
    ("sim", "said"),
    [
        ({"latency_model": "uniform", "latency_spread_frac": 2}, "at most 1 for the model uniform"),
        ({"latency_spread_frac": 0}, "must be above 0"),
        ({"latency_model": "gamma", "latency_jitter_ms": 5}, "belongs to sim.latency_model = constant"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(sim: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        SimSection(**sim)  # type: ignore[arg-type] # what a user may write
