"""What venues answer about their instruments, as records: exchangeInfo, instruments-info, risk limits, brackets, fees.

Each reader takes a decoded body. A symbol that does not say what it must is left out and named in the notes; a body of
another shape is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any

from backtester.data.instrument_record import (
    Fees,
    Funding,
    InstrumentAnswer,
    InstrumentRecord,
    Rules,
    number,
    positive,
)
from backtester.domain.errors import DomainError, SchemaMismatchError
from backtester.domain.money import CALCULATION
from backtester.domain.order_bounds import PriceBand
from backtester.domain.tiers import LeverageTier

Json = Mapping[str, Any]

NO_END_MS = 4_102_444_800_000
"""2100-01-01: Binance writes a date after it where a contract has no end."""
_BINANCE_MARKETS = {"U_MARGINED": "linear", "COIN_MARGINED": "inverse"}


def read_answer(
    body: object, *, exchange: str, market: str, source: str, time_ms: int | None, now_ms: Callable[[], int]
) -> InstrumentAnswer:
    """The records in a decoded body of `exchange`, given at `time_ms`, else when it says, else now.

    Raises SchemaMismatchError when it is no answer about instruments, or one about another market.
    """
    readers = {"binance": _read_binance, "bybit": _read_bybit}
    reader = readers.get(exchange)
    if reader is None:
        raise SchemaMismatchError(f"{source}: answers of {exchange} cannot be read; only those of {', '.join(readers)}")
    records, notes, stated_ms = reader(body, market, source)
    given_ms = time_ms if time_ms is not None else stated_ms if stated_ms is not None else now_ms()
    return InstrumentAnswer(exchange, market, given_ms, source, tuple(records), tuple(notes))


Read = tuple[list[InstrumentRecord], list[str], int | None]


def _read_binance(body: object, market: str, source: str) -> Read:
    if isinstance(body, Mapping) and "symbols" in body:
        rows = _rows(body["symbols"], source)
        _require_market(_BINANCE_MARKETS.get(str(body.get("futuresType"))) or _binance_kind(rows), market, source)
        records, notes = _each(rows, binance_record)
        return records, notes, _time(body.get("serverTime"))
    if isinstance(body, Mapping) and "optionSymbols" in body:
        _require_market("option", market, source)
        records, notes = _each(_rows(body["optionSymbols"], source), binance_option)
        return records, notes, _time(body.get("serverTime"))
    if isinstance(body, Mapping) and body and all("/" in str(key) for key in body):
        records, notes = _ccxt_tiers(body, market)
        return records, notes, None
    if isinstance(body, list) and body and all(isinstance(row, Mapping) for row in body):
        if all("brackets" in row for row in body):
            records, notes = _each(body, binance_brackets)
            return records, notes, None
        if all("fundingIntervalHours" in row for row in body):
            records, notes = _each(body, binance_funding)
            return records, notes, None
    raise _not_an_answer(source, "exchangeInfo, fundingInfo or leverageBracket")


def _binance_kind(rows: Iterable[Json]) -> str | None:
    row = next(iter(rows), None)
    if row is None:
        return None
    return "inverse" if "contractSize" in row else "linear" if "marginAsset" in row else "spot"


def binance_record(row: Json) -> InstrumentRecord:
    """One symbol of an exchangeInfo. Raises ValueError where a filter that every order must pass is missing."""
    filters: dict[str, Json] = {str(one.get("filterType")): one for one in row.get("filters", ())}
    price, lot = _part(filters, "PRICE_FILTER"), _part(filters, "LOT_SIZE")
    market_lot = filters.get("MARKET_LOT_SIZE", {})
    notional = filters.get("NOTIONAL") or filters.get("MIN_NOTIONAL") or {}
    status = str(row.get("status") or row.get("contractStatus") or "")
    end_ms = _time(row.get("deliveryDate"))
    rules = Rules(
        base=str(row["baseAsset"]),
        quote=str(row["quoteAsset"]),
        settle=row.get("marginAsset"),
        contract_type=str(row.get("contractType") or ""),
        status=status,
        tradable=status == "TRADING",
        tick_size=_must(price, "tickSize"),
        lot_size=_must(lot, "stepSize"),
        min_qty=number(lot.get("minQty")) or Decimal(0),
        max_qty=positive(lot.get("maxQty")),
        max_market_qty=positive(market_lot.get("maxQty")),
        min_notional=number(notional.get("minNotional") or notional.get("notional")) or Decimal(0),
        max_notional=positive(notional.get("maxNotional")),
        min_price=positive(price.get("minPrice")),
        max_price=positive(price.get("maxPrice")),
        price_band=_binance_band(filters),
        contract_size=positive(row.get("contractSize")) or Decimal(1),
        listed_ms=_time(row.get("onboardDate")),
        delisted_ms=end_ms if end_ms is not None and end_ms < NO_END_MS else None,
    )
    return InstrumentRecord(str(row["symbol"]), rules=rules)


def binance_option(row: Json) -> InstrumentRecord:
    """One contract of the options' exchangeInfo. Its range of prices is left out: it moves with the market every day.

    Source: the answer as the ccxt client documents it (`optionSymbols`). Raises ValueError where a step is missing.
    """
    filters: dict[str, Json] = {str(one.get("filterType")): one for one in row.get("filters", ())}
    price, lot = _part(filters, "PRICE_FILTER"), _part(filters, "LOT_SIZE")
    symbol, quote = str(row["symbol"]), str(row["quoteAsset"])
    rules = Rules(
        base=symbol.partition("-")[0],
        quote=quote,
        settle=quote,
        contract_type=str(row.get("side") or ""),
        status=str(row.get("status") or ""),
        tradable=row.get("status") in {None, "", "TRADING"},
        tick_size=_must(price, "tickSize"),
        lot_size=_must(lot, "stepSize"),
        min_qty=number(row.get("minQty")) or number(lot.get("minQty")) or Decimal(0),
        max_qty=positive(row.get("maxQty")) or positive(lot.get("maxQty")),
        contract_size=positive(row.get("unit")) or Decimal(1),
        delisted_ms=_time(row.get("expiryDate")),
    )
    return InstrumentRecord(symbol, rules=rules, fees=_fees(row) if "takerFeeRate" in row else None)


def _binance_band(filters: Mapping[str, Json]) -> PriceBand | None:
    both, sides = filters.get("PERCENT_PRICE"), filters.get("PERCENT_PRICE_BY_SIDE")
    if sides is not None:
        return PriceBand(
            buy_min=number(sides.get("bidMultiplierDown")),
            buy_max=number(sides.get("bidMultiplierUp")),
            sell_min=number(sides.get("askMultiplierDown")),
            sell_max=number(sides.get("askMultiplierUp")),
        )
    if both is not None:
        low, high = number(both.get("multiplierDown")), number(both.get("multiplierUp"))
        return PriceBand(buy_min=low, buy_max=high, sell_min=low, sell_max=high)
    return None


def binance_funding(row: Json) -> InstrumentRecord:
    """One symbol of a fundingInfo, which lists only symbols whose funding is not the usual."""
    funding = Funding(
        interval_h=int(row["fundingIntervalHours"]),
        cap=number(row.get("adjustedFundingRateCap")),
        floor=number(row.get("adjustedFundingRateFloor")),
    )
    return InstrumentRecord(str(row["symbol"]), funding=funding)


def binance_brackets(row: Json) -> InstrumentRecord:
    """One symbol of a leverageBracket; COIN-M writes quantities where USD-M writes notionals."""
    tiers = [
        LeverageTier(
            floor=_must(one, "notionalFloor" if "notionalFloor" in one else "qtyFloor"),
            cap=_must(one, "notionalCap" if "notionalCap" in one else "qtyCap"),
            maintenance_frac=_must(one, "maintMarginRatio"),
            leverage_max=_must(one, "initialLeverage"),
            deduction=number(one.get("cum")),
        )
        for one in row["brackets"]
    ]
    return InstrumentRecord(str(row["symbol"]), leverage_tiers=_rising(tiers))


def _ccxt_tiers(body: Json, market: str) -> tuple[list[InstrumentRecord], list[str]]:
    """Tiers as ccxt writes them, with the venue's own row under `info`; symbols such as BTC/USDT:USDT-241227."""
    records: list[InstrumentRecord] = []
    notes: list[str] = []
    for unified, rows in body.items():
        pair, _, contract = str(unified).partition(":")
        settle, dash, end = contract.partition("-")
        base, _, quote = pair.partition("/")
        if (market == "inverse") != (settle == base):
            continue
        name = f"{base}{quote}{'_' if dash else '_PERP' if market == 'inverse' else ''}{end}"
        found, wrong = _each([{"symbol": name, "brackets": [one["info"] for one in rows]}], binance_brackets)
        records += found
        notes += wrong
    return records, notes


def _read_bybit(body: object, market: str, source: str) -> Read:
    result = body.get("result") if isinstance(body, Mapping) else None
    if not isinstance(body, Mapping) or not isinstance(result, Mapping) or not isinstance(result.get("list"), list):
        raise _not_an_answer(source, "instruments-info, risk-limit or fee-rate")
    rows = _rows(result["list"], source)
    first = next(iter(rows), {})
    if "riskLimitValue" in first:
        kind, (records, notes) = result.get("category"), bybit_risk_limits(rows)
    elif "takerFeeRate" in first:
        kind, (records, notes) = None, _each(rows, bybit_fees)
    elif "lotSizeFilter" in first or not rows:
        kind, (records, notes) = result.get("category") or _bybit_kind(rows), _bybit_instruments(rows)
    else:
        raise _not_an_answer(source, "instruments-info, risk-limit or fee-rate")
    _require_market(kind, market, source)
    return records, notes, _time(body.get("time"))


def _bybit_kind(rows: Iterable[Json]) -> str | None:
    row = next(iter(rows), {})
    kinds = {"Linear": "linear", "Inverse": "inverse"}
    stated = next((kind for word, kind in kinds.items() if str(row.get("contractType", "")).startswith(word)), None)
    return stated or ("option" if "optionsType" in row else "spot" if "basePrecision" in row.get("lotSizeFilter", {}) else None)


def bybit_record(row: Json) -> InstrumentRecord:
    """One symbol of an instruments-info of any category. Raises ValueError where a step is missing."""
    price, lot, risk = row.get("priceFilter") or {}, row.get("lotSizeFilter") or {}, row.get("riskParameters") or {}
    x, y = number(risk.get("priceLimitRatioX")), number(risk.get("priceLimitRatioY"))
    status = str(row.get("status") or "")
    end_ms = _time(row.get("deliveryTime"))
    lot_size = _must(lot, "qtyStep" if "qtyStep" in lot else "basePrecision")
    rules = Rules(
        base=str(row["baseCoin"]),
        quote=str(row["quoteCoin"]),
        settle=row.get("settleCoin"),
        contract_type=str(row.get("contractType") or row.get("optionsType") or ""),
        status=status,
        tradable=status == "Trading",
        tick_size=_must(price, "tickSize"),
        lot_size=lot_size,
        min_qty=number(lot.get("minOrderQty")) or lot_size,
        max_qty=positive(lot.get("maxLimitOrderQty")) or positive(lot.get("maxOrderQty")),
        max_market_qty=positive(lot.get("maxMktOrderQty")) or positive(lot.get("maxMarketOrderQty")),
        min_notional=number(lot.get("minNotionalValue") or lot.get("minOrderAmt")) or Decimal(0),
        max_notional=positive(lot.get("maxOrderAmt")),
        min_price=positive(price.get("minPrice")),
        max_price=positive(price.get("maxPrice")),
        price_band=PriceBand(ratio_x=x, ratio_y=y) if x is not None or y is not None else None,
        max_leverage=positive((row.get("leverageFilter") or {}).get("maxLeverage")),
        listed_ms=_time(row.get("launchTime")),
        delisted_ms=end_ms,
    )
    return InstrumentRecord(str(row["symbol"]), rules=rules)


def _bybit_instruments(rows: Iterable[Json]) -> tuple[list[InstrumentRecord], list[str]]:
    """Records with funding; where only the funding cannot be understood, the rules are kept without it."""
    records: list[InstrumentRecord] = []
    notes: list[str] = []
    for row in rows:
        found, wrong = _each([row], bybit_record)
        notes += wrong
        hours, rest = divmod(int(row.get("fundingInterval") or 0), 60)
        if rest:
            notes.append(f"{row.get('symbol')}: fundingInterval {row['fundingInterval']} is not whole hours in minutes; left out")
        elif hours:
            funding = Funding(interval_h=hours, cap=number(row.get("upperFundingRate")), floor=number(row.get("lowerFundingRate")))
            found = [record._replace(funding=funding) for record in found]
        records += found
    return records, notes


def bybit_risk_limits(rows: Iterable[Json]) -> tuple[list[InstrumentRecord], list[str]]:
    """Tiers from rows of any number of symbols, each with the upper end of one tier."""
    grouped: dict[str, list[Json]] = {}
    for row in rows:
        grouped.setdefault(str(row.get("symbol")), []).append(row)
    return _each([{"symbol": symbol, "rows": held} for symbol, held in grouped.items()], _bybit_tiers)


def _bybit_tiers(group: Json) -> InstrumentRecord:
    rows = sorted(group["rows"], key=lambda row: _must(row, "riskLimitValue"))
    tiers: list[LeverageTier] = []
    for row in rows:
        rate, leverage = _must(row, "maintenanceMargin"), _must(row, "maxLeverage")
        if CALCULATION.multiply(_must(row, "initialMargin"), leverage) > 10:
            rate = CALCULATION.divide(rate, Decimal(100))  # older answers write per cent: initial margin 1 at leverage 100
        tiers.append(
            LeverageTier(
                floor=(tiers[-1].cap or Decimal(0)) if tiers else Decimal(0),
                cap=_must(row, "riskLimitValue"),
                maintenance_frac=number(rate) or Decimal(0),
                leverage_max=leverage,
                deduction=number(row.get("mmDeduction")),
            )
        )
    return InstrumentRecord(str(group["symbol"]), leverage_tiers=_rising(tiers))


def bybit_fees(row: Json) -> InstrumentRecord:
    """One symbol of a fee-rate answer; rates are fractions there."""
    return InstrumentRecord(str(row["symbol"]), fees=_fees(row))


# -- parts of answers ----------------------------------------------------------------------------------------------------


def _each(rows: Iterable[Json], read: Callable[[Json], InstrumentRecord]) -> tuple[list[InstrumentRecord], list[str]]:
    """What can be read of each row, and a note on each that cannot."""
    records: list[InstrumentRecord] = []
    notes: list[str] = []
    for row in rows:
        try:
            records.append(read(row))
        except KeyError as error:
            notes.append(f"{row.get('symbol', 'a row')} is left out: no {error.args[0]}")
        except (ValueError, TypeError, AttributeError, DomainError) as error:
            notes.append(f"{row.get('symbol', 'a row')} is left out: {error}")
    return records, notes


def _fees(row: Json) -> Fees:
    maker, taker = (CALCULATION.multiply(_must(row, name), Decimal(10_000)) for name in ("makerFeeRate", "takerFeeRate"))
    return Fees(maker_bps=number(maker) or Decimal(0), taker_bps=number(taker) or Decimal(0))


def _rows(value: object, source: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise _not_an_answer(source, "a list of instruments")
    return value


def _part(filters: Mapping[str, Json], name: str) -> Json:
    if name not in filters:
        raise ValueError(f"no {name}")
    return filters[name]


def _must(row: Json, name: str) -> Decimal:
    value = number(row.get(name))
    if value is None:
        raise ValueError(f"no {name}")
    return value


def _rising(tiers: list[LeverageTier]) -> tuple[LeverageTier, ...]:
    ordered = sorted(tiers, key=lambda tier: tier.floor)
    if not ordered or any(later.floor != earlier.cap for earlier, later in zip(ordered, ordered[1:], strict=False)):
        raise ValueError("its tiers do not join")
    return tuple(ordered)


def _time(value: object) -> int | None:
    """Milliseconds; None for 0, empty and absent."""
    return int(str(value)) or None if value not in {None, ""} else None


def _require_market(kind: object, market: str, source: str) -> None:
    if kind is not None and kind != market:
        raise SchemaMismatchError(f"{source} tells of {kind} instruments, not of {market}; use --market {kind}")


def _not_an_answer(source: str, expected: str) -> SchemaMismatchError:
    return SchemaMismatchError(f"{source} is no answer about instruments; expected {expected}")
