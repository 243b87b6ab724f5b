"""Values and messages that the modules share; no I/O, no clock, nothing of ours imported."""
