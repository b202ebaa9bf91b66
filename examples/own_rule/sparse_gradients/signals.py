"""What the plug-in measures."""

from tracker.rules import Signal

ZEROS = Signal("sparse_gradients/zeros", "share of the gradient's elements that are exactly 0, 0 to 1", "parameter")
