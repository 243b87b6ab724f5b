"""Every rule that `bt why` can name stands in docs/simulation.md: who changes a row there changes `report/named_rules.py`."""

from __future__ import annotations

import pytest

from backtester.report.named_rules import Rule, every_rule


@pytest.mark.parametrize("rule", every_rule(), ids=str)
def test_a_rule_that_can_be_named_has_its_row(rule: Rule) -> None:
    assert rule.line() is not None, f"docs/simulation.md, {rule.section}: no row {rule.row!r}; see backtester/report/named_rules.py"


def test_a_rule_without_its_row_names_no_line() -> None:
    assert Rule("Time", "no such row").line() is None
    assert Rule("No such heading").line() is None
    assert str(Rule("Time", "no such row")) == "Time: no such row (docs/simulation.md)"
