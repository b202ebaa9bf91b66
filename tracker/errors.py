"""Everything the tracker raises at the user's mistakes.

::

    TrackerError
    ├── ConfigError          a setting, an argument or a rule's knob is wrong
    │   └── UnknownRule      a rule id that does not exist
    ├── RuleError            a rule is badly made
    │   └── DuplicateRule    two rules with one id
    ├── StoreError           a run or a store cannot be found or read
    └── ReproduceError       a run cannot be restored or run again

Inside a training nothing of this is raised: a fault of the tracker's own is recorded and the part switched off.
"""

from .rules.engine.errors import ConfigError, DuplicateRule, RuleError, TrackerError, UnknownRule


class StoreError(TrackerError):
    """A run, an experiment or a tracking store cannot be found or read."""


class ReproduceError(TrackerError):
    """A run cannot be restored, or not be run again."""


__all__ = ["ConfigError", "DuplicateRule", "ReproduceError", "RuleError", "StoreError", "TrackerError", "UnknownRule"]
