"""Market data: where candles are stored, how they are checked, and how a run receives them in order of time."""
