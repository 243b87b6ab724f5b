"""Catalogs that are made once for all tests of whole programs; nothing may write into them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.program import bt, import_candles, waves, write_csv
from tests.support.shared_data import SHARED


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of two symbols on binance linear, four days of minutes."""
    folder = tmp_path_factory.mktemp("stored")
    for symbol, middle, phase in (("BTCUSDT", 100_000.0, 0.0), ("ETHUSDT", 2_500.0, 1.0)):
        file = write_csv(folder / f"{symbol}.csv", waves(4 * 1440, middle=middle, phase=phase))
        import_candles(file, folder / "catalog", symbol=symbol)
    return folder / "catalog"


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog of the real BTCUSDT and ETHUSDT minutes."""
    folder = tmp_path_factory.mktemp("real")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        file = SHARED / f"data/candles/binance_um/{symbol}_1m.parquet"
        where = ("--exchange", "binance", "--market", "futures", "--symbol", symbol, "--timeframe", "1m")
        bt("data", "import", str(file), *where, "--data", str(folder / "catalog"), cwd=folder)
    return folder / "catalog"


@pytest.fixture(autouse=True)
def no_named_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    """No catalog is named by whoever runs the tests."""
    monkeypatch.delenv("BT_DATA", raising=False)
