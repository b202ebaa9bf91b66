"""Rules of a game, nothing else."""

from .board import legal

__all__ = ["legal"]
