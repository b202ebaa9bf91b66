"""The parts of a report, a module each: what a run holds becomes blocks. A part that has nothing to show gives none."""
