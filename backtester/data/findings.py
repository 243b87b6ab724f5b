"""What was found wrong in data, and what is to be done about it: nothing is repaired silently."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

import msgspec

from backtester.domain.errors import ConfigError


class Rule(Enum):
    """What rows must keep. The comment behind each says what `fix` does; where it says nothing, `fix` is refused."""

    BAD_NUMBER = "bad_number"  # a field that is no number, or not finite
    EMPTY_FIELD = "empty_field"  # a required field without a value
    TRUNCATED_ROW = "truncated_row"  # fewer fields than the format has
    NEGATIVE_PRICE = "negative_price"  # a price that is not above 0
    HIGH_LOW = "high_low"  # fix: high and low are widened to hold open and close
    NEGATIVE_VOLUME = "negative_volume"
    OFF_GRID = "off_grid"  # a bar that does not start on its timeframe's grid
    CLOSE_TIME = "close_time"  # fix: the stated close time is ignored
    OUT_OF_ORDER = "out_of_order"  # fix: rows are sorted, stably
    DUPLICATE = "duplicate"  # fix: identical repetitions are left out
    CONTRADICTION = "contradiction"  # two rows of one key that differ
    OUTLIER = "outlier"  # a price far from its neighbours, back again at once
    STILL_OPEN = "still_open"  # a bar that had not closed when the file was made
    MIXED_TIME_UNITS = "mixed_time_units"  # fix: each value is read by its own unit
    IMPLAUSIBLE_VOLUME = "implausible_volume"  # quote volume / volume is far from the price: another unit than stated
    CROSSED_QUOTE = "crossed_quote"  # a bid above the ask
    FLAT_BAR = "flat_bar"  # no volume, one price: how futures fill an outage


class Policy(Enum):
    """What happens to a row that breaks a rule: the import ends, the row is left out, put right, or kept as it is."""

    FAIL = "fail"
    DROP = "drop"
    FIX = "fix"
    KEEP = "keep"


FIXABLE = frozenset({Rule.HIGH_LOW, Rule.CLOSE_TIME, Rule.OUT_OF_ORDER, Rule.DUPLICATE, Rule.MIXED_TIME_UNITS})
DEFAULT_POLICIES: Mapping[Rule, Policy] = {
    **dict.fromkeys(Rule, Policy.FAIL),
    Rule.CLOSE_TIME: Policy.KEEP,
    Rule.OUT_OF_ORDER: Policy.FIX,
    Rule.DUPLICATE: Policy.FIX,
    Rule.OUTLIER: Policy.KEEP,
    Rule.STILL_OPEN: Policy.DROP,
    Rule.MIXED_TIME_UNITS: Policy.FIX,
    Rule.IMPLAUSIBLE_VOLUME: Policy.KEEP,
    Rule.CROSSED_QUOTE: Policy.KEEP,
    Rule.FLAT_BAR: Policy.KEEP,
}


class Finding(msgspec.Struct, frozen=True):
    """One rule broken in one file: how often, where first (row 1 is the first row of data), and what was done."""

    rule: Rule
    policy: Policy
    file: str
    row: int
    count: int
    detail: str

    def __str__(self) -> str:
        times = f"{self.count:,} rows" if self.count > 1 else "1 row"
        return f"{self.file}, row {self.row}: {self.rule.value} ({times}, {self.policy.value}): {self.detail}"


class Policies(msgspec.Struct, frozen=True):
    """The policy of every rule. `of` never fails: rules not named have their default."""

    changed: Mapping[Rule, Policy] = {}

    def of(self, rule: Rule) -> Policy:
        """What to do where `rule` is broken."""
        return self.changed.get(rule, DEFAULT_POLICIES[rule])

    def texts(self) -> dict[str, str]:
        """Every rule and its policy, to be recorded with the data."""
        return {rule.value: self.of(rule).value for rule in Rule}


def policies_from(texts: Mapping[str, str]) -> Policies:
    """Policies by name, as in `high_low=fix`. Raises ConfigError for a rule, a policy or a pair that there is not."""
    changed: dict[Rule, Policy] = {}
    for rule_text, policy_text in texts.items():
        try:
            rule, policy = Rule(rule_text), Policy(policy_text)
        except ValueError:
            raise ConfigError(
                f"policy {rule_text}={policy_text} is not known; rules: {', '.join(rule.value for rule in Rule)}; "
                f"policies: {', '.join(policy.value for policy in Policy)}"
            ) from None
        if policy is Policy.FIX and rule not in FIXABLE:
            raise ConfigError(f"{rule.value} cannot be fixed without inventing data; use fail, drop or keep")
        changed[rule] = policy
    return Policies(changed)
