"""Slippage by name: what each model charges, through the venue, and that a day knows only the days before it."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester import run
from backtester.app.result import RunResult
from backtester.app.slippage import daily_market, run_slippage
from backtester.config.loading import RunRequest, load_run_config
from backtester.config.run_config import RunConfig, RunSection, SimSection, SymbolCosts
from backtester.config.writing import config_hash, dump_toml
from backtester.data.columns import CandleColumns
from backtester.domain.candle import Candle
from backtester.domain.costs import cost_ratio
from backtester.domain.errors import ConfigError
from backtester.domain.timeframe import DAY_MS, MINUTE_MS
from backtester.domain.vocabulary import Side
from backtester.sim.pricing import FillPricing
from backtester.sim.sim_models import FixedFee, FixedSlippage
from backtester.sim.slippage_models import (
    AlmgrenChrissSlippage,
    BarSlippage,
    DailyMarket,
    DailyStatistics,
    JitteredSlippage,
    SquareRootSlippage,
    SymbolSlippage,
    TickSlippage,
    VolatilitySlippage,
    ZiplineVolumeShare,
    slippage_bps,
)
from tests.sim.orders import market_order
from tests.sim.small_run import A, B, spec

KNOWN = DailyStatistics({}, {A: DailyMarket(Decimal(40_000), Decimal("0.03"))})
UNKNOWN = DailyStatistics({})
MODELS = {
    "zipline": lambda: ZiplineVolumeShare(base_bps=Decimal(1)),
    "volatility": lambda: VolatilitySlippage(statistics=KNOWN, base_bps=Decimal(1)),
    "square_root": lambda: SquareRootSlippage(statistics=KNOWN, base_bps=Decimal(1)),
    "almgren_chriss": lambda: AlmgrenChrissSlippage(statistics=KNOWN, base_bps=Decimal(1)),
    "jittered": lambda: JitteredSlippage(FixedSlippage(Decimal(1)), jitter_bps=Decimal(3), seed=7),
}


def bar(minute: int = 0, *, volume: float = 10_000, price: float = 100) -> Candle:
    return Candle(A, "1m", minute * MINUTE_MS, (minute + 1) * MINUTE_MS, price, price, price, price, volume)


def bps(model: BarSlippage, qty: object, *, at: Candle | None = None, side: Side = Side.BUY) -> Decimal:
    return slippage_bps(model, symbol=A, side=side, qty=Decimal(str(qty)), bar=at or bar(), price=100.0)


def test_zipline_counts_all_that_was_taken_of_the_bar() -> None:
    """I01: close 100, 250 of a volume of 10,000: 100.00625 for a buy."""
    model = ZiplineVolumeShare()
    assert 100 * Fraction(*cost_ratio(Decimal(0), bps(model, 250), Side.BUY)) == Fraction("100.00625")
    model.traded(symbol=A, side=Side.BUY, qty=Decimal(250), bar=bar())
    assert bps(model, 250) == Decimal("2.5")
    assert bps(model, 250, at=bar(1)) == Decimal("0.625")


def test_the_square_root_law_is_that_of_the_example() -> None:
    """I05: 400 of 40,000 a day at a volatility of 3 %: 30 bps at the end of the order."""
    assert bps(SquareRootSlippage(statistics=KNOWN), 400, at=bar(volume=1e9)) == 30


def test_above_the_square_root_law_the_share_of_the_bar_counts() -> None:
    assert bps(SquareRootSlippage(statistics=KNOWN), 400, at=bar(volume=400)) == 1000


def test_volatility_scales_with_the_root_of_the_size() -> None:
    model = VolatilitySlippage(statistics=KNOWN)
    assert bps(model, 400) > 0
    assert abs(bps(model, 400) - 2 * bps(model, 100)) < Decimal("1e-30")


def test_what_lasts_is_charged_again_and_halves_with_each_half_life() -> None:
    model = AlmgrenChrissSlippage(statistics=KNOWN, half_life_ms=MINUTE_MS)
    alone = bps(model, 400)
    model.traded(symbol=A, side=Side.BUY, qty=Decimal(400), bar=bar())
    lasting = Decimal("0.314") * Decimal("0.03") * Decimal("0.01") * 10_000
    assert abs(bps(model, 400) - alone - lasting) < Decimal("1e-30")
    assert abs(bps(model, 400, at=bar(2)) - alone - lasting / 4) < Decimal("1e-30")
    assert bps(model, 400, side=Side.SELL) == alone, "the other side gains nothing from what we moved"


@pytest.mark.parametrize("kind", [VolatilitySlippage, SquareRootSlippage, AlmgrenChrissSlippage])
def test_without_a_history_it_is_seven_and_a_half_bps(kind: type[BarSlippage]) -> None:
    model = kind(statistics=UNKNOWN, base_bps=Decimal(1))  # type: ignore[call-arg] # the three take the same
    assert bps(model, 1) == Decimal("8.5")


@pytest.mark.parametrize("make", MODELS.values(), ids=MODELS)
@given(
    qty=st.decimals("0.001", 10**6, places=3),
    volume=st.floats(0, 1e9),
    side=st.sampled_from(Side),
    minute=st.integers(0, 3000),
)
def test_every_model_is_finite_never_flatters_and_grows_with_size(
    make: type[BarSlippage], qty: Decimal, volume: float, side: Side, minute: int
) -> None:
    model, at = make(), bar(minute, volume=volume)
    asked = bps(model, qty, at=at, side=side)
    assert asked >= 1
    assert asked == bps(model, qty, at=at, side=side), "asking changes nothing"
    assert asked <= bps(model, 2 * qty, at=at, side=side)


def test_chance_is_a_function_of_seed_symbol_bar_and_side() -> None:
    def drawn(seed: int) -> list[Decimal]:
        model = JitteredSlippage(FixedSlippage(Decimal(1)), jitter_bps=Decimal(3), seed=seed)
        return [bps(model, 1, at=bar(minute)) for minute in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert all(1 <= value < 4 for value in drawn(1))
    assert len(set(drawn(1))) > 40


def pricing(model: object, *, factor: str = "1", **more: object) -> FillPricing:
    return FillPricing(
        specs={A: spec(A), B: spec(B)},
        spread_bps=Decimal(0),
        slippage=model,  # type: ignore[arg-type] # models of both kinds
        fees=FixedFee(Decimal(0)),
        cost_factor=Decimal(factor),
        **more,  # type: ignore[arg-type] # spreads by symbol
    )


def ticks(of: FillPricing, side: Side, symbol: str = A, *, over_share: bool = False, lots: int = 1000) -> int:
    return of.taker_ticks(market_order(side, symbol), lots, bar(), 100.0, over_share)


@pytest.mark.parametrize(("factor", "buy", "sell"), [("1", 1002, 998), ("2", 1004, 996), ("0.4", 1001, 999)])
def test_ticks_are_added_after_rounding(factor: str, buy: int, sell: int) -> None:
    of = pricing(TickSlippage(2), factor=factor)
    assert (ticks(of, Side.BUY), ticks(of, Side.SELL)) == (buy, sell)
    jittered = SymbolSlippage({A: JitteredSlippage(TickSlippage(2), jitter_bps=Decimal(0), seed=1), B: TickSlippage(0)})
    assert ticks(pricing(jittered, factor=factor), Side.BUY) == buy


def test_each_symbol_has_its_own_model_and_spread() -> None:
    of = pricing(SymbolSlippage({A: FixedSlippage(Decimal(50)), B: TickSlippage(3)}), spreads_bps={B: Decimal(100)})
    assert ticks(of, Side.BUY) == 1005
    assert ticks(of, Side.BUY, B) == 1008


def test_a_factor_scales_spread_slippage_and_the_impact_above_the_share() -> None:
    plain, doubled = pricing(FixedSlippage(Decimal(10))), pricing(FixedSlippage(Decimal(10)), factor="2")
    assert (ticks(plain, Side.BUY), ticks(doubled, Side.BUY)) == (1001, 1002)
    whole = 10_000 * 1000  # the whole bar: 1,000 bps
    assert ticks(plain, Side.BUY, over_share=True, lots=whole) == 1101
    assert ticks(doubled, Side.BUY, over_share=True, lots=whole) == 1202


@given(
    name=st.sampled_from(sorted(MODELS)),
    side=st.sampled_from(Side),
    lots=st.integers(1, 10**8),
    volume=st.floats(0, 1e6),
    factors=st.tuples(st.decimals(0, 50, places=2), st.decimals(0, 50, places=2)),
    over_share=st.booleans(),
)
def test_higher_costs_never_make_a_fill_better(
    name: str, side: Side, lots: int, volume: float, factors: tuple[Decimal, Decimal], over_share: bool
) -> None:
    low, high = (pricing(MODELS[name](), factor=str(factor)) for factor in sorted(factors))
    cheap, dear = (of.taker_ticks(market_order(side), lots, bar(volume=volume), 100.0, over_share) for of in (low, high))
    assert (dear - cheap) * side.sign >= 0


@pytest.mark.parametrize("name", ["ticks", "zipline", "volatility", "square_root", "almgren_chriss"])
def test_a_run_pays_what_its_model_says_and_repeats(name: str) -> None:
    def result(model: str) -> RunResult:
        settings = {"sim.slippage_model": model, "sim.slippage_jitter_bps": "0.5"}
        return run("sma_extended", symbols=["BTCUSDT"], start="2024-01-20", end="2024-02-05", data=None, settings=settings)

    named, fixed = result(name), result("fixed")
    assert named.digest == result(name).digest != fixed.digest
    assert any(name.removesuffix("s") in one.rule for one in named.manifest.assumptions)


class Days:
    """Market data of one symbol: an hour's bar at each 12 hours."""

    def __init__(self, closes: list[float], volumes: list[float]) -> None:
        starts = np.arange(len(closes), dtype=np.int64) * (DAY_MS // 2)
        prices = np.array(closes)
        self._all = CandleColumns(starts, prices, prices, prices, prices, np.array(volumes))

    def read(self, symbol: str, start_ms: int, end_ms: int) -> list[CandleColumns]:
        first, last = self._all.start_ms.searchsorted((start_ms, end_ms))
        return [CandleColumns(*(column[first:last] for column in self._all))]


def test_a_day_knows_the_days_before_it_and_nothing_else() -> None:
    rng = np.random.default_rng(3)
    closes, volumes = (100 + rng.normal(size=80)).tolist(), rng.uniform(1, 9, size=80).tolist()
    before = daily_market(Days(closes, volumes), A, start_ms=0, end_ms=40 * DAY_MS)  # type: ignore[arg-type] # columns only
    assert min(before) == 6  # five returns need six closes
    cut = 30
    scrambled = daily_market(
        Days(closes[: 2 * cut] + [7.0] * 20, volumes[: 2 * cut] + [1e6] * 20),
        A,
        start_ms=0,
        end_ms=40 * DAY_MS,  # type: ignore[arg-type] # columns only
    )
    assert {day: before[day] for day in range(6, cut + 1)} == {day: scrambled[day] for day in range(6, cut + 1)}
    assert before[cut + 1] != scrambled[cut + 1]
    assert abs(float(before[cut].volume) - sum(volumes[20:60]) / 20) < 1e-7


def test_a_configuration_names_models_by_symbol() -> None:
    sim = SimSection(
        slippage_model="ticks",
        symbols={A: SymbolCosts(slippage_model="almgren_chriss", daily_volume=Decimal(5), daily_volatility_bps=Decimal(300))},
    )
    made = run_slippage(RunConfig(sim=sim), [A, B], None, start_ms=0, end_ms=1)  # type: ignore[arg-type] # nothing is read
    assert isinstance(made, SymbolSlippage)
    assert [type(made.models[key]) for key in (A, B)] == [AlmgrenChrissSlippage, TickSlippage]
    plain = run_slippage(RunConfig(), [A], None, start_ms=0, end_ms=1)  # type: ignore[arg-type] # nothing is read
    assert type(plain) is FixedSlippage


def test_costs_by_symbol_are_written_and_read_back_equal(tmp_path) -> None:
    sim = SimSection(symbols={"B": SymbolCosts(slippage_ticks=2), "A": SymbolCosts(spread_bps=Decimal("0.1"))})
    config = RunConfig(run=RunSection(symbols=("A",)), sim=sim)
    (tmp_path / "c.toml").write_text('[[strategies]]\nname = "sma_extended"\n' + dump_toml(config).replace("strategies = []\n", ""))
    loaded = load_run_config(RunRequest(config_file=tmp_path / "c.toml", directory=tmp_path)).config
    assert loaded.sim == sim
    assert list(loaded.sim.symbols) == ["A", "B"]
    assert config_hash(RunConfig(sim=sim)) != config_hash(RunConfig())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("sim.symbols={BTCUSDT={slippage=2}}", "unknown field `slippage`"),
        ("sim.symbols={BTCUSDT={slippage_bps=-2}}", "sim.symbols.slippage_bps must be between 0"),
        ("sim.symbols={BTCUSDT={daily_volume=2}}", "are given together"),
        ("sim.slippage_ticks=-1", "sim.slippage_ticks must be between 0"),
        ("sim.slippage_model=magic", "allowed: fixed, ticks, volume_share, zipline, volatility, square_root, almgren_chriss"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, setting: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_run_config(RunRequest(settings=(setting,), strategy="sma_extended", directory=tmp_path))
