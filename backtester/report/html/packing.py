"""Columns of numbers as they stand in the page: base64 of little-endian values, which the charts' script reads as they are."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import Any

import numpy as np
import numpy.typing as npt

_INT_MAX = 2**31 - 1
_DECIMALS_MAX = 8


def packed(values: npt.ArrayLike, kind: str = "f8") -> dict[str, str]:
    """A typed array (`f8`, `f4`, `i4`, `u1`)."""
    return {"dtype": kind, "bdata": b64encode(np.ascontiguousarray(values, dtype="<" + kind).tobytes()).decode()}


def decimals_of(highest: float) -> int:
    """How many decimals prices up to `highest` may have and still fit four bytes: 4 of a price of 100,000."""
    decimals = 0
    while decimals < _DECIMALS_MAX and highest * 10 ** (decimals + 1) < _INT_MAX:
        decimals += 1
    return decimals


def scaled(values: npt.NDArray[np.float64], decimals: int) -> dict[str, str]:
    """Prices as whole numbers of 10**-decimals."""
    return packed(np.rint(values * 10**decimals), "i4" if not len(values) or values.max() * 10**decimals <= _INT_MAX else "f8")


def as_script(value: Any) -> str:
    """JSON that may stand inside a script element; Infinity and nan become null."""
    text = json.dumps(_finite(value), separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list) else value
