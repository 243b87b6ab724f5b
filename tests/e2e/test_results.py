"""Commands that look into a run that is over: trades, comparison, export, why and at."""

from __future__ import annotations

import csv
import json
import shutil
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from backtester.domain.money import format_money
from backtester.report.comparison import thinned
from tests.e2e.program import bt_here, write_strategy

ROOT = Path(__file__).resolve().parents[2]
BUSY = """
    def on_start(self):
        self.bar = 0

    def on_candle(self, candle):
        self.bar += 1
        step = self.bar % 9
        if step == 1:
            side = Side.BUY if self.bar % 2 else Side.SELL
            yield MarketOrderIntent(symbol=candle.symbol, side=side, qty="0.02", take_profit=None)
        elif step == 4:
            yield LimitOrderIntent(symbol=candle.symbol, side=Side.SELL, qty="0.03", price=round(candle.close * 1.001, 1))
        elif step == 7:
            yield MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="0.05", reason="FLIP")
        elif step == 8:
            yield MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty="90")
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, stored: Path) -> Path:
    """A directory with two runs of one strategy, `one` and `two`, on the stored catalog."""
    folder = tmp_path_factory.mktemp("work")
    write_strategy(folder / "busy.py", BUSY.lstrip("\n"), name="Busy")
    common = ("--strategy", "busy.py", "--symbols", "BTCUSDT", "ETHUSDT", "--timeframe", "15m", "--data", str(stored), "--quiet")
    bt_here(*common, "--run-id", "one", cwd=folder)
    bt_here(*common, "--run-id", "two", "--slippage", "20", cwd=folder)
    return folder


def json_of(*words: str, cwd: Path):
    return json.loads(bt_here(*words, "--json", cwd=cwd).stdout)


def test_trades_say_what_trades_csv_says_and_slippage_is_that_of_the_metrics(work):
    trades = json_of("trades", "one", cwd=work)["trades"]
    rows = list(csv.DictReader((work / "runs/one/trades.csv").read_text().splitlines()))
    for name in ("symbol", "side", "qty", "entry_price", "gross_pnl", "fees", "net_pnl", "close_reason"):
        assert [trade[name] for trade in trades] == [row[name] for row in rows]
    metrics = json.loads((work / "runs/one/metrics.json").read_text())
    assert float(sum(Decimal(trade["slippage"]) for trade in trades)) == pytest.approx(metrics["slippage"], abs=1e-9)
    for trade in trades:
        assert Decimal(trade["mae"]) <= min(0, Decimal(trade["gross_pnl"]))
        assert max(0, Decimal(trade["gross_pnl"])) <= Decimal(trade["mfe"])


def test_trades_are_limited_and_chosen_by_symbol(work):
    told = json_of("trades", "runs/one", "--symbol", "ETHUSDT", "--limit", "2", cwd=work)
    assert [trade["symbol"] for trade in told["trades"]] == ["ETHUSDT"] * 2
    assert told["matching"] > 2
    assert "it traded" in bt_here("trades", "one", "--symbol", "SOLUSDT", cwd=work, code=2).stderr


def test_trades_of_a_run_whose_candles_are_gone_are_told_without_excursions(work, tmp_path):
    config = (work / "runs/one/config.toml").read_text()
    moved = tmp_path / "moved"
    shutil.copytree(work / "runs/one", moved)
    stored = next(line.split('"')[1] for line in config.splitlines() if line.startswith("data_path"))
    (moved / "config.toml").write_text(config.replace(stored, str(tmp_path / "gone")))
    done = bt_here("trades", str(moved), cwd=tmp_path)
    assert "no excursions and slippage" in done.stderr
    assert "MAE" in done.stdout
    again = json_of("trades", str(moved), "--data", stored, cwd=tmp_path)
    assert again["note"] == ""
    assert again["trades"] == json_of("trades", "one", cwd=work)["trades"]


def test_a_run_without_trades_is_said(work, tmp_path):
    failed = tmp_path / "failed"
    failed.mkdir()
    (failed / "manifest.json").write_text('{"run_id": "failed", "status": "failed"}')
    assert "the run is failed" in bt_here("trades", str(failed), cwd=tmp_path, code=2).stderr
    assert "did you mean one" in bt_here("trades", "onne", cwd=work, code=2).stderr


def test_compare_names_the_setting_the_figures_and_the_first_trade_that_differ(work):
    done = bt_here("compare", "one", "two", cwd=work)
    assert "sim.slippage_bps" in done.stdout
    assert "first trade that differs: number 1" in done.stdout
    assert "first difference at event" in done.stdout
    told = json_of("compare", "one", "two", cwd=work)
    assert set(told["settings"]) == {"sim.slippage_bps", "digest"}
    slippage = [json.loads((work / f"runs/{run}/metrics.json").read_text())["slippage"] for run in ("one", "two")]
    assert told["figures"]["slippage"] == slippage
    (trade,) = told["first_trades"]
    assert (trade["number"], "entry_price" in trade["columns"]) == (1, True)
    (event,) = told["first_events"]
    assert event["left"]["event"]["price"] != event["right"]["event"]["price"]


def test_the_page_of_a_comparison_holds_all_it_needs(work):
    bt_here("compare", "one", "two", "--html", "page.html", "--quiet", cwd=work)
    page = (work / "page.html").read_text()
    assert len(page) < 6_000_000
    curves = json.loads(page.split('id="curves">')[1].split("</script>")[0])
    assert [curve["name"] for curve in curves] == ["one", "two"]
    assert [len(curve["time_ms"]) for curve in curves] == [4 * 96 - 0, 4 * 96 - 0]
    ours = page.replace(page[page.index("/**\n* plotly.js") : page.rindex("<script>")], "")
    assert "http" not in ours.replace("http-equiv", "")


def test_a_run_compared_with_itself_or_a_copy_differs_in_nothing(work, tmp_path):
    shutil.copytree(work / "runs/one", tmp_path / "copy")
    done = bt_here("compare", "one", str(tmp_path / "copy"), "--html", str(tmp_path / "page.html"), cwd=work)
    assert "No setting differs." in done.stdout
    assert "every order, fill and trade is that of one" in done.stdout


def test_compare_needs_two_runs_that_have_results(work, tmp_path):
    assert "at least two" in bt_here("compare", "one", cwd=work, code=2).stderr
    shutil.copytree(work / "runs/one", tmp_path / "half")
    (tmp_path / "half/metrics.json").unlink()
    assert "metrics.json" in bt_here("compare", "one", str(tmp_path / "half"), cwd=work, code=2).stderr


def test_a_thinned_curve_keeps_its_ends_its_low_and_its_high():
    points = [(place, float((place * 7919) % 1000)) for place in range(10_000)]
    thin = thinned(points, 200)
    assert len(thin) <= 200
    assert (thin[0], thin[-1]) == (points[0], points[-1])
    values = [value for _, value in thin]
    assert (min(values), max(values)) == (0.0, 999.0)
    assert [place for place, _ in thin] == sorted(place for place, _ in thin)
    assert thinned(points[:50], 200) == points[:50]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_an_export_holds_the_same_rows_in_every_format(work, tmp_path, form):
    bt_here("export", "one", "--format", form, "--output", str(tmp_path / "all"), cwd=work)
    bt_here("export", "one", "--format", form, "--per-symbol", "--output", str(tmp_path / "parts"), cwd=work)
    for name in ("fills", "trades", "equity"):
        text = (work / f"runs/one/{name}.csv").read_text()
        assert rows_in(tmp_path / "all" / f"{name}.{form}") == rows_of(text)
    parts = [rows_in(tmp_path / "parts" / symbol / f"fills.{form}") for symbol in ("BTCUSDT", "ETHUSDT")]
    assert [{row["symbol"] for row in part} for part in parts] == [{"BTCUSDT"}, {"ETHUSDT"}]
    assert sum(map(len, parts)) == len(rows_in(tmp_path / "all" / f"fills.{form}"))
    assert (tmp_path / "parts" / f"equity.{form}").is_file()
    assert (tmp_path / "all/metrics.json").read_text() == (work / "runs/one/metrics.json").read_text()


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines()))


def rows_in(path: Path) -> list[dict[str, str]]:
    """The rows of an exported file, written as csv has them."""
    if path.suffix == ".csv":
        return rows_of(path.read_text())
    if path.suffix == ".json":
        rows = json.loads(path.read_text())
        return [{name: as_text(value) for name, value in row.items()} for row in rows]
    frame = pl.read_parquet(path)
    return [{name: as_text(value, name) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def as_text(value: object, name: str = "") -> str:
    if isinstance(value, Decimal):
        return format_money(int(value.scaleb(16)))
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return next(text for digits in range(8, 17) if float(text := f"{value:.{digits}f}") == value)
    return "" if value is None else str(value)


def test_an_export_needs_a_known_format_and_a_run_with_results(work, tmp_path):
    assert "invalid choice" in bt_here("export", "one", "--format", "xml", cwd=work, code=2).stderr
    assert "did you mean one" in bt_here("export", "onne", "--format", "csv", cwd=work, code=2).stderr
    (tmp_path / "file").write_text("")
    where = str(tmp_path / "file/below")
    assert "--output" in bt_here("export", "one", "--format", "csv", "--output", where, cwd=work, code=2).stderr


def test_why_tells_the_way_of_a_market_order_with_rules_and_lines(work):
    told = json_of("why", "one", "busy-1", cwd=work)
    kinds = [step["kind"] for step in told["steps"]]
    assert kinds == ["seen", "decided", "passed by Risk", "acknowledged", "filled", "met"]
    filled = told["steps"][4]
    assert filled["rules"][0]["row"] == "price"
    page = (ROOT / "docs/simulation.md").read_text().splitlines()
    for step in told["steps"]:
        for rule in step["rules"]:
            assert page[rule["line"] - 1].startswith(f"| {rule['row']} |")
    by_seq = {step["seq"]: step for step in told["steps"] if step["seq"]}
    assert all(step["cause"] is None or step["cause"] in by_seq for step in by_seq.values())
    text = bt_here("why", "one", "busy-1", cwd=work).stdout
    assert "docs/simulation.md:" in text
    assert "\x1b" not in text


def test_why_tells_a_refusal_a_resting_limit_and_a_wrong_id(work):
    rows = [json.loads(line) for line in (work / "runs/one/journal.jsonl").read_text().splitlines() if "event" in line]
    refused = next(row["event"]["order_id"] for row in rows if row["topic"] == "orders.refused")
    rested = next(row["event"]["order_id"] for row in rows if row["topic"] == "fills" and row["event"]["bar_fill"])
    steps = json_of("why", "one", refused, cwd=work)["steps"]
    assert [step["kind"] for step in steps][-1] == "refused by Risk"
    assert steps[-1]["rules"][0]["row"] == "reservation"
    last = next(step for step in json_of("why", "one", rested, cwd=work)["steps"] if step["kind"] == "filled")
    assert last["rules"][0]["row"] == "resting"
    wrong = bt_here("why", "one", "busy-3411", cwd=work, code=2).stderr
    assert "did you mean busy-341" in wrong


def test_at_tells_what_was_held_seen_and_done(work):
    fills = rows_of((work / "runs/one/fills.csv").read_text())
    told = json_of("at", "one", fills[5]["time_ms"], cwd=work)
    kinds = [step["kind"] for step in told["steps"]]
    assert kinds[:4] == ["account", "held", "bar", "bar"]
    assert fills[5]["order_id"] in " ".join(step["text"] for step in told["steps"] if step["kind"] == "filled")
    held = told["steps"][1]["text"]
    before = [fill for fill in fills if int(fill["time_ms"]) // 60_000 < int(fills[5]["time_ms"]) // 60_000]
    for symbol in ("BTCUSDT", "ETHUSDT"):
        size = sum((1 if fill["side"] == "buy" else -1) * Decimal(fill["qty"]) for fill in before if fill["symbol"] == symbol)
        assert (symbol in held) is bool(size)
        assert f"{abs(size).normalize():f} {symbol}" in held or not size
    quiet = bt_here("at", "one", "2025-05-05 00:01", cwd=work).stdout
    assert "nothing was done then; the nearest events: " in quiet
    assert "is not of" in bt_here("at", "one", "2031-01-01", cwd=work, code=2).stderr
    wide = json_of("at", "one", "2025-05-05", "--span", "1d", cwd=work)
    assert len(wide["steps"]) > 50


def test_why_and_at_say_when_the_candles_are_gone(work, tmp_path):
    shutil.copytree(work / "runs/one", tmp_path / "moved")
    config = tmp_path / "moved/config.toml"
    stored = next(line.split('"')[1] for line in config.read_text().splitlines() if line.startswith("data_path"))
    config.write_text(config.read_text().replace(stored, str(tmp_path / "gone")))
    done = bt_here("why", str(tmp_path / "moved"), "busy-1", cwd=tmp_path)
    assert "note: no candles are shown" in done.stdout
    assert "filled" in done.stdout
