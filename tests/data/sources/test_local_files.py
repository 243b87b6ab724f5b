from __future__ import annotations

import pytest

from backtester.data.kinds import kind_named
from backtester.data.parsing.formats import Hint
from backtester.data.series import series_of
from backtester.data.sources.local_files import LocalFiles, files_in
from backtester.data.sources.source import DataRequest, Source
from backtester.domain.errors import DataUnavailableError

HEADER = "open_time_ms,open,high,low,close,volume\n"
MINUTE = 60_000
NAMES = {"exchange": "binance", "market": "linear", "symbol": "BTCUSDT", "timeframe": "1m"}


def write(path, starts):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER + "".join(f"{start * MINUTE},1,2,1,1,5\n" for start in starts))
    return path


def test_a_directory_gives_its_data_files_at_any_depth_in_order(tmp_path):
    files = [write(tmp_path / name, [1]) for name in ("b/z.csv", "a.csv", "b/c/d.CSV")]
    for name in ("notes.md", ".hidden.csv", ".git/x.csv", "b/x.csv.part"):
        write(tmp_path / name, [1])
    assert files_in([tmp_path]) == (files[1], files[2], files[0])
    assert files_in([files[0], tmp_path, tmp_path / "notes.md"]) == (files[0], files[1], files[2], tmp_path / "notes.md")
    assert files_in([tmp_path], apart_from=tmp_path / "b") == (files[1],)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataUnavailableError, match="no file"):
        files_in([tmp_path / "none"])
    with pytest.raises(DataUnavailableError, match="holds no file to import"):
        files_in([tmp_path / "empty"])


def test_it_is_a_source_of_one_series_in_a_range(tmp_path):
    write(tmp_path / "a.csv", [5, 3, 4])
    write(tmp_path / "b.csv", [9, 10, 11])
    source: Source = LocalFiles([tmp_path], hint=Hint(**NAMES))
    series = series_of(**NAMES)

    def starts(first, last):
        batches = source.fetch(DataRequest(series, first * MINUTE, last * MINUTE))
        return [value // MINUTE for batch in batches for value in batch.table.column("start_ms").to_pylist()]

    assert starts(4, 11) == [4, 5, 9, 10]
    for wanted in (DataRequest(series, 20 * MINUTE, 30 * MINUTE), DataRequest(series._replace(symbol="ETHUSDT"), 0, 10**14)):
        with pytest.raises(DataUnavailableError, match="none of the files has"):
            list(source.fetch(wanted))


def test_times_in_microseconds_are_cut_at_milliseconds_too(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("ts_ms,price,qty,is_buyer_maker\n" + "".join(f"{1_704_067_200_000 + index},1,1,true\n" for index in range(4)))
    series = series_of(exchange="binance", market="linear", symbol="BTCUSDT", kind="trades")
    source = LocalFiles([path], hint=Hint(**{name: value for name, value in NAMES.items() if name != "timeframe"}))
    (batch,) = source.fetch(DataRequest(series, 1_704_067_200_001, 1_704_067_200_003))
    assert batch.table.column(kind_named("trades").time).to_pylist() == [1_704_067_200_001_000, 1_704_067_200_002_000]
