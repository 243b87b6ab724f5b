"""What a run leaves for people: csv files, frames, the terminal."""
