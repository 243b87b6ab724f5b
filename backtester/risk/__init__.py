"""What stands between an intent and the venue: validation, limits, reservations."""
