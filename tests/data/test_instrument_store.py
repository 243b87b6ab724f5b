from __future__ import annotations

import itertools
import json
import os
from decimal import Decimal
from multiprocessing import get_context
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.instrument_record import Fees, Funding, InstrumentAnswer, InstrumentRecord, Rules
from backtester.data.instrument_store import InstrumentStore
from backtester.domain.errors import ConfigError, DataError, DataQualityError, StorageError
from backtester.domain.instruments import SymbolSpecs
from backtester.domain.tiers import LeverageTier

DAY_MS = 86_400_000
PLACE = ("bybit", "linear", "BTCUSDT")


def rules(tick: str = "0.1", **given: object) -> Rules:
    return Rules(base="BTC", quote="USDT", tick_size=Decimal(tick), lot_size=Decimal("0.001"), min_qty=Decimal("0.001"), **given)


def answer(day: int, *records: InstrumentRecord, source: str = "a saved answer", **given: object) -> InstrumentAnswer:
    return InstrumentAnswer("bybit", "linear", day * DAY_MS, source, records or (record(),), **given)


def record(tick: str = "0.1", symbol: str = "BTCUSDT", **given: object) -> InstrumentRecord:
    return InstrumentRecord(symbol, rules=rules(tick), **given)


def ticks(store: InstrumentStore) -> list[tuple[int, int | None, str]]:
    return [
        (spec.valid_from_ms // DAY_MS, spec.valid_to_ms and spec.valid_to_ms // DAY_MS, str(spec.tick_size))
        for spec in store.specs(*PLACE)
    ]


def test_what_was_stored_is_read_as_rules_of_the_engine(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    given = InstrumentRecord(
        "BTCUSDT",
        rules=rules(max_qty=Decimal(1190), max_market_qty=Decimal(500), settle="USDT", status="Trading", listed_ms=5),
        leverage_tiers=(
            LeverageTier(floor=Decimal(0), cap=Decimal(2_000_000), maintenance_frac=Decimal("0.005"), leverage_max=Decimal(100)),
        ),
        fees=Fees(maker_bps=Decimal(1), taker_bps=Decimal(6)),
        funding=Funding(interval_h=8),
    )
    report = store.store(answer(10, given))
    assert (report.new, report.changed, report.unchanged) == (("BTCUSDT",), (), ())
    (spec,) = store.specs(*PLACE)
    assert (spec.exchange, spec.market.value, spec.base, spec.quote, spec.settle) == ("bybit", "linear", "BTC", "USDT", "USDT")
    assert (spec.max_qty, spec.max_market_qty, spec.funding_interval_h, spec.listed_ms) == (Decimal(1190), Decimal(500), 8, 5)
    assert (spec.maker_bps, spec.taker_bps, spec.leverage_tiers[0].cap) == (Decimal(1), Decimal(6), Decimal(2_000_000))
    assert (spec.valid_from_ms, spec.valid_to_ms, spec.source) == (10 * DAY_MS, None, "a saved answer")
    assert (tmp_path / "bybit/linear/instruments.json").is_file()
    assert store.symbols("bybit", "linear") == ("BTCUSDT",)


def test_the_same_answer_twice_changes_no_byte(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    before = store.path("bybit", "linear").read_bytes()
    report = store.store(answer(10))
    assert report.unchanged == ("BTCUSDT",)
    assert store.path("bybit", "linear").read_bytes() == before


def test_an_equal_answer_later_changes_no_validity_and_a_different_one_ends_it(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    assert store.store(answer(20)).unchanged == ("BTCUSDT",)
    assert ticks(store) == [(10, None, "0.1")]
    assert store.store(answer(30, record("0.5"))).changed == ("BTCUSDT",)
    assert ticks(store) == [(10, 30, "0.1"), (30, None, "0.5")]


def test_an_older_answer_takes_its_place_between_two_that_were_equal(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    store.store(answer(30))
    store.store(answer(20, record("0.5")))
    assert ticks(store) == [(10, 20, "0.1"), (20, 30, "0.5"), (30, None, "0.1")]


@given(
    said=st.lists(
        st.tuples(st.integers(1, 6), st.sampled_from(("0.1", "0.5")), st.sampled_from(("BTCUSDT", "ETHUSDT")), st.booleans()),
        min_size=1,
        max_size=5,
        unique_by=lambda one: (one[0], one[2]),
    ),
    data=st.data(),
)
def test_the_file_does_not_depend_on_the_order_of_answers(said, data, tmp_path_factory) -> None:
    def answers():
        for day, tick, symbol, with_fees in said:
            fees = Fees(maker_bps=Decimal(tick), taker_bps=Decimal(5)) if with_fees else None
            yield answer(day, record(tick, symbol, fees=fees), source=f"day {day} of {symbol}")

    contents = set()
    for order in (list(answers()), data.draw(st.permutations(list(answers())))):
        store = InstrumentStore(tmp_path_factory.mktemp("catalog"))
        for one in order:
            store.store(one)
        contents.add(store.path("bybit", "linear").read_bytes())
        SymbolSpecs(spec for symbol in store.symbols("bybit", "linear") for spec in store.specs("bybit", "linear", symbol))
    assert len(contents) == 1


def test_two_answers_of_one_time_that_differ_are_refused_and_nothing_is_written(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    before = store.path("bybit", "linear").read_bytes()
    with pytest.raises(DataQualityError, match=r"bybit linear BTCUSDT rules: two answers of 1970-01-11 00:00:00 UTC differ.*--at"):
        store.store(answer(10, record("0.1", "ETHUSDT"), record("0.5")))
    assert store.path("bybit", "linear").read_bytes() == before


def test_parts_told_by_other_answers_join_and_hold_from_before_they_were_first_told(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    store.store(answer(20, InstrumentRecord("BTCUSDT", fees=Fees(maker_bps=Decimal(1), taker_bps=Decimal(6)))))
    store.store(answer(30, InstrumentRecord("BTCUSDT", fees=Fees(maker_bps=Decimal(2), taker_bps=Decimal(6)))))
    spans = [
        (spec.valid_from_ms // DAY_MS, spec.valid_to_ms and spec.valid_to_ms // DAY_MS, spec.maker_bps)
        for spec in store.specs(*PLACE)
    ]
    assert spans == [(10, 30, Decimal(1)), (30, None, Decimal(2))]


def test_a_symbol_of_which_only_tiers_are_known_has_no_rules(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10, InstrumentRecord("BTCUSDT", funding=Funding(interval_h=8))))
    assert store.specs(*PLACE) == ()
    assert store.symbols("bybit", "linear") == ()


def test_networks_are_kept_apart(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10, network="testnet"))
    assert store.specs(*PLACE) == ()
    assert len(store.specs(*PLACE, network="testnet")) == 1
    assert (tmp_path / "bybit.testnet/linear/instruments.json").is_file()


def test_a_name_that_the_catalog_cannot_have_is_left_out_and_told(tmp_path) -> None:
    report = InstrumentStore(tmp_path).store(answer(10, record(symbol="../up"), record()))
    assert report.new == ("BTCUSDT",)
    assert report.notes == ("'../up' is left out: the catalog has no such names",)


def test_places_that_cannot_be_directories_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigError, match="exchange '../x'"):
        InstrumentStore(tmp_path).specs("../x", "linear", "BTCUSDT")


@pytest.mark.parametrize("content", ["{", "[]", '{"format": 1}'])
def test_a_damaged_file_is_named(content, tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    store.path("bybit", "linear").write_text(content)
    with pytest.raises(DataError, match=r"instruments\.json is damaged .*fetch or import the instruments again"):
        store.specs(*PLACE)


def test_a_file_of_a_later_format_is_not_misread(tmp_path) -> None:
    store = InstrumentStore(tmp_path)
    store.store(answer(10))
    path = store.path("bybit", "linear")
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 2}))
    with pytest.raises(DataError, match="has format 2, this version reads 1"):
        store.specs(*PLACE)


def test_a_directory_that_cannot_be_made_is_an_error_of_storage(tmp_path) -> None:
    (tmp_path / "bybit").write_text("a file")
    with pytest.raises(StorageError, match="cannot write to"):
        InstrumentStore(tmp_path).store(answer(10))


def write_days(base: Path, days: tuple[int, ...]) -> None:
    store = InstrumentStore(base)
    for day in days:
        store.store(answer(day, record(f"0.{day}")))


def test_two_processes_that_store_at_once_lose_nothing(tmp_path) -> None:
    context = get_context("fork") if os.name == "posix" else get_context()
    days = ((1, 3, 5, 7), (2, 4, 6, 8))
    processes = [context.Process(target=write_days, args=(tmp_path, some)) for some in days]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [process.exitcode for process in processes] == [0, 0]
    assert [first for first, _, _ in ticks(InstrumentStore(tmp_path))] == sorted(itertools.chain(*days))
    assert [path.name for path in (tmp_path / "bybit/linear").iterdir()] == ["instruments.json"]
