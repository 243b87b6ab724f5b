"""Cases K of the golden numbers, transcribed: decimal text, compared with a relative error of 1e-12."""

from __future__ import annotations

import pytest

K01_EQUITY = [10000, 10120, 10050, 10200, 10180, 9900, 10010, 10300, 10250, 10400]
K01 = {
    "total_return": "0.04",
    "cagr": "3.906779455467427656561509387",
    "mean_daily": "0.004489399852597900064664209841",
    "sd_daily": "0.01656081399569159620814794292",
    "vol_annual": "0.3163939071362809099379407879",
    "sharpe": "5.179085024201882319618253526",
    "downside_dev_daily": "0.009613500743004641382721519608",
    "sortino": "8.921813816479971580733296457",
    "max_drawdown": "0.02941176470588235294117647059",
    "max_drawdown_abs": "300",
    "mdd_peak_index": "3",
    "mdd_trough_index": "5",
    "recovery_index": "7",
    "underwater_days_of_mdd": "4",
    "longest_underwater_days": "4",
    "calmar": "132.8305014858925403230913192",
    "ulcer_index_pct": "1.134587255487461000946352893",
    "recovery_factor": "1.333333333333333333333333333",
}
K03 = {
    "sr_daily": "0.2710856998795981116593869770",
    "skew": "-0.5181597242375315232779831223",
    "kurtosis": "2.731198129032936880176211906",
    "psr0": "0.7605801841132573131780877229",
}
K04 = {
    "sr0_daily": "0.1131720018651320288714835148",
    "dsr": "0.9003968344493909615575982981",
    "dsr_if_46_trials": "0.9505017068755785914459333763",
}
K06 = {"ruin": "0.1344306327493119485444475490"}
K07 = {"exposure": "0.6", "turnover": "2.8", "turnover_annual": "113.5555555555555555555555556", "two_sided": "5.8"}


def assert_golden(found: dict[str, float | None], expected: dict[str, str]) -> None:
    assert found == pytest.approx({name: float(text) for name, text in expected.items()}, rel=1e-12, abs=0)
