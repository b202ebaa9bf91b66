"""Whether a run is like those before it."""
