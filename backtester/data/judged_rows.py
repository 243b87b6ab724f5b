"""Rows while they are judged: which rule each breaks, what was done about it, and which number each has in its file."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt

from backtester.data.batch import RawBatch
from backtester.data.findings import FIXABLE, Finding, Policies, Policy, Rule
from backtester.data.kinds import kind_named
from backtester.domain.errors import DataQualityError
from backtester.domain.timeframe import iso_text

if TYPE_CHECKING:
    import pyarrow as pa

BoolColumn = npt.NDArray[np.bool_]
IntColumn = npt.NDArray[np.int64]
FloatColumn = npt.NDArray[np.float64]


class JudgedRows:
    """A raw batch's rows, fewer as rules drop some; `findings` hold one entry for each rule that was broken."""

    def __init__(self, raw: RawBatch, policies: Policies) -> None:
        import pyarrow as pa

        self.kind = kind_named(raw.series.kind)
        self.series = raw.series
        self.volume_unit = raw.volume_unit
        self.policies = policies
        self.table: pa.Table = raw.table.select(list(self.kind.names)).cast(self.kind.schema()).combine_chunks()
        self.extra: pa.Table = (pa.table({}) if raw.extra is None else raw.extra).combine_chunks()
        self.file = raw.origin.name
        self.findings: dict[Rule, Finding] = {}
        numbers = np.arange(1, self.table.num_rows + 1)
        if "row" in self.extra.column_names:
            numbers = self.extra.column("row").to_numpy()
        self.numbers: IntColumn = numbers

    def __len__(self) -> int:
        return self.table.num_rows

    # -- looking -----------------------------------------------------------------------------------------------------

    def floats(self, name: str) -> FloatColumn:
        """The values of a float column; NaN where there is none."""
        values: FloatColumn = self.table.column(name).to_numpy()
        return values

    def ints(self, name: str) -> IntColumn:
        """The values of an integer column; 0 where there is none."""
        return _ints(self.table.column(name))

    def times(self) -> IntColumn:
        """The time of each row, in the unit of its kind."""
        return self.ints(self.kind.time)

    def stated(self, name: str) -> tuple[npt.NDArray[Any], BoolColumn] | None:
        """An integer or boolean column of `extra` and where it has values; None where the file has no such column."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if name not in self.extra.column_names:
            return None
        column = self.extra.column(name)
        known: BoolColumn = column.is_valid().to_numpy()
        filled = pc.fill_null(column, pa.scalar(0).cast(column.type)) if column.null_count else column
        return filled.to_numpy(), known

    def is_empty(self, name: str) -> bool:
        """Whether a column has no value at all."""
        return self.table.column(name).null_count == len(self)

    def when(self, index: int) -> str:
        """The time of a row as text, in brackets; nothing where it has none."""
        time = self.table.column(self.kind.time)[index].as_py()
        return "" if time is None else f"({self.moment(time)} UTC) "

    def moment(self, time: int) -> str:
        """A time of this kind as text."""
        whole_ms, parts_us = divmod(time, 1_000) if self.kind.time.endswith("_us") else (time, 0)
        if not -62_135_596_800_000 <= whole_ms < 253_402_300_800_000:  # the years 1 to 9999
            return str(time)
        return iso_text(whole_ms) + (f" and {parts_us} us" if parts_us else "")

    # -- judging -----------------------------------------------------------------------------------------------------

    def judge(
        self,
        rule: Rule,
        broken: BoolColumn,
        detail: Callable[[int], str],
        *,
        may_stay: bool = True,
        error: Callable[[int], str] | None = None,
    ) -> Policy | None:
        """The policy that now holds for the rows that break `rule`; None where none does. Those to be dropped are gone.

        Args:   detail - what is wrong with the row of this index, to stand behind its number; error - the same as a message
                of its own; may_stay - whether such rows can be stored at all.
        Raises: DataQualityError - the policy is fail, or keep where rows cannot stay.
        """
        if not broken.any():
            return None
        rows = np.flatnonzero(broken)
        first = int(rows[np.argmin(self.numbers[rows])])
        policy = self.policies.of(rule)
        finding = Finding(rule, policy, self.file, int(self.numbers[first]), len(rows), detail(first))
        self.note(finding, may_stay=may_stay, message=error(first) if error else None)
        if policy is Policy.DROP:
            self.keep_only(~broken)
        return policy

    def note(self, finding: Finding, *, may_stay: bool = True, message: str | None = None) -> None:
        """The finding is recorded with those of its rule. Raises DataQualityError where its policy lets nothing be stored."""
        rule = finding.rule
        if finding.policy is Policy.FAIL or (finding.policy is Policy.KEEP and not may_stay):
            text = message or f"{finding.file}: row {finding.row} {finding.detail}"
            more = f" ({finding.count:,} rows break {rule.value})" if finding.count > 1 else ""
            ways = [Policy.DROP, *([Policy.FIX] if rule in FIXABLE else []), *([Policy.KEEP] if may_stay else [])]
            options = " or ".join(f"{rule.value}={way.value}" for way in ways)
            cannot = "; such rows cannot be kept" if finding.policy is Policy.KEEP else ""
            raise DataQualityError(f"{text}{more}{cannot}; get the file anew, correct it, or state the policy {options}")
        earlier = self.findings.get(rule)
        if earlier is not None:
            first = min(earlier, finding, key=lambda one: one.row)
            finding = msgspec.structs.replace(first, count=earlier.count + finding.count)
        self.findings[rule] = finding

    # -- changing ----------------------------------------------------------------------------------------------------

    def keep_only(self, wanted: BoolColumn) -> None:
        """Only the rows of the mask are left."""
        import pyarrow as pa

        if wanted.all():
            return
        mask = pa.array(wanted)
        self.table = self.table.filter(mask).combine_chunks()
        self.extra = self.extra.filter(mask).combine_chunks() if self.extra.num_columns else self.extra
        self.numbers = self.numbers[wanted]

    def arrange(self, order: npt.NDArray[np.intp]) -> None:
        """The rows stand in this order."""
        self.table = self.table.take(order).combine_chunks()
        self.extra = self.extra.take(order).combine_chunks() if self.extra.num_columns else self.extra
        self.numbers = self.numbers[order]

    def replace(self, name: str, values: FloatColumn) -> None:
        """A float column holds these values; NaN stands for none."""
        import pyarrow as pa

        index = self.table.column_names.index(name)
        self.table = self.table.set_column(index, self.table.field(index), pa.chunked_array([pa.array(values, from_pandas=True)]))


def _ints(column: Any) -> IntColumn:
    import pyarrow.compute as pc

    values: IntColumn = (pc.fill_null(column, 0) if column.null_count else column).to_numpy()
    return values
