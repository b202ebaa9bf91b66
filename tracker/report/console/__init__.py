"""What is said on a terminal while a training runs, and when it has ended."""
