"""Whether a strategy's result can be believed: repeats runs, perturbs their data, watches the strategy, compares."""
