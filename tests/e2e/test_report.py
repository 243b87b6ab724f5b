"""`bt report`: the page of runs of every kind, its short form, its pictures, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from backtester.audit.run_store import RunDir
from tests.e2e.program import HEAD, bt_here, import_candles, waves, write_csv
from tests.support.browser import CHROMIUM, Browser

STRATEGIES = HEAD + (
    "class Brackets(Strategy):\n"
    "    def on_start(self):\n"
    "        self.count = 0\n"
    "    def on_candle(self, candle):\n"
    "        self.count += 1\n"
    "        if self.ctx.position(candle.symbol) or self.ctx.open_orders(candle.symbol):\n"
    "            return []\n"
    "        tiny = self.count % 5 == 0\n"
    "        qty, close = Decimal('0.00001') if tiny else Decimal('0.05'), candle.close\n"
    "        return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=qty, reason='<b>up</b>',\n"
    "            take_profit=round(close * 1.003, 1), stop_loss=round(close * 0.997, 1))\n"
    "class Once(Strategy):\n"
    "    def on_candle(self, candle):\n"
    "        if candle.start_ms % 86_400_000 == 0 and self.ctx.position(candle.symbol) == 0:\n"
    "            return MarketOrderIntent(symbol=candle.symbol, side=Side.BUY, qty=Decimal('0.01'))\n"
    "class Never(Strategy):\n"
    "    pass\n"
    "class Breaks(Once):\n"
    "    def on_candle(self, candle):\n"
    "        if self.ctx.position(candle.symbol):\n"
    "            raise RuntimeError('<i>boom</i>')\n"
    "        return super().on_candle(candle)\n"
)
DRAWN = "document.documentElement.dataset.drawn === 'true' && !document.querySelector('.chart:not(.js-plotly-plot)')"


class Words(HTMLParser):
    """The text that a reader sees, and the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._hidden = ""

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        self._hidden = tag if tag in {"script", "style"} else self._hidden

    def handle_endtag(self, tag) -> None:
        self._hidden = "" if tag == self._hidden else self._hidden

    def handle_data(self, data) -> None:
        self.text += "" if self._hidden else data


@pytest.fixture(scope="module")
def runs(stored, tmp_path_factory) -> Path:
    """Runs of every kind, under `runs`."""
    folder = tmp_path_factory.mktemp("reports")
    (folder / "s.py").write_text(STRATEGIES)
    for name, code in (("Brackets", 0), ("Once", 0), ("Never", 0), ("Breaks", 2)):
        words = ("--strategy", f"s.py:{name}", "--symbols", *(["BTCUSDT", "ETHUSDT"] if name == "Brackets" else ["BTCUSDT"]))
        bt_here(*words, "--data", str(stored), "--timeframe", "15m", "--run-id", name.lower(), "--quiet", cwd=folder, code=code)
    sample = ("--strategy", "sma_extended", "--symbols", "BTCUSDT", "--end", "2025-02-15", "--run-id", "sample", "--quiet")
    bt_here(*sample, cwd=folder)
    return folder


def read(path: Path) -> Words:
    words = Words()
    words.feed(path.read_text(encoding="utf-8"))
    return words


def reported(runs: Path, name: str, *options: str) -> tuple[Words, str]:
    done = bt_here("report", f"runs/{name}", *options, cwd=runs)
    return read(runs / "runs" / name / "report.html"), done.stdout


def test_the_report_says_what_the_run_directory_says(runs) -> None:
    page, said = reported(runs, "brackets")
    manifest = RunDir(runs / "runs/brackets").read_manifest()
    metrics = json.loads((runs / "runs/brackets/metrics.json").read_text())
    for text in (
        manifest.digest,
        manifest.data_fingerprint,
        manifest.config_sha256,
        manifest.ledger_hash,
        *(one.rule for one in manifest.assumptions),
        f"{metrics['total_return']:+.2%}",
        f"{metrics['fees']:,.2f}",
        f"{metrics['trades']:,}",
        "MIN_QTY",
        "TP_HIT",
        "bt --config runs/brackets/config.toml --run-id brackets-again",
        "bt verify runs/brackets",
    ):
        assert text in page.text, text
    assert "runs/brackets/report.html" in said
    assert f"{metrics['total_return']:+.2%}" in said


def test_the_components_add_up_to_the_change_of_equity(runs) -> None:
    page, _ = reported(runs, "brackets")
    rows = dict(
        re.findall(
            r"(profit at reference prices|slippage and spread of taker fills|fees|funding|change of equity)([+-][\d,]+\.\d\d)",
            page.text,
        )
    )
    amounts = {name: float(value.replace(",", "")) for name, value in rows.items()}
    net = amounts.pop("change of equity")
    assert sum(amounts.values()) == pytest.approx(net, abs=0.03)
    metrics = json.loads((runs / "runs/brackets/metrics.json").read_text())
    assert net == pytest.approx(10_000 * metrics["total_return"], abs=0.01)


def test_the_report_can_be_read_without_seeing_it(runs) -> None:
    page, _ = reported(runs, "brackets")
    names = [tag for tag, _ in page.tags]
    assert names.count("h1") == names.count("title") == names.count("main") == 1
    assert ("html", {"lang": "en"}) in page.tags
    charts = [attrs for _, attrs in page.tags if attrs.get("class") == "chart"]
    assert len(charts) >= 6
    assert all(attrs["role"] == "img" and attrs["aria-label"] for attrs in charts)
    assert names.count("table") == names.count("caption") > 5
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_nothing_in_the_page_is_fetched_and_it_stays_small(runs) -> None:
    page, _ = reported(runs, "brackets")
    links = [attrs[name] for _, attrs in page.tags for name in ("src", "href") if name in attrs]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert (runs / "runs/brackets/report.html").stat().st_size < 6_000_000


def test_the_same_run_gives_the_same_page(runs) -> None:
    reported(runs, "brackets")
    first = (runs / "runs/brackets/report.html").read_bytes()
    reported(runs, "brackets")
    assert (runs / "runs/brackets/report.html").read_bytes() == first


def test_users_words_are_text_and_no_markup(runs) -> None:
    page, _ = reported(runs, "breaks")
    assert "<i>boom</i>" in page.text
    assert "i" not in [tag for tag, _ in page.tags]
    source = (runs / "runs/breaks/report.html").read_text()
    assert "<b>up</b>" not in source


def test_a_sample_is_called_one_wherever_its_result_is_read(runs) -> None:
    page, said = reported(runs, "sample")
    assert page.text.count("ynthetic sample") >= 3
    assert "synthetic sample" in re.search("<title>(.*?)</title>", (runs / "runs/sample/report.html").read_text())[1]
    assert "SYNTHETIC SAMPLE" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("never", ("Nothing was held.", "No trade was closed.", "No order was refused")),
        ("once", ("No trade was closed.", "1 still open at the end", "1 of 1")),
        ("breaks", ("FAILED", "left no metrics.json", "left no equity curve", "none: the run did not end")),
    ],
)
def test_a_run_with_little_in_it_reads_well(runs, name, words) -> None:
    page, _ = reported(runs, name)
    for text in words:
        assert text in page.text or text == "1 of 1", text
    assert "nan" not in re.findall(r"[a-z]+", page.text)
    assert "None" not in page.text


def test_a_run_whose_catalog_is_gone_says_so_and_shows_the_rest(runs, tmp_path) -> None:
    bt_here("report", "runs/brackets", "--data", "gone", "--output", str(tmp_path / "r.html"), cwd=runs)
    page = read(tmp_path / "r.html")
    assert "candles of the run are not there any more" in page.text
    assert "Excursions need the candles" in page.text
    assert "Distribution of trade results" in page.text


def test_a_file_that_was_changed_is_named_first(runs, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs / "runs/once", copy)
    (copy / "fills.csv").write_text((copy / "fills.csv").read_text().replace(",buy,0.01", ",buy,0.02"))
    bt_here("report", str(copy), cwd=runs)
    assert "fills.csv was changed after the run" in read(copy / "report.html").text


def test_what_is_no_run_is_refused(tmp_path) -> None:
    done = bt_here("report", "nothing", cwd=tmp_path, code=None)
    assert done.returncode != 0
    assert "is no run" in done.stderr


def test_pictures_stand_beside_the_page(runs, tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib, the extra png")
    done = bt_here("report", "runs/brackets", "--png", "--output", str(tmp_path / "r.html"), cwd=runs)
    for name in ("charts/equity.png", "charts/candles.png", "charts/trades.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
        assert name in done.stdout


def test_without_matplotlib_the_message_says_how_to_install_it(runs, monkeypatch) -> None:
    from backtester.app import reporting

    monkeypatch.setattr(reporting, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = bt_here("report", "runs/brackets", "--png", cwd=runs, code=2)
    assert "pip install 'backtester[png]'" in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not opened")
def test_in_a_browser_every_chart_is_drawn_without_an_error_or_a_request(runs) -> None:
    for name in ("brackets", "once", "never", "breaks", "sample"):
        reported(runs, name)
    with Browser() as browser:
        for name, width, dark in (
            ("brackets", 1440, False),
            ("brackets", 390, True),
            ("once", 390, False),
            ("never", 1440, True),
            ("breaks", 390, False),
        ):
            page = browser.page(width=width, dark=dark)
            page.open(runs / "runs" / name / "report.html", until=DRAWN)
            assert page.errors == [], name
            assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
            assert page.run("document.documentElement.scrollWidth") <= width, f"{name} is wider than {width}"
            empty = page.run(
                "[...document.querySelectorAll('.chart')].filter(c => !c.querySelector('.trace, .point, .bars path')).map(c => c.id)"
            )
            assert empty == [], name
        buttons = page.run("document.querySelectorAll('[data-span]').length")
        assert buttons >= 1


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine: the page is not opened")
def test_in_a_browser_the_candles_can_be_moved_through(runs) -> None:
    reported(runs, "brackets")
    said = "document.getElementById('market-said').textContent"
    with Browser() as browser:
        page = browser.page()
        page.open(runs / "runs/brackets/report.html", until=DRAWN)
        whole = page.run(said)
        page.run("document.querySelector('[data-span=\"86400000\"]').click()")
        day = page.run(said)
        page.run("document.querySelector('[data-step=\"-1\"]').click()")
        page.run("{const c = document.getElementById('market-symbol'); c.value = 'ETHUSDT'; c.dispatchEvent(new Event('change'));}")
        assert day != whole
        assert page.run(said) != day
        assert page.errors == []


def test_gaps_are_listed_with_whether_a_position_was_open(tmp_path) -> None:
    whole = waves(2 * 1440)
    holed = {name: [*column[:1500], *column[1560:]] for name, column in whole.items()}
    file = write_csv(tmp_path / "c.csv", holed)
    import_candles(file, tmp_path / "catalog", symbol="BTCUSDT")
    (tmp_path / "s.py").write_text(STRATEGIES)
    words = (
        "--strategy",
        "s.py:Once",
        "--symbols",
        "BTCUSDT",
        "--timeframe",
        "15m",
        "--data",
        "catalog",
        "--run-id",
        "gap",
        "--quiet",
    )
    bt_here(*words, cwd=tmp_path)
    bt_here("report", "gap", cwd=tmp_path)
    page = read(tmp_path / "runs/gap/report.html")
    assert "1 stretches of missing bars" in page.text
    assert re.search(r"BTCUSDTmissing2025-05-06 01:00:00\s*2025-05-06 02:00:00\s*60yes", page.text)


def test_what_a_check_found_stands_in_the_report_of_that_run_only(runs, tmp_path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(runs / "runs/once", copy)
    check = {
        "digest": RunDir(copy).read_manifest().digest,
        "verdicts": [{"check": "look-ahead", "outcome": "found", "severity": "error", "text": "it saw <tomorrow>"}],
        "findings": [
            {"check": "look-ahead", "severity": "error", "name": "x", "evidence": "read ahead", "file": "s.py", "line": 7}
        ],
    }
    for digest, is_shown in ((check["digest"], True), ("another", False)):
        (copy / "check.json").write_text(json.dumps(check | {"digest": digest}))
        bt_here("report", str(copy), cwd=runs)
        text = read(copy / "report.html").text
        assert ("it saw <tomorrow>" in text) is is_shown
        assert ("s.py:7" in text) is is_shown
        assert ("were not checked" in text) is not is_shown
