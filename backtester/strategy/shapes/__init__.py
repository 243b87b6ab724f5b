"""Strategies of other shapes, so that existing code can be judged: signal modules, entry and exit columns, market-making bots."""
