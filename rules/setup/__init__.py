"""The loop and what it is made of: who is trained, by whom, in which order and mode."""
