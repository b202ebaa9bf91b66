"""Two implementations of one model, or two checkpoints of it, layer by layer: which is the first that differs."""
