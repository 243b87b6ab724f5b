from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.columns import CandleColumns, join_columns
from backtester.data.feed import WINDOW_CANDLES, CandleFeed, SymbolStream
from backtester.domain.candle import Candle
from backtester.domain.errors import ConfigError, DataQualityError
from backtester.domain.timeframe import DAY_MS, HOUR_MS, WEEK_MS, bucket_start_ms, timeframe_text
from backtester.engine.ports import MarketDataSource
from tests.data.candles import MINUTE, MONDAY, candles_at, in_pieces, minutes, replace_value

SYMBOLS = ("BTCUSDT", "ETHUSDT", "ADAUSDT")


def feed_of(
    series: dict[str, CandleColumns],
    *,
    signal_ms=(MINUTE,),
    start_ms=0,
    end_ms=10**14,
    sizes=(10_000,),
    execution_ms=MINUTE,
    fill=False,
):
    streams = [SymbolStream(symbol, in_pieces(columns, sizes), f"test {symbol}") for symbol, columns in series.items()]
    return CandleFeed(streams, execution_ms=execution_ms, signal_ms=signal_ms, start_ms=start_ms, end_ms=end_ms, fill=fill)


def ticks_of(feed):
    return [whole(tick) for batch in feed.batches() for tick in batch]


def whole(tick):
    time_ms, bars, signals = tick
    return time_ms, tuple(bars), tuple(bars if signals is None else signals)


def bars_of(symbol: str, columns: CandleColumns, *, end_ms: int) -> list[Candle]:
    rows = zip(*(column.tolist() for column in columns), strict=True)
    bars = [Candle(symbol, "1m", row[0], row[0] + MINUTE, *row[1:]) for row in rows]
    return [bar for bar in bars if bar.end_ms <= end_ms]


def buckets_of(bars: list[Candle], length_ms: int, *, end_ms: int) -> list[Candle]:
    """Candles of a coarser timeframe, by loops and dictionaries only."""
    by_start: dict[int, list[Candle]] = {}
    for bar in bars:
        by_start.setdefault(bucket_start_ms(bar.start_ms, length_ms), []).append(bar)
    buckets = []
    for number, (start_ms, inside) in enumerate(by_start.items()):
        if (number == 0 and inside[0].start_ms != start_ms) or start_ms + length_ms > end_ms:
            continue
        buckets.append(
            Candle(
                inside[0].symbol, timeframe_text(length_ms), start_ms, start_ms + length_ms, inside[0].open,
                max(bar.high for bar in inside), min(bar.low for bar in inside), inside[-1].close,
                math.fsum(bar.volume for bar in inside), len(inside), len(inside) * MINUTE == length_ms,
            )
        )  # fmt: skip
    return buckets


def naive_ticks(series: dict[str, CandleColumns], signal_ms, *, end_ms: int):
    """What the feed must deliver, found the slow way."""
    bars_at: dict[int, list[Candle]] = {}
    signals_at: dict[int, list[Candle]] = {}
    for symbol, columns in series.items():
        bars = bars_of(symbol, columns, end_ms=end_ms)
        for bar in bars:
            bars_at.setdefault(bar.end_ms, []).append(bar)
        candles = bars if MINUTE in signal_ms else []
        for length_ms in sorted(set(signal_ms) - {MINUTE}):
            candles = candles + buckets_of(bars, length_ms, end_ms=end_ms)
        for candle in candles:
            signals_at.setdefault(candle.end_ms, []).append(candle)
    times_ms = sorted({*bars_at, *signals_at})
    return [(time_ms, tuple(bars_at.get(time_ms, ())), tuple(signals_at.get(time_ms, ()))) for time_ms in times_ms]


@st.composite
def markets(draw):
    """One to three symbols of different ranges with random gaps, short and long."""
    series = {}
    for salt, symbol in enumerate(SYMBOLS[: draw(st.integers(1, 3))]):
        index = draw(st.integers(0, 700))
        starts_ms = []
        for count, gap in draw(st.lists(st.tuples(st.integers(0, 400), st.integers(1, 300)), min_size=1, max_size=4)):
            starts_ms += [MONDAY + (index + step) * MINUTE for step in range(count)]
            index += count + gap
        series[symbol] = candles_at(starts_ms, salt=salt)
    return series


SIGNALS = st.lists(st.sampled_from([1, 5, 15, 60, 240, 1440]), min_size=1, max_size=3).map(
    lambda found: tuple(n * MINUTE for n in found)
)
ENDS = st.integers(0, 2500).map(lambda index: MONDAY + index * MINUTE)
SIZES = st.lists(st.integers(1, 900), min_size=1, max_size=3)


def test_the_feed_is_a_market_data_source():
    source: MarketDataSource = feed_of({"BTCUSDT": minutes(3)})
    assert [time_ms for time_ms, _, _ in ticks_of(source)] == [MONDAY + index * MINUTE for index in (1, 2, 3)]


@given(series=markets(), signal_ms=SIGNALS, end_ms=ENDS, sizes=SIZES)
def test_ticks_are_those_a_naive_merge_finds_however_the_data_is_cut(series, signal_ms, end_ms, sizes):
    feed = feed_of(series, signal_ms=signal_ms, end_ms=end_ms, sizes=sizes)
    assert ticks_of(feed) == naive_ticks(series, signal_ms, end_ms=end_ms)
    whole = feed_of(series, signal_ms=signal_ms, end_ms=end_ms)
    delivered = sum(len(bars) for _, bars, _ in ticks_of(whole))
    assert feed.candle_count() == whole.candle_count() == delivered
    assert feed.fingerprint() == whole.fingerprint()
    assert (feed.gap_count(), feed.gaps()) == (whole.gap_count(), whole.gaps())


@given(series=markets(), signal_ms=SIGNALS, end_ms=ENDS)
def test_a_run_that_ends_earlier_has_the_first_ticks_of_the_longer_one(series, signal_ms, end_ms):
    longer = ticks_of(feed_of(series, signal_ms=signal_ms))
    shorter = ticks_of(feed_of(series, signal_ms=signal_ms, end_ms=end_ms))
    assert shorter == [tick for tick in longer if tick[0] <= end_ms]


@given(series=markets(), signal_ms=SIGNALS, sizes=SIZES, data=st.data())
def test_bar_from_finds_the_next_bar_and_disturbs_nothing(series, signal_ms, sizes, data):
    expected = ticks_of(feed_of(series, signal_ms=signal_ms))
    bars = {symbol: bars_of(symbol, columns, end_ms=10**14) for symbol, columns in series.items()}
    feed = feed_of(series, signal_ms=signal_ms, sizes=sizes)
    seen = []
    for ticks in feed.batches():
        batch = [whole(tick) for tick in ticks]
        seen += batch
        first, last = batch[0][0], batch[-1][0]
        for _ in range(3):
            symbol = data.draw(st.sampled_from(list(series)))
            time_ms = data.draw(st.sampled_from([first, last, last + 1, last + HOUR_MS]) | st.integers(first, last + 2 * DAY_MS))
            assert feed.bar_from(symbol, time_ms) == next((bar for bar in bars[symbol] if bar.end_ms > time_ms), None)
    assert seen == expected
    for symbol in series:
        assert feed.bar_from(symbol, 10**14) is None


def test_bar_from_knows_the_first_bars_before_delivery_begins():
    feed = feed_of({"BTCUSDT": minutes(5)})
    assert feed.bar_from("BTCUSDT", MONDAY - 1).start_ms == MONDAY
    assert feed.bar_from("BTCUSDT", MONDAY + MINUTE).start_ms == MONDAY + MINUTE
    assert len(ticks_of(feed)) == 5


def test_bar_from_hands_out_only_bars_that_have_not_closed():
    feed = feed_of({"BTCUSDT": minutes(5)})
    batch = list(next(feed.batches()))
    again = feed.bar_from("BTCUSDT", batch[2][0])
    assert again == batch[3][1][0]
    assert again is not None and again.end_ms > batch[2][0]


def test_batches_are_short_and_windows_hold_few_candles():
    feed = feed_of({symbol: minutes(5000, salt=salt) for salt, symbol in enumerate(SYMBOLS)})
    assert max(sum(1 for _ in batch) for batch in feed.batches()) <= 512
    many = feed_of({f"S{index:02d}": minutes(1000, salt=index) for index in range(30)})
    assert max(sum(len(bars) for _, bars, _ in batch) for batch in many.batches()) <= WINDOW_CANDLES


@given(series=markets(), signal_ms=SIGNALS, sizes=SIZES)
def test_an_even_batch_has_bars_of_the_same_symbols_in_every_tick(series, signal_ms, sizes):
    feed = feed_of(series, signal_ms=signal_ms, sizes=sizes)
    for batch in feed.batches():
        is_even = feed.is_even()
        symbols = {tuple(candle.symbol for candle in bars) for _, bars, _ in batch}
        assert len(symbols) == 1 or not is_even


def test_batches_of_symbols_without_gaps_are_even():
    feed = feed_of({symbol: minutes(700) for symbol in SYMBOLS}, signal_ms=(5 * MINUTE,))
    assert all(feed.is_even() for _ in feed.batches())


def test_bars_are_the_signals_when_both_are_of_one_timeframe():
    for batch in feed_of({symbol: minutes(700) for symbol in SYMBOLS}).batches():
        assert all(signals is None for _, _, signals in batch)


def test_times_rise_strictly_from_batch_to_batch():
    series = {"BTCUSDT": candles_at([MONDAY + index * MINUTE for index in range(0, 9000, 7)]), "ETHUSDT": minutes(2000)}
    times_ms = [time_ms for time_ms, _, _ in ticks_of(feed_of(series, signal_ms=(5 * MINUTE,)))]
    assert all(earlier < later for earlier, later in pairwise(times_ms))


def test_a_bucket_is_emitted_at_its_end_though_its_last_bars_are_missing():
    series = {"BTCUSDT": candles_at([MONDAY + index * MINUTE for index in (*range(55), *range(130, 190))])}
    ticks = ticks_of(feed_of(series, signal_ms=(HOUR_MS,), end_ms=MONDAY + 4 * HOUR_MS))
    hours = [(time_ms, bars == (), signals[0].n, signals[0].complete) for time_ms, bars, signals in ticks if signals]
    assert hours == [
        (MONDAY + HOUR_MS, True, 55, False),
        (MONDAY + 3 * HOUR_MS, False, 50, False),
        (MONDAY + 4 * HOUR_MS, True, 10, False),
    ]


def test_a_week_of_minutes_starts_on_monday():
    columns = minutes(8 * 1440, first_ms=MONDAY - DAY_MS)
    ticks = ticks_of(feed_of({"BTCUSDT": columns}, signal_ms=(WEEK_MS,), sizes=(1440,)))
    weeks = [candle for _, _, signals in ticks for candle in signals]
    assert [(week.start_ms, week.n, week.complete, week.timeframe) for week in weeks] == [(MONDAY, 10_080, True, "1w")]


def test_only_bars_inside_the_range_are_delivered():
    feed = feed_of({"BTCUSDT": minutes(100)}, start_ms=MONDAY + 10 * MINUTE, end_ms=MONDAY + 20 * MINUTE + 30_000)
    ticks = ticks_of(feed)
    assert (ticks[0][0], ticks[-1][0]) == (MONDAY + 11 * MINUTE, MONDAY + 20 * MINUTE)
    assert feed.candle_count() == 10


def test_gaps_are_counted_and_told():
    series = {
        "A": candles_at([MONDAY + index * MINUTE for index in (0, 1, 5, 6, 20)]),
        "B": candles_at([MONDAY, MONDAY + 3 * MINUTE]),
    }
    feed = feed_of(series)
    ticks_of(feed)
    assert feed.gap_count() == 3
    assert {
        symbol: [((one.from_ms - MONDAY) // MINUTE, (one.to_ms - MONDAY) // MINUTE, one.bars) for one in report.missing.first]
        for symbol, report in feed.gaps().items()
    } == {"A": [(2, 5, 3), (7, 20, 13)], "B": [(1, 3, 2)]}


def test_all_gaps_are_counted_and_a_thousand_are_kept():
    feed = feed_of({"A": candles_at([MONDAY + index * 2 * MINUTE for index in range(1500)])})
    ticks_of(feed)
    assert feed.gap_count() == 1499
    missing = feed.gaps()["A"].missing
    assert (missing.total, missing.bars, len(missing.first)) == (1499, 1499, 1000)
    assert missing.first[-1].from_ms == MONDAY + 1999 * MINUTE


def test_gaps_and_fingerprint_cover_what_was_delivered_so_far():
    columns = join_columns(minutes(600), minutes(600, first_ms=MONDAY + 700 * MINUTE))
    feed = feed_of({"A": columns})
    batches = feed.batches()
    next(batches)
    assert (feed.candle_count(), feed.gap_count()) == (512, 0)
    short = feed_of({"A": columns}, end_ms=MONDAY + 512 * MINUTE)
    ticks_of(short)
    assert feed.fingerprint() == short.fingerprint()
    assert sum(1 for _ in batches) == 2
    assert (feed.candle_count(), feed.gap_count()) == (1200, 1)


@pytest.mark.parametrize("name", ["open", "high", "low", "close", "volume"])
def test_any_changed_value_changes_the_fingerprint(name):
    columns = minutes(50)
    columns = columns._replace(high=columns.high + 1, low=columns.low - 1)
    changed = replace_value(columns, name, 49, getattr(columns, name)[49] * (1 + 2**-50))
    fingerprints = set()
    for series in ({"A": columns}, {"B": columns}, {"A": changed}):
        feed = feed_of(series)
        ticks_of(feed)
        fingerprints.add(feed.fingerprint())
    assert len(fingerprints) == 3


def test_bad_rows_stop_the_feed_with_their_source():
    for name, value in (("close", math.nan), ("low", -1.0), ("high", 1.0)):
        with pytest.raises(DataQualityError, match=r"test BTCUSDT: row 701 \(2025-01-06 11:40:00 UTC\)"):
            ticks_of(feed_of({"BTCUSDT": replace_value(minutes(900), name, 700, value)}, sizes=(250,)))


def test_rows_that_go_back_in_time_stop_the_feed_even_between_pieces():
    with pytest.raises(DataQualityError, match="row 51 .* does not start after"):
        ticks_of(feed_of({"BTCUSDT": join_columns(minutes(50), minutes(50))}, sizes=(50,)))


@pytest.mark.parametrize("signal_ms", [90_000, 30_000])
def test_signals_that_cannot_be_built_from_the_bars_are_refused(signal_ms):
    with pytest.raises(ConfigError, match="cannot be built"):
        feed_of({"BTCUSDT": minutes(3)}, signal_ms=(signal_ms,))


def test_one_symbol_cannot_be_fed_twice():
    streams = [SymbolStream("A", iter([minutes(3)]), "x")] * 2
    with pytest.raises(ConfigError, match="symbols must differ"):
        CandleFeed(streams, execution_ms=MINUTE, signal_ms=(MINUTE,), start_ms=0, end_ms=10**14)


def test_a_feed_without_candles_delivers_nothing():
    feed = feed_of({"A": minutes(0), "B": minutes(0)})
    assert ticks_of(feed) == []
    assert feed.bar_from("A", 0) is None
    assert (feed.candle_count(), feed.gap_count(), feed.filled_count()) == (0, 0, 0)
    assert all(found.total == 0 for report in feed.gaps().values() for found in report)


@st.composite
def gappy_markets(draw):
    """As `markets`, with some bars flat and without volume."""
    series = draw(markets())
    for symbol, columns in series.items():
        rows = len(columns.start_ms)
        flat = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)) if rows < 40 else [False] * rows, dtype=bool)
        values = [np.where(flat, 1000.0, column) for column in columns[1:5]]
        series[symbol] = CandleColumns(columns.start_ms, *values, np.where(flat, 0.0, columns.volume))
    return series


@given(series=gappy_markets(), signal_ms=SIGNALS, end_ms=ENDS, sizes=SIZES)
def test_filling_gaps_only_adds_bars_and_changes_neither_fingerprint_nor_gaps(series, signal_ms, end_ms, sizes):
    skipping = feed_of(series, signal_ms=signal_ms, end_ms=end_ms)
    filling = feed_of(series, signal_ms=signal_ms, end_ms=end_ms, sizes=sizes, fill=True)
    own = [bar for _, bars, _ in ticks_of(skipping) for bar in bars]
    delivered = [bar for _, bars, _ in ticks_of(filling) for bar in bars]
    assert [bar for bar in delivered if bar.n] == own
    assert filling.candle_count() == len(own) + filling.filled_count() == len(delivered)
    assert filling.fingerprint() == skipping.fingerprint()
    assert filling.gaps() == skipping.gaps()
    for symbol in series:
        bars = [bar for bar in delivered if bar.symbol == symbol]
        if not bars:
            continue
        assert [bar.start_ms for bar in bars] == list(range(bars[0].start_ms, end_ms - MINUTE + 1, MINUTE))
        assert bars[0].n == 1
        for before, bar in pairwise(bars):
            if not bar.n:
                assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (*[before.close] * 4, 0.0)
                assert not bar.complete


@given(series=markets(), signal_ms=SIGNALS, sizes=SIZES, end_ms=ENDS)
def test_a_filled_run_that_ends_earlier_has_the_first_ticks_of_the_longer_one(series, signal_ms, sizes, end_ms):
    longer = ticks_of(feed_of(series, signal_ms=signal_ms, end_ms=MONDAY + 2600 * MINUTE, fill=True))
    shorter = ticks_of(feed_of(series, signal_ms=signal_ms, end_ms=end_ms, sizes=sizes, fill=True))
    assert shorter == [tick for tick in longer if tick[0] <= end_ms]


def test_a_gap_longer_than_a_piece_is_filled_and_found_by_bar_from():
    columns = candles_at([MONDAY, MONDAY + 20_000 * MINUTE])
    feed = feed_of({"A": columns}, end_ms=MONDAY + 20_001 * MINUTE, signal_ms=(HOUR_MS,), fill=True)
    batches = feed.batches()
    next(batches)
    ahead = feed.bar_from("A", MONDAY + 700 * MINUTE)
    assert (ahead.start_ms, ahead.n, ahead.complete, ahead.volume) == (MONDAY + 700 * MINUTE, 0, False, 0.0)
    hours = [candle for batch in batches for _, _, signals in batch for candle in signals]
    assert (feed.candle_count(), feed.filled_count(), feed.gap_count()) == (20_001, 19_999, 1)
    assert {(candle.n, candle.complete) for candle in hours[1:]} == {(0, False)}
    assert hours[-1].close == columns.close[0]


def test_a_coarser_candle_counts_only_bars_that_were_there():
    feed = feed_of(
        {"A": candles_at([MONDAY + index * MINUTE for index in (0, 1, 4)])},
        end_ms=MONDAY + 5 * MINUTE, signal_ms=(5 * MINUTE,), fill=True,
    )  # fmt: skip
    (candle,) = [candle for _, _, signals in ticks_of(feed) for candle in signals]
    assert (candle.n, candle.complete) == (3, False)
