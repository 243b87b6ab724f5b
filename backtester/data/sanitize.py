"""From rows as a file has them to rows that may be stored: every broken rule is counted, and treated as its policy says."""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from backtester.data.batch import Batch, RawBatch
from backtester.data.findings import Finding, Policies, Policy, Rule
from backtester.data.judged_rows import BoolColumn, JudgedRows
from backtester.data.order_rules import judge_order, judge_outliers, judge_repetitions
from backtester.data.value_rules import judge_bars, judge_values

_UNREADABLE = (Rule.TRUNCATED_ROW, Rule.BAD_NUMBER, Rule.MIXED_TIME_UNITS)
"""What only a parser sees; it names the rule of each such row in `extra`, column `fault`."""


def sanitize(raw: RawBatch, policies: Policies, *, now_ms: int | None = None) -> Batch:
    """The rows that may be stored: in the kind's schema, in order, no required value empty, keys unique.

    Each rule that was broken is one finding with the number of rows, the first of them, and what was done. Dropped rows are
    judged by no further rule. Besides `row` and `end_ms`, `raw.extra` may hold `fault` (the rule that the parser found broken,
    as text), `closed` (whether a bar was finished when it was seen) and `seen_ms` (when it was seen).

    Args:   now_ms - when the file was made or received, where known: bars that end later were still open.
    Raises: DataQualityError - a rule with the policy fail is broken, or one whose rows cannot be kept with the policy keep:
            names file, row and rule.
    """
    rows = JudgedRows(raw, policies)
    _note_parsed(rows, raw.findings)
    _judge_still_open(rows, now_ms)
    _judge_unreadable(rows, {finding.rule: finding for finding in raw.findings})
    judge_values(rows)
    judge_bars(rows)
    judge_order(rows)
    judge_repetitions(rows)
    judge_outliers(rows)
    findings = tuple(rows.findings[rule] for rule in Rule if rule in rows.findings)
    return Batch(raw.series, rows.table, raw.origin, raw.volume_unit, findings, policies.texts())


def _note_parsed(rows: JudgedRows, parsed: tuple[Finding, ...]) -> None:
    """What a parser found is recorded, unless it says which rows these are: then they are judged with the others."""
    faults = _faults(rows)
    for finding in parsed:
        rule = finding.rule
        named = rule in {*_UNREADABLE, Rule.STILL_OPEN} and faults is not None and bool((faults == rule.value).any())
        if named or (rule in _UNREADABLE and rule is not Rule.MIXED_TIME_UNITS):
            continue
        policy = rows.policies.of(rule)
        left_out = rule is Rule.STILL_OPEN and policy is Policy.KEEP  # the parser did not hand these rows on
        rows.note(msgspec.structs.replace(finding, policy=Policy.DROP if left_out else policy))


def _judge_unreadable(rows: JudgedRows, found: dict[Rule, Finding]) -> None:
    """What could not be read is dropped or ends the import."""
    for rule in (*_UNREADABLE, Rule.EMPTY_FIELD):
        faults = _faults(rows)
        missing = _missing(rows)
        if rule is Rule.EMPTY_FIELD:
            broken = missing.copy()
        elif faults is not None:
            broken = faults == rule.value
        elif rule is not Rule.MIXED_TIME_UNITS and rule in found:  # a parser that names the first row only
            broken = missing | (rows.numbers == found[rule].row)
        else:
            broken = np.zeros(len(rows), np.bool_)
        endless = _endless(rows) if rule is Rule.BAD_NUMBER else np.zeros(len(rows), np.bool_)
        _judge_one(rows, rule, broken, endless, found.get(rule), missing)


def _judge_one(
    rows: JudgedRows, rule: Rule, broken: BoolColumn, endless: BoolColumn, said: Finding | None, missing: BoolColumn
) -> None:
    if not (broken.any() or endless.any()):
        return
    required = [column.name for column in rows.kind.columns if column.required]

    def detail(index: int) -> str:
        if endless[index] and not broken[index]:
            values = {name: rows.table.column(name)[index].as_py() for name in _float_names(rows)}
            shown = ", ".join(f"{name} {value!r}" for name, value in values.items() if value is not None)
            return f"{rows.when(index)}breaks the rule 'prices and volume are finite': {shown}"
        if said is not None:
            return said.detail
        empty = next((name for name in required if not rows.table.column(name)[index].is_valid), "a column")
        return f"{rows.when(index)}has no {empty}"

    def error(index: int) -> str:
        if rule is Rule.EMPTY_FIELD:
            empty = next(name for name in required if not rows.table.column(name)[index].is_valid)
            return f"{rows.file}: column {empty} has empty values, the first in row {int(rows.numbers[index])}"
        text = detail(index)
        return f"{rows.file}: row {int(rows.numbers[index])} {text if text.startswith('(') else f'cannot be read: {text}'}"

    stays = not ((broken & missing) | _endless(rows, required_only=True) & endless).any()
    rows.judge(rule, broken | endless, detail, may_stay=stays, error=error)


def _faults(rows: JudgedRows) -> npt.NDArray[np.object_] | None:
    """The rule that each row breaks by its parser's word, as text; None where the parser says nothing."""
    if "fault" not in rows.extra.column_names:
        return None
    faults: npt.NDArray[np.object_] = rows.extra.column("fault").to_numpy()
    return faults


def _missing(rows: JudgedRows) -> BoolColumn:
    """Rows without a value in a required column."""
    missing = np.zeros(len(rows), np.bool_)
    for column in rows.kind.columns:
        if column.required and rows.table.column(column.name).null_count:
            missing |= rows.table.column(column.name).is_null().to_numpy()
    return missing


def _float_names(rows: JudgedRows) -> list[str]:
    return [column.name for column in rows.kind.columns if column.type == "float64"]


def _endless(rows: JudgedRows, *, required_only: bool = False) -> BoolColumn:
    """Rows with a number that is not finite."""
    endless = np.zeros(len(rows), np.bool_)
    for column in rows.kind.columns:
        if column.type == "float64" and (column.required or not required_only):
            values = rows.floats(column.name)
            if rows.is_empty(column.name) or np.isfinite(values).all():
                continue
            endless |= ~np.isfinite(values) & rows.table.column(column.name).is_valid().to_numpy()
    return endless


def _judge_still_open(rows: JudgedRows, now_ms: int | None) -> None:
    """Bars had ended when they were seen; what is a state at its time (open interest, ratios) needs no end."""
    faults = _faults(rows)
    still_open = np.zeros(len(rows), np.bool_) if faults is None else faults == Rule.STILL_OPEN.value
    end_ms = rows.times()
    if rows.kind.time == "start_ms" or rows.kind.name == "option_summary":
        end_ms = end_ms + rows.series.length_ms
        if now_ms is not None:
            still_open |= end_ms > now_ms
        seen = rows.stated("seen_ms")
        if seen is not None:
            still_open |= seen[1] & (end_ms > seen[0])
        closed = rows.stated("closed")
        if closed is not None:
            still_open |= closed[1] & ~closed[0].astype(np.bool_)
    rows.judge(
        Rule.STILL_OPEN,
        still_open,
        lambda index: f"{rows.when(index)}had not ended when it was seen; its end is {rows.moment(int(end_ms[index]))} UTC",
    )
