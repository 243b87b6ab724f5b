"""Which rules a run uses, and what it says where they are not those of all its time."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from backtester.app.specs import ChosenSpecs, choose_specs
from backtester.cli.main import main
from backtester.data.catalog import Catalog
from backtester.data.columns import CandleColumns
from backtester.data.instrument_record import Fees, InstrumentAnswer, InstrumentRecord, Rules
from backtester.data.instrument_store import InstrumentStore
from backtester.domain.instruments import SymbolSpec, SymbolSpecs
from backtester.domain.order_bounds import PriceBand
from backtester.domain.timeframe import DAY_MS, MINUTE_MS, parse_time_ms
from backtester.domain.vocabulary import Market

START_MS = parse_time_ms("2024-03-01")
END_MS = START_MS + 2 * DAY_MS


def spec(day_from: int, day_to: int | None, tick: str = "0.1", **given: object) -> SymbolSpec:
    return SymbolSpec(
        symbol="BTCUSDT",
        exchange="binance",
        market=Market.LINEAR,
        base="BTC",
        quote="USDT",
        tick_size=Decimal(tick),
        lot_size=Decimal("0.001"),
        min_qty=Decimal("0.001"),
        valid_from_ms=START_MS + day_from * DAY_MS,
        valid_to_ms=None if day_to is None else START_MS + day_to * DAY_MS,
        **given,
    )


def choose(*specs: SymbolSpec) -> ChosenSpecs:
    return choose_specs(SymbolSpecs(specs), ["BTCUSDT"], start_ms=START_MS, end_ms=END_MS)


def chosen(*specs: SymbolSpec) -> tuple[str, tuple[str, ...]]:
    choice = choose(*specs)
    return str(choice.specs["BTCUSDT"].tick_size), choice.notes


def test_the_rules_of_the_start_are_used_without_a_word() -> None:
    assert chosen(spec(-20, -10, "0.01"), spec(-10, None), spec(-30, -20, "0.5")) == ("0.1", ())


def test_a_change_within_the_run_is_told_and_comes_into_force() -> None:
    choice = choose(spec(-1, 1), spec(1, None, "0.25", min_notional=Decimal(5)))
    assert choice.notes == (
        "BTCUSDT: instrument rules change within the run at 2024-03-02 00:00:00 (tick_size 0.1 -> 0.25, min_notional 0 -> 5)",
    )
    first, (change,) = choice.specs["BTCUSDT"], choice.changes
    assert (change.time_ms, change.ended) == (START_MS + DAY_MS, False)
    assert (first.tick_size, first.tick_step, first.tick_e8) == (Decimal("0.1"), 2, 5_000_000)
    assert (change.spec.tick_size, change.spec.tick_step, change.spec.tick_e8) == (Decimal("0.25"), 5, 5_000_000)
    assert (first.after_change, change.spec.after_change) == (False, True)
    assert (change.before, change.after) == ({"tick_size": "0.1", "min_notional": "0"}, {"tick_size": "0.25", "min_notional": "5"})


@given(ticks=st.lists(st.integers(1, 500), min_size=1, max_size=4), lots=st.lists(st.integers(1, 500), min_size=4, max_size=4))
def test_a_run_counts_in_what_all_its_ticks_and_lots_are_multiples_of(ticks: list[int], lots: list[int]) -> None:
    hour = DAY_MS // 24
    rows = [
        replace(
            spec(0, None, str(Decimal(tick).scaleb(-3))),
            lot_size=Decimal(lot).scaleb(-4),
            valid_from_ms=START_MS + index * hour,
            valid_to_ms=START_MS + (index + 1) * hour,
        )
        for index, (tick, lot) in enumerate(zip(ticks, lots, strict=False))
    ]
    choice = choose(*rows)
    found = [choice.specs["BTCUSDT"], *(change.spec for change in choice.changes)]
    assert len({(one.tick_e8, one.lot_e8) for one in found}) == 1
    for one in found:
        assert one.tick_e8 * one.tick_step == one.tick_size.scaleb(8)
        assert one.lot_e8 * one.lot_step == one.lot_size.scaleb(8)
    assert math.gcd(*(one.tick_step for one in found)) == math.gcd(*(one.lot_step for one in found)) == 1


def test_what_the_instrument_is_stays_as_it_was_at_the_start() -> None:
    choice = choose(spec(-1, 1), spec(1, None, "0.5", contract_size=Decimal(10), settle="BTC"))
    (change,) = choice.changes
    assert (change.spec.contract_size, change.spec.settle) == (Decimal(1), None)
    assert (
        "BTCUSDT: instrument rules give contracts another size within the run; that of its start is used to the end" in choice.notes
    )


def test_a_change_of_the_venues_bounds_is_told() -> None:
    band = PriceBand(buy_max=Decimal("1.05"), sell_min=Decimal("0.95"))
    _, (note,) = chosen(spec(-1, 1), spec(1, None, max_market_qty=Decimal(120), price_band=band))
    assert "(max_market_qty none -> 120, price_band none -> buy_max 1.05 sell_min 0.95)" in note


def test_a_change_of_what_no_order_meets_is_not_told() -> None:
    assert chosen(spec(-1, 1), spec(1, None, funding_interval_h=4))[1] == ()


def test_a_change_after_the_run_is_not_told() -> None:
    assert chosen(spec(-1, 2), spec(2, None, "0.5"))[1] == ()


def test_the_nearest_rules_are_used_where_none_held_and_it_is_told() -> None:
    tick, notes = chosen(spec(300, None, "0.5"), spec(100, 300))
    assert tick == "0.1"
    assert notes == ("BTCUSDT: instrument rules are valid from 2024-06-09 00:00:00, after the run's start; the nearest are used",)
    tick, notes = chosen(spec(-50, -40), spec(300, None, "0.5"))
    assert tick == "0.1"
    assert notes == (
        "BTCUSDT: instrument rules were valid until 2024-01-21 00:00:00, before the run's start; the nearest are used",
    )


def test_the_real_rules_hold_from_their_validity_on_where_the_nearest_did_before() -> None:
    """What the status was before is not known; from then on it is."""
    choice = choose(spec(1, None, "0.5", tradable=False))
    assert choice.specs["BTCUSDT"].tradable
    (change,) = choice.changes
    assert (change.time_ms, change.spec.tradable, change.after) == (START_MS + DAY_MS, False, {"tradable": "false"})
    assert "after the run's start; the nearest are used" in choice.notes[0]


def test_rules_that_end_within_the_run_are_used_on_and_it_is_told() -> None:
    hour = DAY_MS // 24
    assert chosen(spec(-1, 1))[1] == (
        "BTCUSDT: instrument rules are not known from 2024-03-02 00:00:00 to 2024-03-03 00:00:00; those before are used",
    )
    late = replace(spec(1, None, "0.5"), valid_from_ms=START_MS + DAY_MS + hour)
    choice = choose(spec(-1, 1), late)
    assert [change.time_ms for change in choice.changes] == [START_MS + DAY_MS + hour]
    assert "not known from 2024-03-02 00:00:00 to 2024-03-02 01:00:00; those before are used" in choice.notes[0]


def test_every_change_is_told_up_to_a_few() -> None:
    hour = DAY_MS // 24
    late = [spec(0, None, tick, source=tick) for tick in ("0.5", "0.2", "0.1")]
    ends = (START_MS + 2 * hour, START_MS + 3 * hour, None)
    rows = [
        replace(row, valid_from_ms=START_MS + (index + 1) * hour, valid_to_ms=end)
        for index, (row, end) in enumerate(zip(late, ends, strict=True))
    ]
    first = replace(spec(0, None), valid_to_ms=START_MS + hour)
    notes = chosen(first, *rows)[1]
    assert [note.partition("within the run ")[2] for note in notes] == [
        "at 2024-03-01 01:00:00 (tick_size 0.1 -> 0.5)",
        "at 2024-03-01 02:00:00 (tick_size 0.5 -> 0.2)",
        "at 2024-03-01 03:00:00 (tick_size 0.2 -> 0.1)",
    ]
    many = [
        replace(spec(0, None, tick), valid_from_ms=START_MS + n * hour, valid_to_ms=START_MS + (n + 1) * hour)
        for n, tick in enumerate(["0.1", "0.2"] * 4)
    ]
    assert "BTCUSDT: instrument rules change 2 times more within the run" in chosen(*many)[1]


def test_the_status_of_another_time_does_not_close_the_market() -> None:
    """A symbol that is delisted today was traded when its candles were made."""
    for rules, tradable in ((spec(300, None, tradable=False), True), (spec(-1, None, tradable=False), False)):
        choice = choose_specs(SymbolSpecs([rules]), ["BTCUSDT"], start_ms=START_MS, end_ms=END_MS)
        assert choice.specs["BTCUSDT"].tradable is tradable


def test_the_end_of_trading_within_the_run_is_told_and_nothing_is_tradable_after_it() -> None:
    """As the last answer of the run names it."""
    noon_ms = START_MS + DAY_MS // 2
    told = spec(0, None, delisted_ms=START_MS + DAY_MS)
    choice = choose(replace(spec(-1, None), valid_to_ms=noon_ms), replace(told, valid_from_ms=noon_ms))
    assert choice.notes[-1] == (
        "BTCUSDT: instrument rules name 2024-03-02 00:00:00, within the run, as the end of trading: nothing opens from then on"
    )
    (change,) = choice.changes
    assert (change.time_ms, change.spec.tradable, change.ended) == (START_MS + DAY_MS, False, True)


def test_of_what_is_delivered_no_other_end_of_trading_counts() -> None:
    choice = choose(spec(-1, None, delisted_ms=START_MS + DAY_MS, expires_ms=START_MS + DAY_MS))
    assert (choice.notes, choice.changes) == ((), ())


# -- a run ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path, monkeypatch):
    """An empty directory to work in, with two days of candles of one symbol below `data`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)
    count = 2 * 1440
    start_ms = START_MS + np.arange(count, dtype=np.int64) * MINUTE_MS
    close = np.array([60_000 + 200 * math.sin(minute / 90) for minute in range(count)]).round(1)
    columns = CandleColumns(start_ms, close, close + 5, close - 5, close, np.full(count, 25.0))
    for exchange, symbol in (("binance", "BTCUSDT"), ("okx", "NEWUSDT")):
        Catalog(tmp_path / "data").write(exchange, "linear", symbol, "1m", columns)
    return tmp_path / "data"


def stored(data, day: int, tick: str, *, exchange: str = "binance", symbol: str = "BTCUSDT", fees: Fees | None = None) -> None:
    rules = Rules(base=symbol[:-4], quote="USDT", tick_size=Decimal(tick), lot_size=Decimal("0.001"), min_qty=Decimal("0.001"))
    record = InstrumentRecord(symbol, rules=rules, fees=fees)
    InstrumentStore(data).store(InstrumentAnswer(exchange, "linear", START_MS + day * DAY_MS, "saved", (record,)))


def run(capsys, symbol: str = "BTCUSDT") -> tuple[int, dict[str, object], str]:
    code = main(["--strategy", "sma_extended", "--symbols", symbol, "--timeframe", "5m", "--data", "data", "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def prices(result: dict[str, object]) -> list[Decimal]:
    header, *lines = [line.split(",") for line in Path(result["path"], "fills.csv").read_text().splitlines()]
    return [Decimal(line[header.index("price")]) for line in lines]


def warnings(result: dict[str, object]) -> list[str]:
    return [one["rule"] for one in result["assumptions"] if "instrument rules" in one["rule"]]


def test_a_run_uses_the_catalogs_rules_before_the_packaged_ones(data, capsys) -> None:
    stored(data, -1, "50", fees=Fees(maker_bps=Decimal(1), taker_bps=Decimal("7.5")))
    code, result, _ = run(capsys)
    assert code == 0
    assert prices(result)
    assert all(price % 50 == 0 for price in prices(result))
    assert "BTCUSDT: fees maker 1 bps, taker 7.5 bps (stored with the instrument)" in [one["rule"] for one in result["assumptions"]]
    assert warnings(result) == []


def test_a_run_reads_the_rules_of_a_market_once_and_again_with_the_next_run(data, capsys, monkeypatch) -> None:
    Catalog(data).write("binance", "linear", "ETHUSDT", "1m", next(Catalog(data).read("okx", "linear", "NEWUSDT", "1m", 0, 10**14)))
    read: list[str] = []
    whole = InstrumentStore.read
    monkeypatch.setattr(InstrumentStore, "read", lambda self, *place: read.append(" ".join(place)) or whole(self, *place))
    words = ["--strategy", "sma_extended", "--symbols", "BTCUSDT", "ETHUSDT", "--timeframe", "5m", "--exchange", "binance"]
    for tick in ("50", "25"):
        stored(data, -int(tick), tick)
        stored(data, -int(tick), tick, symbol="ETHUSDT")
        read.clear()
        assert main([*words, "--data", "data", "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert read == ["binance linear live"]
        assert {price % int(tick) for price in prices(result)} == {0}
    assert any(price % 50 for price in prices(result))


def test_a_run_uses_the_users_rules_before_the_catalogs(data, capsys) -> None:
    stored(data, -1, "50")
    (data.parent / "configs").mkdir()
    row = 'symbol = "BTCUSDT"\nexchange = "binance"\nmarket = "linear"\nbase = "BTC"\nquote = "USDT"\ntick_size = "200"\n'
    (data.parent / "configs/instruments.toml").write_text(
        f'[[instruments]]\n{row}lot_size = "0.001"\nmin_qty = "0.001"\nsource = "mine"\n'
    )
    _, result, _ = run(capsys)
    assert all(price % 200 == 0 for price in prices(result))


def test_a_bound_of_the_users_rules_refuses_orders_of_the_run(data, capsys) -> None:
    (data.parent / "configs").mkdir()
    row = 'symbol = "BTCUSDT"\nexchange = "binance"\nmarket = "linear"\nbase = "BTC"\nquote = "USDT"\ntick_size = "0.1"\n'
    steps = 'lot_size = "0.001"\nmin_qty = "0.001"\nmax_market_qty = "0.002"\nprice_band = { buy_max = "1.05" }\nsource = "mine"\n'
    (data.parent / "configs/instruments.toml").write_text(f"[[instruments]]\n{row}{steps}")
    code, result, _ = run(capsys)
    assert code == 0
    assert prices(result) == []
    assert "quantity above the maximum of 0.002 for market orders" in Path(result["path"], "journal.jsonl").read_text()


def test_a_run_warns_where_its_rules_are_of_another_time_or_change(data, capsys) -> None:
    stored(data, 1, "50")
    code, result, _ = run(capsys)
    assert code == 0
    assert warnings(result) == [
        "BTCUSDT: instrument rules are valid from 2024-03-02 00:00:00, after the run's start; the nearest are used"
    ]
    stored(data, -1, "100")
    assert main(["--strategy", "sma_extended", "--symbols", "BTCUSDT", "--timeframe", "1h", "--data", "data"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "rules BTCUSDT: instrument rules change within the run at 2024-03-02 00:00:00 (tick_size 100 -> 50)" in shown


def test_a_run_goes_by_the_rules_in_force_at_each_moment_and_verifies(data, capsys) -> None:
    stored(data, -1, "100", fees=Fees(maker_bps=Decimal(1), taker_bps=Decimal(5)))
    stored(data, 1, "70", fees=Fees(maker_bps=Decimal(1), taker_bps=Decimal(10)))
    code, result, _ = run(capsys)
    assert code == 0
    assert warnings(result) == [
        "BTCUSDT: instrument rules change within the run at 2024-03-02 00:00:00 (tick_size 100 -> 70, taker_bps 5 -> 10)"
    ]
    header, *lines = [line.split(",") for line in Path(result["path"], "fills.csv").read_text().splitlines()]
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    before, after = ([row for row in rows if (int(row["time_ms"]) < START_MS + DAY_MS) is early] for early in (True, False))
    assert before and after
    assert all(Decimal(row["price"]) % 100 == 0 for row in before)
    assert all(Decimal(row["price"]) % 70 == 0 for row in after)
    rates = {Decimal(row["fee"]) / (Decimal(row["price"]) * Decimal(row["qty"])) for row in before if row["liquidity"] == "taker"}
    assert all(abs(rate - Decimal("0.0005")) < Decimal("1e-8") for rate in rates)
    rates = {Decimal(row["fee"]) / (Decimal(row["price"]) * Decimal(row["qty"])) for row in after if row["liquidity"] == "taker"}
    assert all(abs(rate - Decimal("0.001")) < Decimal("1e-8") for rate in rates)
    assert main(["verify", str(result["path"])]) == 0


def test_a_symbol_without_rules_is_told_how_to_get_them(data, capsys) -> None:
    code, _, error = run(capsys, "NEWUSDT")
    assert code == 2
    assert "no instrument spec for okx.linear:NEWUSDT" in error
    assert "bt data instruments --exchange" in error
    stored(data, -1, "1", exchange="okx", symbol="NEWUSDT")
    code, _, error = run(capsys, "NEWUSDT")
    assert "no instrument spec" not in error
