"""What users write: the base class, its context, indicators and the shipped strategies."""
