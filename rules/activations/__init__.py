"""What the activations show."""
