"""Parts of the training section: metrics, terms of the loss, speed, key numbers."""
