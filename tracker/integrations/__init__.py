"""One file for each framework or library that a training may be hosted by: translation only."""
