"""What the weights and their changes show."""
