"""Bus, clock, loop, random streams and the ports they need."""
