"""What drills measured before a training, as pictures."""
