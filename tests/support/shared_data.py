"""Where the shared market data stands beside a checkout; tests that need it are skipped where it is absent."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "../shared"

needs_shared = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared market data is not beside this checkout")
