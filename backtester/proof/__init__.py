"""A small program of its own that recomputes a run from its journal; it shares no code with the engine."""
