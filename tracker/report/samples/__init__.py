"""Held-out samples that were kept, what the model said of them, and the filters of its first layer."""
