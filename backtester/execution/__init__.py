"""The life cycle of orders, one table for simulation and live."""
