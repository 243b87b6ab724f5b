"""The command `bt`."""
