"""The commands end to end, in this process, on small catalogs and on the sample market."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from backtester.cli.main import main

BAD = {
    "raises.py": "    def on_candle(self, candle):\n        raise ValueError('boom')\n",
    "rubbish.py": "    def on_candle(self, candle):\n        return ['buy']\n",
    "million.py": "    def on_candle(self, candle):\n        order = MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=1)\n        return [order] * 1_000_000\n",
    "insists.py": (
        "    def on_candle(self, candle):\n        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=10**9)\n"
        "    def on_reject(self, rejection):\n        return MarketOrderIntent(symbol='BTCUSDT', side=Side.BUY, qty=10**9)\n"
    ),
}
START_MS = 1_746_403_200_000


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every command runs in an empty directory, with no catalog named."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BT_DATA", raising=False)
    return tmp_path


@pytest.fixture
def bt(capsys):
    def run(*words: str) -> tuple[int, str, str]:
        code = main(list(words))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def write_csv(path: Path, *, rows: int = 2880, bad: str = "") -> Path:
    lines = ["open_time_ms,open,high,low,close,volume"]
    before = 100_000.0
    for minute in range(rows):
        close = round(100_000 + 800 * math.sin(minute / 90), 1)
        lines.append(f"{START_MS + minute * 60_000},{before},{max(before, close) + 5},{min(before, close) - 5},{close},25.5")
        before = close
    if bad:
        lines[5] = f"{START_MS + 4 * 60_000},{bad}"
    path.write_text("\n".join(lines) + "\n")
    return path


IMPORT = ("data", "import", "c.csv", "--exchange", "binance", "--market", "futures", "--symbol", "BTCUSDT", "--timeframe", "1m")
RUN = ("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--timeframe", "5m")


@pytest.fixture
def stored(bt):
    write_csv(Path("c.csv"))
    assert bt(*IMPORT, "--data", "cat", "--quiet") == (0, "", "")
    return ("--data", "cat")


def test_importing_says_what_was_new_and_listing_shows_it(bt):
    write_csv(Path("c.csv"))
    code, out, _ = bt(*IMPORT, "--data", "cat")
    assert code == 0
    assert "2,880 read, 2,880 new, 0 already stored" in out
    assert "binance linear BTCUSDT 1m" in out
    assert "0 new, 2,880 already stored" in bt(*IMPORT, "--data", "cat")[1]
    code, out, _ = bt("data", "list", "--data", "cat", "--json")
    (row,) = json.loads(out)["series"]
    assert (row["market"], row["rows"], row["gaps"]) == ("linear", 2880, 0)
    assert "2025-05-05 00:00:00  2025-05-07 00:00:00  2,880" in bt("data", "list", "--data", "cat")[1]
    assert "holds no candles" in bt("data", "list")[1]


def test_the_catalog_may_be_named_by_the_environment_or_the_defaults(bt, stored, monkeypatch):
    monkeypatch.setenv("BT_DATA", "cat")
    assert "BTCUSDT" in bt("data", "list")[1]
    assert bt(*RUN, "--quiet")[0] == 0
    monkeypatch.delenv("BT_DATA")
    Path("configs").mkdir()
    Path("configs/backtest.toml").write_text("[data]\ndata_path = 'cat'\n")
    assert "BTCUSDT" in bt("data", "list")[1]
    code, out, _ = bt(*RUN)
    assert code == 0
    assert "binance linear" in out


def test_a_run_shows_what_a_trader_asks_first(bt, stored):
    code, out, err = bt(*RUN, *stored, "--run-id", "one", "--start", "2025-05-05", "--end", "2025-05-06T12:00")
    assert (code, err) == (0, "")
    for text in (
        "Run one",
        "binance linear",
        "2025-05-05 00:00:00 to 2025-05-06 12:00:00 UTC, 1.5 days",
        "signals 5m, execution 1m",
        "2,160 of 1m, no gaps",
        "10,000.00 -> ",
        "USDT",
        "not charged",
        "runs/one",
        "bt verify runs/one",
    ):
        assert text in out
    assert "\x1b" not in out


def test_a_run_repeats_from_its_own_configuration_and_verifies_also_when_moved(bt, stored):
    bt(*RUN, *stored, "--run-id", "one", "--params", '{"fast": 5, "slow": 9}', "--seed", "7", "--fees", "3.50", "--quiet")
    Path("configs").mkdir()
    Path("configs/backtest.toml").write_text("[sim]\nslippage_bps = 50\n")
    Path("configs/sma_extended.toml").write_text("[params]\nallow_reentry = false\n")
    assert bt("--config", "runs/one/config.toml", "--run-id", "two", "--quiet") == (0, "", "")
    digests = [json.loads(Path(f"runs/{name}/manifest.json").read_text())["digest"] for name in ("one", "two")]
    assert digests[0] == digests[1]
    Path("runs/one").rename("moved")
    assert bt("verify", "moved")[0] == 0
    fills = Path("moved/fills.csv")
    fills.write_text(fills.read_text().replace("buy", "sell", 1))
    code, out, _ = bt("verify", "moved")
    assert code == 1
    assert "fills.csv" in out


def test_json_is_one_object_and_nothing_else(bt, stored):
    code, out, err = bt(*RUN, *stored, "--json", "--run-id", "one")
    assert (code, err, out.count("\n")) == (0, "", 1)
    summary = json.loads(out)
    manifest = json.loads(Path("runs/one/manifest.json").read_text())
    for key in ("run_id", "status", "digest", "seed", "symbols", "counts", "timings", "data_source"):
        assert summary[key] == manifest[key]
    assert summary["metrics"] == json.loads(Path("runs/one/metrics.json").read_text())
    assert (summary["path"], summary["quote"], summary["start_equity"]) == ("runs/one", "USDT", 10000.0)


def test_without_candles_the_sample_runs_and_says_so(bt):
    code, out, _ = bt(*RUN, "--end", "2025-01-03", "--start", "2025-01-01", "--run-id", "one")
    assert code == 0
    assert "SYNTHETIC SAMPLE" in out
    assert json.loads(Path("runs/one/manifest.json").read_text())["data_source"] == "synthetic sample"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--strategy", "sma_extendet"], 2, "did you mean 'sma_extended'"),
        (["--strategy", "gone.py"], 2, "does not exist"),
        (["--symbols", "BTCUSD"], 3, "Did you mean BTCUSDT"),
        (["--symbols", "BTCUSDT", "BTCUSDT"], 2, "names a symbol twice"),
        (["--params", '{"fats": 3}'], 2, "did you mean 'fast'"),
        (["--params", '{"fast": "x"}'], 2, "fast"),
        (["--params", "{fast: 3}"], 2, "--params is not JSON: Expecting property name"),
        (["--params", "[3]"], 2, "--params must be a JSON object"),
        (["--timeframe", "7q"], 2, "--timeframe: timeframe '7q' is not known"),
        (["--timeframe", "30s"], 2, "no multiple of the execution timeframe 1m"),
        (["--start", "2025-05-06", "--end", "2025-05-05"], 2, "is not before end"),
        (["--start", "someday"], 2, "is not an ISO date"),
        (["--start", "2026-01-01"], 3, "no candles from 2026-01-01"),
        (["--end", "2020-01-01"], 3, "no candles from"),
        (["--leverage", "500"], 2, "is more than the first tier allows"),
        (["--leverage", "0.5"], 2, "must be between 1 and 1000"),
        (["--set", "account.leverage_by_symbol={ETCUSDT = 2}"], 2, "names ETCUSDT, not in this run"),
        (["--set", "account.mark=mark"], 3, "no mark prices of"),
        (["--market", "options"], 2, "did you mean 'option'"),
        (["--cash", "-1"], 2, "--cash: account.starting_cash must be above 0"),
        (["--fees", "abc"], 2, "--fees: sim.fee_bps"),
        (["--seed", "x"], 2, "--seed: run.seed"),
        (["--set", "sim.slipage_bps=1"], 2, "did you mean 'slippage_bps'"),
        (["--set", "sim=1"], 2, "is not section.key=value"),
        (["--config", "gone.toml"], 2, "gone.toml: no such configuration file"),
        (["--config", "bad.toml"], 2, "bad.toml: malformed TOML"),
        (["--run-id", "../up"], 2, "is no directory name"),
        (["--output", "c.csv"], 2, "it is not a directory"),
        (["--data", "nowhere"], 3, "no candles of BTCUSDT in"),
    ],
)
def test_bad_input_ends_with_its_message_and_exit_code(bt, stored, words, code, message):
    Path("bad.toml").write_text("[sim\n")
    given = {
        **dict.fromkeys(("--strategy", "--symbols")),
        "--strategy": ["sma_extended"],
        "--symbols": ["BTCUSDT"],
        "--data": ["cat"],
    }
    flat = [word for name, values in given.items() if name not in words for word in (name, *values)]
    got, out, err = bt(*flat, *words)
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_a_run_id_that_exists_is_left_alone(bt, stored):
    assert bt(*RUN, *stored, "--run-id", "one", "--quiet")[0] == 0
    before = Path("runs/one/manifest.json").read_bytes()
    code, _, err = bt(*RUN, *stored, "--run-id", "one")
    assert code == 2
    assert "run id 'one' exists" in err
    assert Path("runs/one/manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", BAD)
def test_a_strategy_that_misbehaves_ends_its_run_with_exit_code_2(bt, stored, name):
    Path(name).write_text("from backtester import MarketOrderIntent, Side, Strategy\n\nclass Bad(Strategy):\n" + BAD[name])
    code, out, err = bt("--strategy", name, "--symbols", "BTCUSDT", *stored, "--run-id", "one")
    assert (code, out) == (2, "")
    assert err.startswith("bt: error: ")
    assert err.count("\n") == 1
    manifest = json.loads(Path("runs/one/manifest.json").read_text())
    assert manifest["status"] == "failed"
    assert manifest["error"] in err
    assert '"run_failed"' in Path("runs/one/run.log").read_text()


@pytest.mark.parametrize(
    ("bad", "code", "message"),
    [
        ("nan,100010,99990,100000,1", 3, "c.csv"),
        ("-5,100010,99990,100000,1", 3, "c.csv"),
        ("100000,99000,99990,100000,1", 3, "c.csv"),
    ],
)
def test_a_row_that_no_market_produced_is_refused_with_its_file(bt, bad, code, message):
    write_csv(Path("c.csv"), bad=bad)
    got, _, err = bt(*IMPORT)
    assert got == code
    assert message in err
    assert not Path("data").exists()


def test_a_corrupt_catalog_file_is_a_data_error_that_names_it(bt, stored):
    (path,) = Path("cat").rglob("*.parquet")
    path.write_bytes(path.read_bytes()[:200])
    code, _, err = bt(*RUN, *stored)
    assert code == 3
    assert path.name in err


def test_strategies_are_listed_with_parameters_and_what_configs_set(bt):
    code, out, _ = bt("strategies")
    assert code == 0
    assert "sma_extended" in out
    assert "notional_quote" in out
    Path("mine.py").write_text("from backtester import Strategy\n\nclass Mine(Strategy):\n    '''Does nothing.'''\n")
    Path("configs").mkdir()
    Path("configs/mine.toml").write_text("[info]\nstrategy = 'mine.py'\n")
    rows = json.loads(bt("strategies", "--json")[1])["strategies"]
    assert [(row["name"], row["summary"]) for row in rows][1:] == [("mine", "Does nothing.")]


def test_a_new_strategy_runs_as_it_is_and_is_never_overwritten(bt):
    code, out, _ = bt("new", "my_strategy.py")
    assert code == 0
    assert "--strategy my_strategy.py" in out
    assert (
        bt("--strategy", "my_strategy.py", "--symbols", "BTCUSDT", "--start", "2025-01-01", "--end", "2025-01-08", "--quiet")[0]
        == 0
    )
    code, _, err = bt("new", "my_strategy.py")
    assert code == 2
    assert "exists" in err
