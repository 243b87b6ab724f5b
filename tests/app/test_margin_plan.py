"""From leverage and `account.mark` to what a run goes by: terms, stored prices, notes, and what cannot be."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy
from backtester.app.margin import MarginPlan, plan_margin
from backtester.app.market_data import SymbolRef
from backtester.config.run_config import AccountSection, DataSection, RunConfig, RunSection
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.data.kinds import MARK
from backtester.data.mark_bars import MarkBars, MarkSource
from backtester.domain.errors import ConfigError, DataUnavailableError
from backtester.domain.margin_terms import MarginMode
from backtester.domain.tiers import LeverageTier
from backtester.domain.vocabulary import Market
from backtester.sim.sim_models import FixedFee
from tests.data.rows import a_series, batch_of, table_of
from tests.sim.small_run import MIDNIGHT, MINUTE, A, B, columns, flat, spec

LINEAR = [SymbolRef(symbol, "test", "linear", symbol) for symbol in (A, B)]
TIERS = (LeverageTier(floor=Decimal(0), maintenance_frac=Decimal("0.01"), leverage_max=Decimal(25)),)


def planned(refs: list[SymbolRef] = LINEAR, *, market: Market = Market.LINEAR, rules: Any = None, **account: Any) -> MarginPlan:
    config = RunConfig(
        data=DataSection(source="memory"), run=RunSection(execution_timeframe="1m"), account=AccountSection(**account)
    )
    specs = {ref.key: spec(ref.key, market=market, **(rules or {})) for ref in refs}
    return plan_margin(config, refs, specs, FixedFee(Decimal("5.5")), start_ms=0, end_ms=MINUTE)


def test_without_leverage_there_is_no_margin() -> None:
    assert planned() == MarginPlan()
    assert planned(margin="isolated") == MarginPlan()


def test_every_symbol_has_its_leverage_and_the_notes_say_what_was_assumed() -> None:
    plan = planned(leverage=10, leverage_by_symbol={B: "2.5"}, margin="isolated")
    assert {symbol: terms.leverage for symbol, terms in plan.terms.items()} == {A: 10, B: Decimal("2.5")}
    assert plan.mode is MarginMode.ISOLATED
    assert plan.notes[0].endswith(
        "leverage 10, isolated margin, maintenance by 0.025 of the value at any size, for no tiers are stored (bt data instruments)"
    )
    assert plan.notes[1].endswith("liquidation on the last price: no mark prices are stored in bars of 1m or shorter")


@pytest.mark.parametrize(("leverage", "rate"), [("2", "0.025"), ("20", "0.025"), ("50", "0.01"), ("125", "0.004")])
def test_without_tiers_maintenance_is_at_most_half_the_initial_margin(leverage: str, rate: str) -> None:
    (tier,) = planned(leverage=leverage).terms[A].tiers.tiers
    assert tier.maintenance_frac == Decimal(rate)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"leverage": 26, "rules": {"leverage_tiers": TIERS}}, "leverage 26 is more than the first tier allows .at most 25"),
        ({"leverage": 126}, "at most 125"),
        ({"leverage": 51, "rules": {"max_leverage": Decimal(50)}}, "at most 50"),
        ({"leverage_by_symbol": {"ETCUSDT": 2}}, "names ETCUSDT, not in this run"),
        ({"leverage": 2, "market": Market.SPOT, "refs": [SymbolRef(A, "test", "spot", A)]}, "matter of derivatives"),
    ],
)
def test_leverage_that_cannot_be_is_refused(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        planned(**facts)


def test_prices_that_are_not_stored_are_named_with_the_way_to_get_them() -> None:
    with pytest.raises(DataUnavailableError, match=r"no index prices of AAAUSDT.*bt data download .*--kind index --timeframe 1m"):
        planned(mark="index")


def table(starts: list[int], price: float) -> pa.Table:
    return pa.table(
        {"start_ms": starts} | {name: [price + step for _ in starts] for step, name in enumerate(("low", "open", "close", "high"))}
    )


def test_mark_bars_are_read_as_time_goes_on_and_joined_over_longer_bars() -> None:
    tables = iter([table([0, 1000], 10.0), table([2000, 3000], 20.0), table([5000], 30.0)])
    bars = MarkBars({A: MarkSource(tables, 1000)})
    assert bars.close_at(A, 999) is None
    assert bars.over(A, 0, 2000) == (11.0, 10.0, 13.0)
    assert bars.over(A, 1000, 3000) == (11.0, 10.0, 23.0)
    assert bars.close_at(A, 3999) == 22.0
    assert bars.over(A, 4000, 6000) is None  # its first bar is missing
    assert bars.over(A, 5000, 6000) == (31.0, 30.0, 33.0)
    assert bars.over(B, 5000, 6000) is None and bars.close_at(B, 6000) is None


class BuysOnce(Strategy):
    """Buys ten at its first candle."""

    def on_start(self) -> None:
        self.qty = 10

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
        qty, self.qty = self.qty, 0
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=qty)] if qty else []


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """Flat candles at 100, and a mark that falls to 91 in the fifth minute."""
    base = Catalog(tmp_path)
    base.write("test", "linear", A, "1m", columns(flat("00:00", 10)))
    mark = columns("\n".join([flat("00:00", 5), "00:05 100 100 91 99 0", flat("00:06", 4)]))
    store_mark(base, mark)
    return tmp_path


def store_mark(catalog: Catalog, mark: CandleColumns) -> None:
    series = a_series(MARK, exchange="test", symbol=A)
    names = ("start_ms", "open", "high", "low", "close")
    rows = [dict(zip(names, values, strict=True)) for values in zip(*(getattr(mark, name).tolist() for name in names), strict=True)]
    catalog.store(batch_of(table_of(MARK, rows), series))


def run_on(catalog: Path, **settings: Any) -> backtester.RunResult:
    return backtester.run(
        BuysOnce,
        data=str(catalog),
        symbols=A,
        exchange="test",
        market="linear",
        specs=[spec(A)],
        cash=200,
        leverage=10,
        settings={"sim.spread_bps": 0, "sim.slippage_bps": 0, "sim.fee_bps": 0, "sim.participation_bps": 0, **settings},
    )


def test_a_stored_mark_liquidates_where_the_last_price_does_not(catalog: Path) -> None:
    result = run_on(catalog, **{"account.margin": "isolated"})
    assert [fill["reason"] for fill in result.fills.to_dicts()] == ["SIGNAL", "LIQUIDATION"]
    assert result.fills["time_ms"][1] == MIDNIGHT + 6 * MINUTE
    assert any("liquidation on the mark price, bars of 1m" in one.rule for one in result.manifest.assumptions)
    assert result.summary["liquidations"] == 1


def test_equity_goes_by_the_mark_where_that_is_asked_for(catalog: Path) -> None:
    by_mark, by_last = (run_on(catalog, **{"account.mark": name}) for name in ("mark", "last"))
    assert [float(min(result.equity["equity"])) for result in (by_mark, by_last)] == [190.0, 200.0]
