"""What held-out data shows."""
