"""Learning rates and their schedules."""
