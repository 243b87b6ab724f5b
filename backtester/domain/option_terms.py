"""What a venue takes and asks for in options: caps of fees, delivery, margin of shorts. Data: `defaults/option_terms.toml`."""

from __future__ import annotations

from decimal import Decimal

import msgspec


class OptionTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Fractions of the index, and caps as fractions of the option's price or intrinsic value (exchange_semantics.md, 3 and 4.5).

    `delivery_by_index`: the delivery fee goes by the index at the expiry, elsewhere by the settlement price. `maintenance_frac`,
    `margin_fee_frac`, `initial_max_frac` and `initial_min_frac` are those of `domain/options.py`'s margin of shorts;
    `liquidation_fee_frac` and its cap are charged when a short is liquidated, beside the trading fee.
    """

    name: str
    fee_cap_frac: Decimal
    delivery_fee_frac: Decimal
    delivery_cap_frac: Decimal
    delivery_by_index: bool
    initial_max_frac: Decimal
    initial_min_frac: Decimal
    maintenance_frac: Decimal
    margin_fee_frac: Decimal
    liquidation_fee_frac: Decimal
    liquidation_cap_frac: Decimal
    source: str
