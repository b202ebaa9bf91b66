"""Whether a run could be made again."""
