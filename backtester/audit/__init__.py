"""The record of a run: journal, digest, run directory, comparison of two event streams."""
