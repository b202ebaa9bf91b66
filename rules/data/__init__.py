"""What the training data shows."""
