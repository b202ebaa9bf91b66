"""What the gradients show."""
