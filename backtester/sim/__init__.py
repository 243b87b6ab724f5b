"""The simulated venue: matching on bars, latency, costs. One of two adapters behind the same port."""
