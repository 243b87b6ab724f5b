"""The latency of a run, from `[sim]`: constant, drawn, or recorded."""

from __future__ import annotations

import csv
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from math import ceil
from pathlib import Path

from backtester.config.run_config import RunConfig
from backtester.domain.errors import ConfigError, DataError, DataUnavailableError, DomainError
from backtester.domain.latency_series import LatencySample, LatencySeries
from backtester.engine.clock import Clock
from backtester.engine.rng import RandomStreams
from backtester.sim.latency import DrawnLatency, Latency, LatencyModel, RecordedLatency

COLUMNS = ("request_ms", "venue_ms", "response_ms")


def run_latency(config: RunConfig, clock: Clock) -> LatencyModel:
    """The model that the configuration names; every leg times `sim.latency_factor`, rounded up.

    Raises DataError for a recording that cannot be read.
    """
    sim = config.sim
    if sim.latency_model == "recorded":
        series, _ = recorded_series(Path(sim.latency_file))
        return RecordedLatency(series, clock=clock, factor=float(sim.latency_factor))
    order_ms, cancel_ms, response_ms, jitter_ms = (
        ceil(leg_ms * sim.latency_factor)
        for leg_ms in (sim.order_latency_ms, sim.cancel_latency_ms, sim.response_latency_ms, sim.latency_jitter_ms)
    )
    stream = RandomStreams(config.run.seed).stream("latency")
    if sim.latency_model == "constant":
        return Latency(order_ms=order_ms, cancel_ms=cancel_ms, response_ms=response_ms, jitter_ms=jitter_ms, stream=stream)
    return DrawnLatency(
        order_ms=order_ms,
        cancel_ms=cancel_ms,
        response_ms=response_ms,
        distribution=sim.latency_model,
        spread_frac=float(sim.latency_spread_frac),
        stream=stream,
    )


def check_latency(config: RunConfig) -> None:
    """Raise ConfigError where a recording is named without its model, or the model without a recording."""
    model, file = config.sim.latency_model, config.sim.latency_file
    if (model == "recorded") != (file != ""):
        raise ConfigError(
            f"sim.latency_model is {model} and sim.latency_file is {file or 'empty'}; a recording needs "
            "latency_model = recorded and the file"
        )


def latency_text(config: RunConfig) -> str:
    """What of the latency is assumed; a recording with the start of its sha256."""
    sim = config.sim
    if sim.latency_model == "constant":
        back = f"{sim.response_latency_ms} ms back"
        return f"latency {sim.order_latency_ms} ms to the venue, {sim.cancel_latency_ms} ms for cancels, {back}"
    if sim.latency_model == "recorded":
        _, digest = recorded_series(Path(sim.latency_file))
        return f"latency as recorded in {Path(sim.latency_file).name} (sha256 {digest[:16]})"
    legs = f"{sim.order_latency_ms}, {sim.cancel_latency_ms} and {sim.response_latency_ms} ms"
    return f"latency drawn around {legs} (to the venue, of cancels, back): {sim.latency_model}, spread {sim.latency_spread_frac}"


@lru_cache(maxsize=4)
def recorded_series(path: Path) -> tuple[LatencySeries, str]:
    """The recorded orders of a csv file with the columns request_ms, venue_ms and response_ms, and the file's sha256.

    Raises DataUnavailableError where there is no such file, and DataError naming the row that cannot be.
    """
    try:
        content = path.expanduser().read_bytes()
    except OSError as error:
        raise DataUnavailableError(f"sim.latency_file {path}: {error.strerror or error}") from None
    rows = csv.DictReader(content.decode("utf-8-sig", errors="replace").splitlines())
    missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise DataError(f"sim.latency_file {path}: no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
    samples = [_sample(row, f"sim.latency_file {path}, line {rows.line_num}") for row in rows]
    try:
        return LatencySeries(tuple(samples)), sha256(content).hexdigest()
    except DomainError as error:
        raise DataError(f"sim.latency_file {path}: {error}") from None


def _sample(row: dict[str, str], where: str) -> LatencySample:
    if not row["venue_ms"]:
        raise DataError(f"{where}: venue_ms is empty; leave out orders that the venue refused")
    try:
        times = [Decimal(row[name]) for name in COLUMNS]
        request_ms, venue_ms, response_ms = (int(time) for time in times)
    except (ArithmeticError, ValueError, TypeError):
        raise DataError(f"{where}: a time is no number of milliseconds: {', '.join(map(str, row.values()))}") from None
    return LatencySample(request_ms, venue_ms, response_ms)
