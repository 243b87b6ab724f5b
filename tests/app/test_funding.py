"""Which settlements a run is charged: from the catalog, at their nominal times, with the marks there are; holes are told."""

from __future__ import annotations

import json
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.app.funding import stored_funding
from backtester.app.market_data import SymbolRef
from backtester.cli.main import main
from backtester.config.run_config import DataSection, RunConfig, SimSection
from backtester.data.batch import Batch, Origin
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.data.kinds import FUNDING, MARK, VolumeUnit
from backtester.data.series import series_of
from backtester.domain.errors import DataUnavailableError
from backtester.domain.money import MONEY_ONE
from backtester.domain.timeframe import HOUR_MS, iso_text
from tests.data.candles import MONDAY
from tests.support.shared_data import SHARED, needs_shared

REF = SymbolRef("BTCUSDT", "bybit", "linear", "BTCUSDT")
HOLD = """
from backtester import MarketOrderIntent, Side, Strategy

class Hold(Strategy):
    def on_candle(self, candle):
        if self.ctx.position(candle.symbol) == 0 and not self.ctx.open_orders(candle.symbol):
            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.001")
"""


def store(base: Path, kind: str, columns: dict[str, list[float]], timeframe: str | None = None) -> None:
    """Rows of one kind in the catalog."""
    series = series_of(exchange="bybit", market="linear", symbol="BTCUSDT", kind=kind, timeframe=timeframe)
    schema = {"funding": FUNDING, "mark": MARK}[kind].schema()
    rows = len(next(iter(columns.values())))
    arrays = [pa.array(columns.get(field.name, [None] * rows), field.type) for field in schema]
    Catalog(base).store(
        Batch(series, pa.Table.from_arrays(arrays, schema=schema), Origin("test", "0" * 64), VolumeUnit.BASE, (), {})
    )


def config(base: Path, **sim: str) -> RunConfig:
    return RunConfig(data=DataSection(source="catalog", data_path=str(base)), sim=SimSection(**sim))  # type: ignore[arg-type] # words


def test_stamps_some_milliseconds_late_are_settled_at_their_nominal_time(tmp_path: Path) -> None:
    times = [MONDAY + 8 * HOUR_MS * index + late for index, late in enumerate((0, 17, 3))]
    store(tmp_path, "funding", {"time_ms": times, "rate": [0.0001, -0.0002, 0.0003], "mark_price": [100.0, None, 102.0]})
    found = stored_funding(config(tmp_path), [REF], start_ms=MONDAY, end_ms=MONDAY + 16 * HOUR_MS).settlements
    assert [(one.time_ms - MONDAY, one.rate, one.mark_e8) for one in found] == [
        (8 * HOUR_MS, Decimal("-0.0002"), None),
        (16 * HOUR_MS, Decimal("0.0003"), 102 * 10**8),
    ]


def test_the_mark_is_the_open_of_the_mark_bar_that_begins_then(tmp_path: Path) -> None:
    store(tmp_path, "funding", {"time_ms": [MONDAY + 8 * HOUR_MS], "rate": [0.0001], "mark_price": [99.0]})
    store(
        tmp_path,
        "mark",
        {"start_ms": [MONDAY + 8 * HOUR_MS], "open": [101.5], "high": [102.0], "low": [101.0], "close": [101.0]},
        "1h",
    )
    (found,) = stored_funding(config(tmp_path), [REF], start_ms=MONDAY, end_ms=MONDAY + 12 * HOUR_MS).settlements
    assert found.mark_e8 == 10_150_000_000


def test_a_hole_ends_the_run_before_it_starts_unless_it_is_to_be_charged(tmp_path: Path) -> None:
    times = [MONDAY, MONDAY + 8 * HOUR_MS, MONDAY + 32 * HOUR_MS]
    store(tmp_path, "funding", {"time_ms": times, "rate": [0.0001, 0.0001, 0.0001]})
    span = {"start_ms": MONDAY, "end_ms": MONDAY + 36 * HOUR_MS}
    with pytest.raises(
        DataUnavailableError,
        match=r"no funding is stored between 2025-01-06 08:00:00 and 2025-01-07 08:00:00 UTC.*funding_hole=charge",
    ):
        stored_funding(config(tmp_path), [REF], **span)
    charged = stored_funding(config(tmp_path, funding_hole="charge"), [REF], **span)
    assert [(iso_text(one.time_ms)[8:13], one.is_assumed) for one in charged.settlements] == [
        ("06 08", False), ("06 16", True), ("07 00", True), ("07 08", False),
    ]  # fmt: skip
    assert "2 of them assumed" in charged.notes[0]


def hours_of(*hours: int) -> dict[str, list[float]]:
    """Settlements at these hours from Monday on."""
    return {"time_ms": [MONDAY + hour * HOUR_MS for hour in hours], "rate": [0.0001] * len(hours)}


def assumed(base: Path, first: int, last: int) -> list[tuple[int, Decimal]]:
    """(hour, rate) of what is assumed in a range of hours."""
    span = {"start_ms": MONDAY + first * HOUR_MS, "end_ms": MONDAY + last * HOUR_MS}
    found = stored_funding(config(base, funding_hole="charge"), [REF], **span).settlements
    assert [one.time_ms for one in found] == sorted({one.time_ms for one in found})
    return [((one.time_ms - MONDAY) // HOUR_MS, one.rate) for one in found if one.is_assumed]


def test_a_series_by_the_hour_has_a_hole_where_one_hour_is_missing(tmp_path: Path) -> None:
    store(tmp_path, "funding", hours_of(*range(6), *range(9, 14)))
    with pytest.raises(DataUnavailableError, match="between 2025-01-06 05:00:00 and 2025-01-06 09:00:00 UTC"):
        stored_funding(config(tmp_path), [REF], start_ms=MONDAY, end_ms=MONDAY + 12 * HOUR_MS)
    hourly = Decimal("0.0000125")
    assert assumed(tmp_path, 0, 12) == [(6, hourly), (7, hourly), (8, hourly)]
    assert assumed(tmp_path, 6, 7) == [(7, hourly)]


@pytest.mark.parametrize(
    "hours",
    [
        (0, 8, 16, 24, 28, 32, 36, 40),
        (0, 4, 8, 12, 16, 24, 32, 40),
        (0, 1, 2, 3, 4, 8, 16, 24, 32),
        (0, 8, 16, 24, 25, 26, 27, 28),
        (0, 8, 11, 12, 13, 14),
    ],
)
def test_an_interval_that_changes_is_no_hole(tmp_path: Path, hours: tuple[int, ...]) -> None:
    store(tmp_path, "funding", hours_of(*hours))
    found = stored_funding(config(tmp_path), [REF], start_ms=MONDAY - HOUR_MS, end_ms=MONDAY + hours[-1] * HOUR_MS)
    assert [(one.time_ms - MONDAY) // HOUR_MS for one in found.settlements] == list(hours)


def test_the_interval_that_the_series_names_goes_before_what_the_waits_say(tmp_path: Path) -> None:
    named = [4.0, 4.0, 4.0, 8.0, 4.0, 4.0, 4.0]
    store(tmp_path, "funding", hours_of(0, 4, 8, 16, 20, 24, 28) | {"interval_hours": named})
    assert assumed(tmp_path, 0, 28) == []
    store(tmp_path / "other", "funding", hours_of(0, 4, 12, 20, 28) | {"interval_hours": [4.0] * 5})
    assert [hour for hour, _ in assumed(tmp_path / "other", 0, 28)] == [8, 16, 24]


def test_a_hole_that_begins_before_the_run_or_lasts_beyond_it_is_one(tmp_path: Path) -> None:
    store(tmp_path, "funding", hours_of(0, 8, 16, 32, 40))
    for first, last, expected in ((20, 36, [24]), (4, 28, [24]), (18, 30, [24])):
        span = {"start_ms": MONDAY + first * HOUR_MS, "end_ms": MONDAY + last * HOUR_MS}
        with pytest.raises(DataUnavailableError, match="no funding is stored between"):
            stored_funding(config(tmp_path), [REF], **span)
        assert [hour for hour, _ in assumed(tmp_path, first, last)] == expected


def test_one_that_reaches_days_beyond_the_run_is_told_or_charged(tmp_path: Path) -> None:
    store(tmp_path, "funding", hours_of(0, 8, 16, 96, 104))
    for first, last, expected, note in (
        (48, 100, [56, 64, 72, 80, 88], "before 2025-01-10 00:00:00 UTC, where a hole in the stored series ends"),
        (4, 40, [24, 32, 40], "after 2025-01-06 16:00:00 UTC, where a hole in the stored series begins"),
        (50, 60, [56], "none is stored in the range"),
    ):
        span = {"start_ms": MONDAY + first * HOUR_MS, "end_ms": MONDAY + last * HOUR_MS}
        assert stored_funding(config(tmp_path), [REF], **span).notes[-1].endswith(note)
        assert [hour for hour, _ in assumed(tmp_path, first, last)] == expected


def test_what_the_series_does_not_reach_is_told_and_not_charged(tmp_path: Path) -> None:
    store(tmp_path, "funding", {"time_ms": [MONDAY + 24 * HOUR_MS, MONDAY + 32 * HOUR_MS], "rate": [0.0001, 0.0001]})
    found = stored_funding(config(tmp_path), [REF], start_ms=MONDAY, end_ms=MONDAY + 48 * HOUR_MS)
    assert [one.time_ms - MONDAY for one in found.settlements] == [24 * HOUR_MS, 32 * HOUR_MS]
    assert found.notes == (
        "BTCUSDT: 2 funding settlements",
        "BTCUSDT: funding not charged before 2025-01-07 00:00:00 UTC, where the stored series begins",
        "BTCUSDT: funding not charged after 2025-01-07 08:00:00 UTC, where the stored series ends",
    )
    nothing = stored_funding(config(tmp_path), [REF], start_ms=MONDAY, end_ms=MONDAY + 12 * HOUR_MS)
    assert nothing.notes == ("BTCUSDT: 0 funding settlements", "BTCUSDT: funding not charged, none is stored in the range")


@pytest.mark.parametrize(
    ("sim", "note"), [({}, "BTCUSDT: funding not charged, no series is stored"), ({"funding": "off"}, "funding not charged")]
)
def test_no_series_and_no_wish_are_told(tmp_path: Path, sim: dict[str, str], note: str) -> None:
    assert stored_funding(config(tmp_path, **sim), [REF], start_ms=0, end_ms=MONDAY) == ((), (note,))
    spot = SymbolRef("BTCUSDT", "bybit", "spot", "BTCUSDT")
    assert stored_funding(config(tmp_path), [spot], start_ms=0, end_ms=MONDAY) == ((), ())


@needs_shared
def test_the_whole_stored_series_on_a_constant_position_is_its_sum_to_the_last_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """902 settlements in 300 days of Bybit's BTCUSDT."""
    monkeypatch.chdir(tmp_path)
    series = pq.read_table(SHARED / "data/funding/bybit_linear/BTCUSDT.parquet")
    marks = pq.read_table(SHARED / "data/mark/bybit_linear/BTCUSDT_1h.parquet")
    assert series.num_rows == 902
    for part in ("funding", "mark"):
        assert main(["data", "import", str(SHARED / f"data/{part}/bybit_linear"), "--data", "cat", "--quiet"]) == 0
    first_ms = min(series.column("ts_ms").to_pylist()) - 12 * HOUR_MS
    starts = np.arange(first_ms, max(series.column("ts_ms").to_pylist()) + 4 * HOUR_MS, HOUR_MS, dtype=np.int64)
    price = np.full(len(starts), 100_000.0)
    Catalog(Path("cat")).write("bybit", "linear", "BTCUSDT", "1h", CandleColumns(starts, price, price, price, price, price))
    Path("hold.py").write_text(HOLD)
    words = ["--strategy", "hold.py", "--symbols", "BTCUSDT", "--exchange", "bybit", "--data", "cat", "--run-id", "r", "--quiet"]
    assert main([*words, "--start", iso_text(first_ms), "--set", "sim.funding_hole=charge"]) == 0
    opens = dict(zip(marks.column("open_time_ms").to_pylist(), marks.column("open").to_pylist(), strict=True))
    expected = Fraction(0)
    for stamp_ms, rate in zip(series.column("ts_ms").to_pylist(), series.column("rate").to_pylist(), strict=True):
        expected -= Fraction("0.001") * Fraction(repr(opens[stamp_ms])) * Fraction(repr(rate))
    payments = [
        json.loads(line)["event"] for line in Path("runs/r/journal.jsonl").read_text().splitlines() if '"topic":"funding"' in line
    ]
    stored = [Fraction(event["amount"]) for event in payments if not event.get("is_assumed")]
    assert len(stored) == 902
    assert sum(stored) == Fraction((expected * MONEY_ONE).__floor__(), MONEY_ONE)
