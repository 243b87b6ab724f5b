from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.batch import Origin, RawBatch
from backtester.data.findings import DEFAULT_POLICIES, FIXABLE, Finding, Policies, Policy, Rule, policies_from
from backtester.data.kinds import VolumeUnit, kind_named
from backtester.data.sanitize import sanitize
from backtester.data.series import series_of
from backtester.domain.errors import DataQualityError

START_MS = 1_704_067_200_000
MINUTE_MS = 60_000


def raw(rows, *, kind="candles", market="linear", timeframe=None, unit=VolumeUnit.BASE, extra=None, findings=()):
    """A batch of these rows, given as mappings; what they do not name is null."""
    timeframe = timeframe or ("1m" if kind_named(kind).periodic else None)
    series = series_of(exchange="binance", market=market, symbol="BTCUSDT", kind=kind, timeframe=timeframe)
    schema = kind_named(kind).schema()
    table = pa.Table.from_pylist([{name: row.get(name) for name in schema.names} for row in rows], schema=schema)
    return RawBatch(series, table, Origin("f.csv", "0" * 64), unit, extra and pa.table(extra), tuple(findings))


def bar(index, **changed):
    values = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.5, "volume": 2.0, "quote_volume": 200.0}
    return {"start_ms": START_MS + index * MINUTE_MS} | values | changed


def bars(count):
    return [bar(index) for index in range(count)]


def trade(time_us, price=100.0, trade_id=None):
    return {"time_us": time_us, "price": price, "qty": 1.0, "is_buyer_maker": True, "trade_id": trade_id}


def clean(rows, policies=None, **options):
    now_ms = options.pop("now_ms", None)
    return sanitize(raw(rows, **options), policies_from(policies or {}), now_ms=now_ms)


def told(batch):
    return [(finding.rule, finding.policy, finding.row, finding.count) for finding in batch.findings]


def starts(batch):
    return [(time - START_MS) // MINUTE_MS for time in batch.table.column("start_ms").to_pylist()]


def test_good_rows_pass_as_they_are_with_the_policies_they_were_judged_by():
    given = raw(bars(10))
    batch = sanitize(given, Policies())
    assert batch.table.equals(given.table)
    assert (batch.findings, batch.series, batch.origin, batch.volume_unit) == ((), given.series, given.origin, VolumeUnit.BASE)
    assert batch.policies == {rule.value: DEFAULT_POLICIES[rule].value for rule in Rule}


BROKEN = {
    Rule.BAD_NUMBER: [bar(0), bar(1), bar(2, close=math.inf)],
    Rule.EMPTY_FIELD: [bar(0), bar(1), bar(2, volume=None)],
    Rule.NEGATIVE_PRICE: [bar(0), bar(1), bar(2, low=0.0)],
    Rule.HIGH_LOW: [bar(0), bar(1), bar(2, high=100.2)],
    Rule.NEGATIVE_VOLUME: [bar(0), bar(1), bar(2, taker_buy_volume=-1.0)],
    Rule.OFF_GRID: [bar(0), bar(1), bar(2, start_ms=START_MS + 150_000)],
    Rule.CLOSE_TIME: [bar(0), bar(1), bar(2)],
    Rule.OUT_OF_ORDER: [bar(1), bar(2), bar(0)],
    Rule.DUPLICATE: [bar(0), bar(1), bar(1)],
    Rule.CONTRADICTION: [bar(0), bar(1), bar(1, close=100.6)],
    Rule.OUTLIER: [bar(n) if n != 2 else bar(2, close=150.0, high=150.0) for n in range(8)],
    Rule.STILL_OPEN: [bar(0), bar(1), bar(2)],
    Rule.IMPLAUSIBLE_VOLUME: [bar(0), bar(1), bar(2, volume=200.0)],
    Rule.FLAT_BAR: [bar(0), bar(1), bar(2, open=100.0, high=100.0, low=100.0, close=100.0, volume=0.0, quote_volume=0.0)],
    Rule.TRUNCATED_ROW: [bar(0), bar(1), bar(2, close=None)],
    Rule.MIXED_TIME_UNITS: [bar(0), bar(1), bar(2)],
}
EXTRA = {
    Rule.CLOSE_TIME: {"end_ms": [START_MS + 59_999, START_MS + 119_999, START_MS + 150_000]},
    Rule.STILL_OPEN: {"closed": [True, None, False]},
    Rule.TRUNCATED_ROW: {"fault": [None, None, "truncated_row"]},
    Rule.MIXED_TIME_UNITS: {"fault": [None, None, "mixed_time_units"]},
}
STAYS = {
    Rule.NEGATIVE_PRICE,
    Rule.HIGH_LOW,
    Rule.NEGATIVE_VOLUME,
    Rule.OFF_GRID,
    Rule.CLOSE_TIME,
    Rule.OUTLIER,
    Rule.STILL_OPEN,
    Rule.IMPLAUSIBLE_VOLUME,
    Rule.FLAT_BAR,
    Rule.MIXED_TIME_UNITS,
}
"""Rules whose rows can be stored as they are."""


def judged(rule, policy):
    found = [Finding(rule, Policy.FAIL, "f.csv", 3, 1, "seen by the parser")] if "fault" in EXTRA.get(rule, {}) else ()
    return clean(BROKEN[rule], {rule.value: policy}, extra=EXTRA.get(rule), findings=found)


def test_every_rule_but_that_of_quotes_is_tried_on_candles():
    assert set(Rule) - set(BROKEN) == {Rule.CROSSED_QUOTE}


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: rule.value)
def test_a_broken_rule_ends_the_import_where_its_policy_is_fail(rule):
    with pytest.raises(DataQualityError) as caught:
        judged(rule, "fail")
    message = str(caught.value)
    assert message.startswith("f.csv: ")
    assert "3" in message.partition("(")[0]
    assert f"{rule.value}=drop" in message
    assert (f"{rule.value}=fix" in message) == (rule in FIXABLE)


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: rule.value)
def test_a_row_that_breaks_a_rule_is_left_out_where_its_policy_is_drop(rule):
    batch = judged(rule, "drop")
    count = 2 if rule is Rule.CONTRADICTION else 1
    assert told(batch) == [(rule, Policy.DROP, 2 if rule is Rule.CONTRADICTION else 3, count)]
    assert batch.table.num_rows == len(BROKEN[rule]) - count
    assert batch.policies[rule.value] == "drop"


@pytest.mark.parametrize("rule", BROKEN, ids=lambda rule: rule.value)
def test_a_row_is_kept_only_where_the_catalog_can_hold_it(rule):
    if rule not in STAYS:
        with pytest.raises(DataQualityError, match="such rows cannot be kept"):
            judged(rule, "keep")
        return
    batch = judged(rule, "keep")
    assert told(batch) == [(rule, Policy.KEEP, 3, 1)]
    assert batch.table.equals(raw(BROKEN[rule]).table)


@pytest.mark.parametrize("rule", sorted(FIXABLE, key=lambda rule: rule.value), ids=lambda rule: rule.value)
def test_fixing_puts_right_what_it_says_and_nothing_else(rule):
    batch = judged(rule, "fix")
    assert told(batch) == [(rule, Policy.FIX, 3, 1)]
    expected = {
        Rule.HIGH_LOW: [bar(0), bar(1), bar(2, high=100.5)],
        Rule.CLOSE_TIME: BROKEN[rule],
        Rule.OUT_OF_ORDER: [bar(0), bar(1), bar(2)],
        Rule.DUPLICATE: [bar(0), bar(1)],
        Rule.MIXED_TIME_UNITS: BROKEN[rule],
    }[rule]
    assert batch.table.equals(raw(expected).table)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([bar(0), bar(1, open=None)], "column open has empty values, the first in row 2"),
        ([bar(0), bar(1, high=math.nan)], "row 2 (2024-01-01 00:01:00 UTC) breaks the rule 'prices and volume are finite'"),
        ([bar(0), bar(1, low=-1.0)], "row 2 (2024-01-01 00:01:00 UTC) breaks the rule 'prices > 0'"),
        ([bar(0, low=102.0)], "breaks the rule 'high >= low'"),
        ([bar(0, open=102.0)], "breaks the rule 'high >= open and close'"),
        ([bar(0, close=98.0)], "breaks the rule 'low <= open and close'"),
        ([bar(0, volume=-1.0)], "breaks the rule 'volume >= 0'"),
        ([bar(0.5)], "row 1 starts at 2024-01-01 00:00:30 UTC, where no bar of 1m starts"),
        ([bar(1), bar(0), bar(1, close=99.5)], "rows 1 and 3 both start at 2024-01-01 00:01:00 UTC but differ: close"),
        ([bar(0), bar(1, low=-1.0), bar(2, low=-1.0)], "(2 rows break negative_price)"),
    ],
)
def test_the_message_says_what_is_wrong_with_the_first_row(rows, words):
    with pytest.raises(DataQualityError) as caught:
        clean([row | {"start_ms": int(row["start_ms"])} for row in rows])
    assert words in str(caught.value)


def test_row_numbers_of_the_parser_stand_in_findings_also_after_sorting():
    batch = clean(
        [bar(3), bar(2, low=-1.0), bar(1, high=1.0)],
        {"negative_price": "keep", "high_low": "drop"},
        extra={"row": [101, 102, 103]},
    )
    assert [(rule, row) for rule, _, row, _ in told(batch)] == [
        (Rule.NEGATIVE_PRICE, 102),
        (Rule.HIGH_LOW, 103),
        (Rule.OUT_OF_ORDER, 102),
    ]
    assert starts(batch) == [2, 3]


def test_a_dropped_row_is_judged_by_no_further_rule():
    batch = clean([bar(0), bar(0, low=-1.0, high=-2.0, start_ms=START_MS + 1)], {"negative_price": "drop"})
    assert told(batch) == [(Rule.NEGATIVE_PRICE, Policy.DROP, 2, 1)]


def test_bars_that_end_after_the_file_was_made_or_seen_were_still_open():
    assert starts(clean(bars(4), now_ms=START_MS + 3 * MINUTE_MS)) == [0, 1, 2]
    assert starts(clean(bars(3), extra={"seen_ms": [None, START_MS + 2 * MINUTE_MS, START_MS + 2 * MINUTE_MS]})) == [0, 1]
    batch = clean(
        bars(3), extra={"fault": [None, None, "still_open"]}, findings=[Finding(Rule.STILL_OPEN, Policy.FAIL, "f.csv", 3, 1, "x")]
    )
    assert (starts(batch), told(batch)) == ([0, 1], [(Rule.STILL_OPEN, Policy.DROP, 3, 1)])


def test_a_state_at_a_time_is_never_still_open():
    assert (
        clean([{"time_ms": START_MS, "open_interest": 1.0}], kind="open_interest", timeframe="5m", now_ms=START_MS + 1).findings
        == ()
    )


def test_what_a_parser_left_out_is_recorded_as_dropped():
    found = [Finding(Rule.STILL_OPEN, Policy.FAIL, "f.csv", 4, 1, "the exchange says so")]
    assert told(clean(bars(3), {"still_open": "keep"}, findings=found)) == [(Rule.STILL_OPEN, Policy.DROP, 4, 1)]
    with pytest.raises(DataQualityError, match="row 4 the exchange says so"):
        clean(bars(3), {"still_open": "fail"}, findings=found)


def test_a_parser_that_names_no_rows_has_its_unreadable_ones_dropped_by_its_own_rule():
    found = [Finding(Rule.BAD_NUMBER, Policy.FAIL, "f.csv", 2, 1, "close is 'abc'")]
    batch = clean([bar(0), bar(1, close=None)], {"bad_number": "drop"}, findings=found)
    assert (starts(batch), told(batch)) == ([0], [(Rule.BAD_NUMBER, Policy.DROP, 2, 1)])
    with pytest.raises(DataQualityError, match="f.csv: row 2 cannot be read: close is 'abc'"):
        clean([bar(0), bar(1, close=None)], findings=found)


def test_a_row_cut_behind_its_last_needed_value_may_be_kept():
    options = {
        "extra": {"fault": [None, "truncated_row"]},
        "findings": [Finding(Rule.TRUNCATED_ROW, Policy.FAIL, "f.csv", 2, 1, "cut")],
    }
    assert starts(clean([bar(0), bar(1, quote_volume=None)], {"truncated_row": "keep"}, **options)) == [0, 1]


def test_a_file_that_runs_newest_first_is_turned_round_so_that_rows_of_one_time_keep_their_order():
    rows = [trade(3, 30.0), trade(2, 22.0), trade(2, 21.0), trade(1, 10.0)]
    batch = clean(rows, kind="trades")
    assert batch.table.column("price").to_pylist() == [10.0, 21.0, 22.0, 30.0]
    assert "newest first" in batch.findings[0].detail


def test_rows_of_one_time_that_are_out_of_order_elsewhere_keep_their_order():
    batch = clean([trade(2, 21.0), trade(2, 22.0), trade(1, 10.0), trade(3, 30.0)], kind="trades")
    assert batch.table.column("price").to_pylist() == [10.0, 21.0, 22.0, 30.0]
    assert told(batch) == [(Rule.OUT_OF_ORDER, Policy.FIX, 3, 1)]


def test_equal_trades_without_id_are_two_and_with_one_id_they_are_one():
    assert clean([trade(1), trade(1)], kind="trades").table.num_rows == 2
    batch = clean([trade(1, trade_id="7"), trade(1, trade_id="8"), trade(1, trade_id="7")], kind="trades")
    assert (batch.table.num_rows, told(batch)) == (2, [(Rule.DUPLICATE, Policy.FIX, 3, 1)])
    assert clean([trade(1, trade_id="7"), trade(2, trade_id="7")], kind="trades").table.num_rows == 2


def test_aggregated_trades_are_known_by_their_id_at_whatever_time():
    def agg(agg_id, time_us, price=100.0):
        values = {"qty": 1.0, "is_buyer_maker": False, "first_id": 1, "last_id": 1}
        return {"agg_id": agg_id, "time_us": time_us, "price": price} | values

    batch = clean([agg(2, 5), agg(1, 5), agg(3, 6), agg(1, 5)], kind="agg_trades")
    assert batch.table.column("agg_id").to_pylist() == [1, 2, 3]
    assert told(batch) == [(Rule.OUT_OF_ORDER, Policy.FIX, 4, 1), (Rule.DUPLICATE, Policy.FIX, 4, 1)]
    with pytest.raises(
        DataQualityError, match="rows 1 and 2 are both of 1970-01-01 00:00:00 and 5 us UTC, agg_id 1 but differ: time_us 5 and 6"
    ):
        clean([agg(1, 5), agg(1, 6)], kind="agg_trades")


def test_a_day_of_metrics_in_which_every_row_stands_twice_is_read_once():
    rows = [{"time_ms": START_MS + n // 2 * 300_000, "open_interest": float(n // 2), "account_ratio": None} for n in range(20)]
    batch = clean(rows, kind="metrics", timeframe="5m")
    assert (batch.table.num_rows, told(batch)) == (10, [(Rule.DUPLICATE, Policy.FIX, 2, 10)])


def test_options_may_have_no_quote_and_no_trade_and_stand_in_order_of_contract():
    def option(contract, **values):
        return {"time_ms": START_MS, "contract": contract, "option_type": "C", "strike": "s"} | values

    rows = [option("B", bid=2.0, ask=1.0), option("A", bid=2.0, ask=0.0, open=0.0, high=0.0, low=0.0, close=0.0, delta=-0.5)]
    batch = clean(rows, kind="option_summary", timeframe="1h", market="option")
    assert batch.table.column("contract").to_pylist() == ["A", "B"]
    assert told(batch) == [(Rule.CROSSED_QUOTE, Policy.KEEP, 1, 1)]


def test_signs_are_judged_by_what_a_column_is():
    premium = [bar(0, open=-0.1, high=0.2, low=-0.3, close=0.1)]
    assert clean(premium, kind="premium").findings == ()
    funding = [{"time_ms": START_MS, "rate": -0.01, "interval_hours": 8.0}]
    assert clean(funding, kind="funding").findings == ()
    with pytest.raises(DataQualityError, match="prices > 0"):
        clean([{"time_ms": START_MS, "rate": 0.01, "mark_price": 0.0}], kind="funding")
    depth = [{"time_ms": START_MS, "percentage": -5.0, "depth": 1.0, "notional": -1.0}]
    with pytest.raises(DataQualityError, match="notional >= 0"):
        clean(depth, kind="book_depth")


@pytest.mark.parametrize(
    ("options", "volume", "quote_volume", "found"),
    [
        ({}, 2.0, 200.0, False),
        ({}, 200.0, 200.0, True),  # volume counts the quote
        ({}, 2.0, 0.02, True),
        ({}, 2.0, 0.0, False),  # rounded away: says nothing
        ({}, 2.0, None, False),
        ({"unit": VolumeUnit.QUOTE}, 200.0, 200.0, False),
        ({"unit": VolumeUnit.QUOTE}, 2.0, 200.0, True),
        ({"unit": VolumeUnit.CONTRACTS}, 5.0, 200.0, False),
    ],
)
def test_a_volume_of_another_unit_than_stated_is_found_by_its_quote_volume(options, volume, quote_volume, found):
    batch = clean([bar(0, volume=volume, quote_volume=quote_volume)], **options)
    assert [rule for rule, *_ in told(batch)] == [Rule.IMPLAUSIBLE_VOLUME] * found


def test_an_outage_is_told_with_its_runs_and_the_longest_of_them():
    flat = {"open": 100.0, "high": 100.0, "low": 100.0, "close": 100.0, "volume": 0.0, "quote_volume": 0.0}
    rows = [bar(n, **(flat if n in {2, 5, 6, 7} else {})) for n in range(10)]
    [finding] = clean(rows).findings
    assert (finding.row, finding.count) == (3, 4)
    assert "2 such runs, the longest from 2024-01-01 00:05:00 to 2024-01-01 00:08:00 UTC" in finding.detail
    assert clean(rows, market="spot").findings == ()


def test_a_price_that_moves_and_stays_is_no_outlier_and_one_that_comes_back_is():
    def closes(values):
        return [bar(n, open=value, close=value, high=value, low=value, quote_volume=None) for n, value in enumerate(values)]

    assert clean(closes([100.0] * 5 + [130.0] * 5)).findings == ()
    assert told(clean(closes([100.0] * 5 + [130.0] + [100.0] * 5))) == [(Rule.OUTLIER, Policy.KEEP, 6, 1)]
    assert told(clean(closes([100.0] * 5 + [70.0] + [100.0] * 5))) == [(Rule.OUTLIER, Policy.KEEP, 6, 1)]
    assert clean(closes([100.0] * 5 + [104.0] + [100.0] * 5)).findings == ()  # less than 5 %
    assert clean(closes([100.0, 110.0] * 10)).findings == ()  # usual here


def test_weeks_begin_on_monday():
    monday = START_MS
    assert clean([bar(0, start_ms=monday)], timeframe="1w").findings == ()
    with pytest.raises(DataQualityError, match="where no bar of 1w starts"):
        clean([bar(0, start_ms=monday + 3 * 86_400_000)], timeframe="1w")


prices = st.floats(0.5, 200) | st.sampled_from([0.0, -1.0, math.inf, math.nan, None])
any_bars = st.lists(
    st.fixed_dictionaries(
        {
            "start_ms": st.integers(0, 12).map(lambda n: START_MS + n * 30_000) | st.none(),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), prices),
            "quote_volume": prices,
        }
    ),
    max_size=12,
)
any_policies = st.fixed_dictionaries(
    {
        rule: st.sampled_from(
            [*[Policy.FIX if rule in FIXABLE else Policy.DROP] * 4, Policy.DROP, Policy.KEEP if rule in STAYS else Policy.DROP]
        )
        for rule in Rule
    }
) | st.dictionaries(st.sampled_from(list(Rule)), st.sampled_from([Policy.DROP, Policy.KEEP, Policy.FAIL]))


@given(any_bars, any_policies)
def test_whatever_comes_in_what_goes_out_may_be_stored_or_a_row_is_named(rows, policies):
    try:
        batch = sanitize(raw(rows), Policies(policies))
    except DataQualityError as error:
        assert "f.csv" in str(error)
        assert "row" in str(error)
        return
    times = batch.table.column("start_ms").to_pylist()
    assert times == sorted(set(times))
    assert batch.table.schema == kind_named("candles").schema()
    assert all(batch.table.column(name).null_count == 0 for name in ("start_ms", "open", "high", "low", "close", "volume"))
    assert len({finding.rule for finding in batch.findings}) == len(batch.findings)
    dropped = {finding.rule for finding in batch.findings if finding.policy in {Policy.DROP, Policy.FIX}}
    assert batch.table.num_rows == len(rows) or dropped
    fresh = sanitize(raw(batch.table.to_pylist()), Policies(policies))
    assert fresh.table.equals(batch.table) or any(f.policy is Policy.DROP for f in fresh.findings)
    if Rule.NEGATIVE_PRICE not in {finding.rule for finding in batch.findings if finding.policy is Policy.KEEP}:
        assert np.all(np.array(batch.table.column("low").to_pylist(), dtype=float) > 0)
