"""Tables and packed columns: escaped, exact, small."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from backtester.report.html.charts import nominal_chart
from backtester.report.html.packing import as_script, decimals_of, scaled
from backtester.report.html.tables import Cell, facts, listed, months_table, regimes_table, table

EVIL = "<script>alert('x')</script>&\"'"


@pytest.mark.parametrize(
    "text",
    [table(EVIL, (EVIL,), [(EVIL,), (Cell(EVIL, "gain"),)]), facts(EVIL, [(EVIL, EVIL)]), listed([EVIL])],
    ids=("table", "facts", "list"),
)
def test_no_text_becomes_markup(text) -> None:
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_data_cannot_end_the_script_that_holds_it() -> None:
    text = as_script({"name": "</script><!-- &", "worst": float("nan"), "most": [float("inf"), 1.5]})
    assert not set(text) & set("<>&")
    assert json.loads(text) == {"name": "</script><!-- &", "worst": None, "most": [None, 1.5]}


@pytest.mark.parametrize("price", [0.00001234, 1.5, 97_412.1, 104_321.73, 2_147_000_000.0, 9e12])
def test_a_price_survives_being_packed(price) -> None:
    decimals = decimals_of(price)
    column = scaled(np.array([price]), decimals)
    found = np.frombuffer(base64.b64decode(column["bdata"]), dtype="<" + column["dtype"])[0] / 10**decimals
    assert found == pytest.approx(price, rel=1e-3 if price < 1e-4 else 1e-8)


def month(total_return: float | None) -> dict[str, float | int | None]:
    return {"total_return": total_return, "trades": 1, "win_rate": 1.0, "net_pnl": 1.0, "fees": 0.5}


def test_a_few_months_have_a_row_each_and_many_a_row_a_year() -> None:
    few = months_table({"2025-01": month(0.01), "2025-02": month(None)}, quote="USDT")
    assert "closed trades" in few
    assert few.count("<tr>") == 3
    many = months_table({f"{2024 + n // 12}-{n % 12 + 1:02d}": month(0.01) for n in range(13)}, quote="USDT")
    assert many.count("<tr>") == 3
    assert "+12.68%" in many  # 1.01 ** 12 - 1


def test_equity_at_fixed_nominal_is_the_sum_of_the_results_in_percent() -> None:
    chart = nominal_chart(np.array([10, 20, 30], dtype=np.int64), np.array([1.0, -0.25, 0.5]))
    column = chart.traces[0]["y"]
    assert np.frombuffer(base64.b64decode(column["bdata"]), dtype="<" + column["dtype"]).tolist() == pytest.approx(
        [1.0, 0.75, 1.25]
    )
    assert "3 closed trades" in chart.label and "+1.25 percent" in chart.label
    assert nominal_chart(np.array([10], dtype=np.int64), np.array([1.0])).traces[0]["mode"] == "markers"


def test_kinds_of_market_that_there_were_are_listed_and_no_others() -> None:
    found = {"days": 3, "total_return": -0.01, "average_return": -0.003, "benchmark_return": 0.02}
    none = {"days": 0, "total_return": None, "average_return": None, "benchmark_return": None}
    shown = regimes_table({"bull": found, "high_volatility": none})
    assert "bull" in shown and "-1.00%" in shown and "+2.00%" in shown and "volatility" not in shown
    assert regimes_table({"bull": none}) == ""
