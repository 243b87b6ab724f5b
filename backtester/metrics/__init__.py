"""Figures of a run: pure functions of a daily equity series, a drawdown and trades."""
