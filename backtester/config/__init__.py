"""What a run is: typed, strict, described and never constructed here."""
