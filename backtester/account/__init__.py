"""The books: ledger, positions, equity."""
