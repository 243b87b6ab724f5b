"""A run with several settlement assets: an accounting for each, told in the reporting currency at the prices it wrote down."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from backtester.proof.accounting import UNIT, Accounting, Change, Position
from backtester.proof.figures import Row


class CurrencyAccounting(Accounting):
    """Positions and trades of all symbols; money by asset. `record` is what the manifest says of the currency."""

    def __init__(self, record: dict[str, Any], *, contracts: dict[str, Fraction]) -> None:
        super().__init__(Fraction(0), outright=frozenset(), contracts=contracts)
        self._assets = record["assets"]
        self._settles = {symbol: asset for asset, one in self._assets.items() for symbol in one["settles"]}
        self.parts = {asset: Accounting(Fraction(0), outright=frozenset(), contracts=contracts) for asset in self._assets}
        self.prices = dict.fromkeys(self._assets, Fraction(1))
        """Those of the last snapshot."""

    def fill(self, event: dict[str, Any]) -> None:
        """A fill is in the positions, and in the money of its asset."""
        super().fill(event)
        self.parts[self._settles[event["symbol"]]].fill(event)

    def pay(self, event: dict[str, Any]) -> None:
        """A funding payment is in the money of its asset."""
        self.parts[self._settles[event["symbol"]]].pay(event)

    def deposit(self, event: dict[str, Any]) -> None:
        """A wallet at the start."""
        asset, amount = event["asset"], Fraction(event["amount"])
        self.parts[asset].flows += amount
        self.deposited += self.told(asset, amount, Fraction(event["price"]))

    def told(self, asset: str, amount: Fraction, price: Fraction | None = None) -> Fraction:
        """An amount of an asset in the currency, at a price or else that of the last snapshot."""
        if not self._assets[asset]["symbol"]:
            return amount
        price = self.prices[asset] if price is None else price
        return amount / price if self._assets[asset]["divides"] else amount * price

    def wallets(self) -> dict[str, Fraction]:
        """What each asset's wallet holds."""
        return {asset: part.cash() for asset, part in self.parts.items()}

    def snapshot_figures(self, event: dict[str, Any], marks: dict[Position, Fraction]) -> list[tuple[str, Fraction, Fraction]]:
        """As `Accounting.snapshot_figures`, in the currency, at the prices of the snapshot."""
        self.prices = {row["asset"]: Fraction(row["price"]) for row in event["prices"]}
        totals: dict[str, tuple[Fraction, Fraction]] = {}
        for asset, part in self.parts.items():
            for name, value, _ in part.snapshot_figures(event, marks):
                slack = self.told(asset, (part.reductions + len(marks) + 1) * UNIT) + UNIT
                before, allowed = totals.get(name, (Fraction(0), Fraction(0)))
                totals[name] = before + self.told(asset, value), allowed + slack
        return [(name, value, allowed) for name, (value, allowed) in totals.items()]

    def wrong_balances(self, event: dict[str, Any]) -> bool:
        """Whether the wallets that a snapshot shows are others than the fills make them."""
        shown = {row["asset"]: Fraction(row["amount"]) for row in event["balances"]}
        wallets = self.wallets()
        return shown.keys() != wallets.keys() or any(
            abs(shown[asset] - held) > self.parts[asset].reductions * UNIT for asset, held in wallets.items()
        )

    def paid(self) -> tuple[Fraction, Fraction]:
        """(fees, funding received) of all assets, at the prices of the last snapshot."""
        parts = self.parts.items()
        fees = sum((self.told(asset, part.fees) for asset, part in parts), Fraction(0))
        return fees, sum((self.told(asset, part.funding) for asset, part in parts), Fraction(0))

    def told_trades(self, rows: Iterable[Row]) -> list[Row]:
        """Rows of trades.csv with their profits in the currency, at the prices of the last snapshot."""

        def told(row: Row, name: str) -> str:
            return str(self.told(self._settles[row["symbol"]], Fraction(row[name])))

        return [row | {name: told(row, name) for name in ("gross_pnl", "net_pnl")} for row in rows]

    def equity_problems(self, rows: Iterable[Row], changes: list[Change]) -> tuple[list[str], int]:
        """What rows of equity.csv say otherwise than the fills, and how many of them had a position."""
        found: list[str] = []
        index, held_rows, is_held, before_ms = 0, 0, False, -1
        wallets: dict[str, Fraction] = {}
        for number, row in enumerate(rows, start=2):
            time_ms = int(row["time_ms"])
            while index < len(changes) and (changes[index][0] < time_ms or (changes[index][0] == time_ms and changes[index][1])):
                _, _, wallets, is_held = changes[index]
                index += 1
            held_rows += is_held
            found += [f"line {number}: {problem}" for problem in self._row_problems(row, wallets)]
            if time_ms <= before_ms:
                found.append(f"line {number}: time does not rise")
            before_ms = time_ms
        return found, held_rows

    def _row_problems(self, row: Row, wallets: dict[str, Fraction]) -> list[str]:
        problems = []
        cash = equity = Fraction(0)
        for asset, held in wallets.items():
            wallet, price = Fraction(row[f"cash_{asset}"]), Fraction(row[f"price_{asset}"])
            if abs(wallet - held) > self.parts[asset].reductions * UNIT:
                problems.append(f"cash_{asset} is {float(wallet)}, the fills make it {float(held)}")
            cash += self.told(asset, wallet, price)
            equity += self.told(asset, Fraction(row[f"equity_{asset}"]), price)
        for name, value in (("cash", cash), ("equity", equity), ("unrealised_pnl", equity - cash)):
            if abs(Fraction(row[name]) - value) > 2 * len(wallets) * UNIT:
                problems.append(f"{name} is {row[name]}, the assets make it {float(value)}")
        if not Fraction(row["equity_min"]) <= Fraction(row["equity"]) <= Fraction(row["equity_max"]):
            problems.append("equity does not lie between its minimum and maximum")
        return problems
