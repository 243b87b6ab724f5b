"""`backtester.run`: the same run as `bt`, from Python."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import backtester
from backtester import Candle, Liquidity, Market, MarketOrderIntent, RunResult, Side, Strategy, StrategyParams, SymbolSpec
from backtester.domain.errors import ConfigError, DataUnavailableError, RunAbortedError, StorageError, StrategyError
from backtester.strategy.sma_extended import SMAExtendedStrategy
from tests.e2e.program import START_MS, bt_here, manifest_of, waves

ROWS = 2 * 1440
RESULTS = ("fills.csv", "trades.csv", "equity.csv", "metrics.json")


class Swing(Strategy):
    """Long for every other hour."""

    class Params(StrategyParams, frozen=True):
        qty: Decimal = Decimal("0.01")

    def on_candle(self, candle: Candle):
        held = self.ctx.position(candle.symbol)
        if held:
            return [MarketOrderIntent(symbol=candle.symbol, side=Side.SELL, qty=held, reduce_only=True)]
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=self.params.qty)]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """No catalog is named, and no configuration lies about."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)


@pytest.fixture(scope="module")
def columns() -> dict[str, list]:
    return waves(ROWS)


def swing(data, **more) -> RunResult:
    return backtester.run(Swing, **{"symbols": "BTCUSDT", "data": data, "timeframe": "1h", **more})


def test_frames_of_any_library_give_the_same_run(columns):
    frame = pl.DataFrame(columns)
    dated = frame.with_columns(pl.from_epoch("start_ms", time_unit="ms").alias("timestamp")).drop("start_ms")
    handed = (frame, dated, pa.table(columns), columns, {"BTCUSDT": frame})
    digests = {swing(data).digest for data in handed}
    assert len(digests) == 1
    assert swing(frame).counts["fills"] > 40


def test_frames_of_pandas_give_the_same_run_too(columns):
    pd = pytest.importorskip("pandas")
    dated = pd.DataFrame(columns).drop(columns="start_ms")
    dated.index = pd.to_datetime(columns["start_ms"], unit="ms", utc=True)
    assert swing(pd.DataFrame(columns)).digest == swing(dated).digest == swing(columns).digest


def test_the_defaults_are_those_of_bt(tmp_path, columns):
    pl.DataFrame(columns).write_parquet("btc.parquet")
    where = ("--exchange", "binance", "--market", "futures", "--symbol", "BTCUSDT", "--timeframe", "1m", "--data", "cat")
    bt_here("data", "import", "btc.parquet", *where, cwd=tmp_path)
    bt_here("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--data", "cat", "--run-id", "one", cwd=tmp_path)
    stored = backtester.run("sma_extended", symbols=["BTCUSDT"], data="cat")
    by_class = backtester.run(SMAExtendedStrategy, symbols="BTCUSDT", data=Path("cat"), output="runs")
    for result in (stored, by_class):
        assert result.digest == manifest_of(tmp_path / "runs/one")["digest"]
        for name in RESULTS:
            assert result.file_text(name) == (tmp_path / "runs/one" / name).read_text(), name
    assert stored.path is None
    assert by_class.path is not None
    assert (by_class.path / "manifest.json").exists()


def test_without_data_the_sample_runs_and_says_so():
    result = backtester.run(Swing, symbols="BTCUSDT", timeframe="1h", start="2025-01-01", end="2025-01-03")
    assert result.manifest.data_source == "synthetic sample"
    assert "synthetic sample" in repr(result)
    assert "synthetic sample" in result._repr_html_()


def test_several_symbols_parameters_settings_and_specs(columns):
    other = waves(ROWS, middle=50.0, phase=1.0)
    result = swing(
        {"BTCUSDT": columns, "XYZUSDT": other},
        symbols=("XYZUSDT", "BTCUSDT"),
        params={"qty": "3"},
        cash=10**6,
        settings={"sim.spread_bps": 0, "sim.participation_bps": 0},
        slippage_bps=0,
        fees_bps=2.5,
        specs=[spec("BTCUSDT"), spec("XYZUSDT")],
        seed=7,
    )
    assert result.manifest.symbols == ["XYZUSDT", "BTCUSDT"]
    assert set(result.fills["symbol"]) == {"BTCUSDT", "XYZUSDT"}
    assert set(result.fills["qty"]) == {Decimal(3)}
    assert result.manifest.seed == 7
    assert result.manifest.handed_over == ["candles", "instrument specs"]
    opens = dict(zip(columns["start_ms"], columns["open"], strict=True))
    for row in result.fills.filter(pl.col("symbol") == "BTCUSDT").iter_rows(named=True):
        assert row["price"] == Decimal(str(opens[row["time_ms"] // 60_000 * 60_000]))
        assert row["fee"] == row["price"] * row["qty"] * Decimal("0.00025")


def spec(symbol: str, market: Market = Market.LINEAR) -> SymbolSpec:
    small = Decimal("0.1")
    return SymbolSpec(
        symbol=symbol, exchange="binance", market=market, base=symbol[:3], quote="USDT", tick_size=small, lot_size=small, min_qty=small
    )  # fmt: skip


def test_parameters_may_be_the_strategys_own_object(columns):
    assert swing(columns, params=Swing.Params(qty=Decimal("0.02"))).digest == swing(columns, params={"qty": "0.02"}).digest


def test_instants_may_be_text_dates_or_milliseconds(columns):
    from datetime import UTC, date, datetime

    starts = ("2025-05-06", date(2025, 5, 6), datetime(2025, 5, 6, tzinfo=UTC), START_MS + 86_400_000)
    assert len({swing(columns, start=start).digest for start in starts}) == 1
    assert swing(columns, start="2025-05-06").manifest.start == "2025-05-06 00:00:00"


def test_own_cost_models_are_used_and_named_as_assumptions(columns):
    class Dear:
        def cost(self, *, symbol, side, qty, price, bar_volume):
            return Decimal(100)

    class Odd:
        def rate_bps(self, *, symbol, liquidity):
            return Decimal(7) if liquidity is Liquidity.TAKER else Decimal(-1)

    result = swing(columns, slippage_model=Dear(), fee_model=Odd(), settings={"sim.spread_bps": 0})
    opens = dict(zip(columns["start_ms"], columns["open"], strict=True))
    first = result.fills.row(0, named=True)
    assert float(first["price"]) == pytest.approx(opens[first["time_ms"] // 60_000 * 60_000] * 1.01, abs=0.1)
    assert first["fee"] == (first["price"] * first["qty"] * Decimal("0.0007")).quantize(Decimal("1e-8"), rounding="ROUND_UP")
    said = " ".join(one.rule for one in result.manifest.assumptions)
    assert "Dear" in said
    assert "Odd" in said
    assert result.manifest.handed_over == ["candles", "a slippage model", "a fee model"]


def test_a_cost_model_that_flatters_is_refused(columns):
    class Gift:
        def cost(self, *, symbol, side, qty, price, bar_volume):
            return Decimal(-5)

    with pytest.raises(RunAbortedError, match="slippage model returned"):
        swing(columns, slippage_model=Gift())


def test_frames_of_the_result_are_typed_and_agree_with_the_figures(columns):
    result = swing(columns)
    assert result.fills.schema["price"] == pl.Decimal(38, 16)
    assert result.trades.schema["is_open"] == pl.Boolean
    assert result.equity.schema["time_ms"] == pl.Int64
    assert len(result.fills) == result.counts["fills"]
    assert float(result.equity["equity"][-1]) == pytest.approx(result.summary["end_equity"])
    assert sum(result.fills["fee"]) == Decimal(str(result.metrics["fees"]))
    assert (result.status, result.end_reason, result.exit_code) == ("complete", "end_of_data", 0)


def test_the_repr_reads_well_in_a_terminal_and_in_a_notebook(columns):
    class Evil(Swing):
        """A name that is no HTML."""

    Evil.__qualname__ = "<b>Evil</b>"
    result = backtester.run(Evil, symbols="BTCUSDT", data=columns, timeframe="1h", output="runs", run_id="named")
    for text in ("RunResult named", "equity", "10,000.00 -> ", "max drawdown", result.digest[:16], "runs/named"):
        assert text in repr(result)
    assert "<b>Evil" not in result._repr_html_()
    assert result._repr_html_().startswith("<table>")
    assert all(len(line) < 200 for line in repr(result).splitlines())


def test_it_runs_in_a_thread_and_beside_a_running_event_loop(columns):
    digests = [swing(columns).digest]

    def work() -> None:
        digests.append(swing(columns).digest)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    async def cell() -> None:
        digests.append(swing(columns).digest)

    asyncio.run(cell())
    assert len(digests) == 3
    assert len(set(digests)) == 1


def test_a_run_with_output_is_a_run_on_disk(columns):
    result = swing(columns, output=Path("out"), run_id="mine")
    assert result.path == Path("out/mine")
    manifest = json.loads(Path("out/mine/manifest.json").read_text())
    assert (manifest["digest"], manifest["status"], manifest["data_source"]) == (result.digest, "complete", "memory")
    with pytest.raises(StorageError, match="run id 'mine' exists"):
        swing(columns, output="out", run_id="mine")


class Fails(Strategy):
    def on_candle(self, candle: Candle):
        raise LookupError("mine")


def test_what_is_wrong_is_raised_as_an_error_that_names_it(columns):
    with pytest.raises(RunAbortedError, match="LookupError in on_candle: mine") as caught:
        backtester.run(Fails, symbols="BTCUSDT", data=columns)
    assert isinstance(caught.value.cause, StrategyError)
    with pytest.raises(ConfigError, match="did you mean 'qty'"):
        swing(columns, params={"qyt": 1})
    with pytest.raises(ConfigError, match="exactly one symbol"):
        backtester.run(Swing, symbols=["BTCUSDT", "ETHUSDT"], data=columns)
    with pytest.raises(ConfigError, match="no frame for ETHUSDT"):
        backtester.run(Swing, symbols=["ETHUSDT"], data={"BTCUSDT": columns})
    with pytest.raises(ConfigError, match="did you mean"):
        swing(columns, settings={"sim.slipage_bps": 1})
    with pytest.raises(DataUnavailableError, match="no rows"):
        swing(pl.DataFrame(columns).head(0))
    with pytest.raises(ConfigError, match="no instrument spec for .*XYZUSDT"):
        swing(columns, symbols="XYZUSDT")


def test_the_callback_sees_the_run_advance(columns):
    seen = []
    swing(waves(20 * 1440), progress=seen.append)
    assert seen
    assert all(one.start_ms <= one.now_ms <= one.end_ms for one in seen)
    assert [one.candles for one in seen] == sorted(one.candles for one in seen)
