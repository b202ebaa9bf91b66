"""What drills show before a long training."""
