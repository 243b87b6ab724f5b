"""Orders that wait for stored mark or index prices: read from the catalog, never replaced by the last price."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import backtester
from backtester import Candle, MarketOrderIntent, Side, Strategy, TriggerBy
from backtester.data.catalog import Catalog
from backtester.domain.errors import RunAbortedError
from tests.app.test_margin_plan import store_mark
from tests.sim.small_run import A, columns, flat, spec

DIP = "\n".join([flat("00:00", 5), "00:05 100 100 91 99 0", flat("00:06", 4)])
HOLE = "\n".join([flat("00:00", 4), flat("00:05", 5)])


def run_on(root: Path, mark: str, by: TriggerBy, **facts: Any) -> backtester.RunResult:
    """Buys at the first candle, with a stop at 95."""
    base = Catalog(root)
    base.write("test", "linear", A, "1m", columns(flat("00:00", 10)))
    if mark:
        store_mark(base, columns(mark))

    class Buys(Strategy):
        def on_start(self) -> None:
            self.sent = False

        def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
            if self.sent:
                return []
            self.sent = True
            return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=1, stop_loss=95, trigger_by=by)]

    costs = {"sim.spread_bps": 0, "sim.slippage_bps": 0, "sim.fee_bps": 0, "sim.participation_bps": 0}
    where = {"data": str(root), "symbols": A, "exchange": "test", "market": "linear", "specs": [spec(A)]}
    return backtester.run(Buys, settings=costs, **where, **facts)


def test_the_stored_mark_triggers_and_the_traded_bar_has_the_price(tmp_path: Path) -> None:
    fills = run_on(tmp_path, DIP, TriggerBy.MARK).fills.to_dicts()
    assert [(fill["reason"], float(fill["price"])) for fill in fills] == [("SIGNAL", 100.0), ("SL_HIT", 100.0)]
    assert len(run_on(tmp_path / "last", DIP, TriggerBy.LAST).fills) == 1


@pytest.mark.parametrize(
    ("mark", "by", "words"),
    [
        pytest.param("", TriggerBy.MARK, r"no mark prices of it are stored in bars of 1m or shorter.* --kind mark", id="none stored"),
        pytest.param(DIP, TriggerBy.INDEX, r"no index prices .*bt data download --exchange test --market linear --symbols AAAUSDT --kind index --timeframe 1m", id="the other kind"),
        pytest.param(HOLE, TriggerBy.MARK, r"no mark prices of it are stored from 2025-01-06 00:04.* to .*00:05", id="a hole"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path: Path, mark: str, by: TriggerBy, words: str) -> None:
    with pytest.raises(RunAbortedError, match=words) as caught:
        run_on(tmp_path, mark, by)
    assert caught.value.exit_code == 3


def test_the_sample_market_has_none() -> None:
    with pytest.raises(RunAbortedError, match="no mark prices of it are stored in candles of the source 'sample'"):
        backtester.run(_Sampled, symbols="BTCUSDT", market="linear", settings={"data.source": "sample"})


class _Sampled(Strategy):
    """Asks at its first candle."""

    def on_candle(self, candle: Candle) -> list[MarketOrderIntent]:
        stop = candle.close / 2
        return [MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.001", stop_loss=stop, trigger_by=TriggerBy.MARK)]
