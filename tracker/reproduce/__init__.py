"""Doing a run again from its ID: restore, run, compare, and say how much of it came out the same."""
