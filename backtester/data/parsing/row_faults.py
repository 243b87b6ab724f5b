"""Rows of a block that cannot be read as they stand: told once for each rule, and marked row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from backtester.data.findings import DEFAULT_POLICIES, Finding, Rule
from backtester.data.parsing.csv_rows import Block


class RowFaults:
    """Which rows of a block break which rule by their text alone; a row keeps the first that it breaks."""

    def __init__(self, block: Block) -> None:
        self._first_row = block.first_row
        self._rules: list[str | None] = []
        self._rows = block.table.num_rows
        self._details: dict[Rule, str] = {}
        for fault in block.faults:
            self.add(fault.index, fault.rule, fault.detail)

    def add(self, index: int, rule: Rule, detail: str) -> None:
        """The row at `index` of the block breaks `rule`."""
        if not self._rules:
            self._rules = [None] * self._rows
        if self._rules[index] is None:
            self._rules[index] = rule.value
            self._details.setdefault(rule, detail)

    def add_unread(self, texts: Any, values: Any, name: str) -> None:
        """Every text that gave no value is a bad number."""
        import pyarrow.compute as pc

        unread = np.flatnonzero(pc.and_(pc.is_valid(texts), pc.is_null(values)).to_numpy(zero_copy_only=False))
        for index in unread.tolist():
            self.add(index, Rule.BAD_NUMBER, f"{name} is {texts[index].as_py()!r}")

    def sound(self, column: Any) -> Any:
        """The column without the rows that have a fault."""
        import pyarrow as pa

        return column.filter(pa.array([rule is None for rule in self._rules])) if self._rules else column

    def told(self, file: str) -> tuple[tuple[Finding, ...], Any]:
        """One finding for each rule, under the default policy until the rows are judged; the rule of each row, or None."""
        import pyarrow as pa

        if not self._rules:
            return (), None
        findings = []
        for rule, detail in self._details.items():
            rows = [index for index, broken in enumerate(self._rules) if broken == rule.value]
            findings.append(Finding(rule, DEFAULT_POLICIES[rule], file, self._first_row + rows[0], len(rows), detail))
        return tuple(findings), pa.array(self._rules, pa.string())
