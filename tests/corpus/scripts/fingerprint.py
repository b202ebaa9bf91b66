"""What a training leaves behind, as one line: models, optimizers and numbers, then every random state.

Importing it seeds `random` and numpy, so that a script that seeds torch only leaves the same states each time.
"""

import hashlib
import random
import sys

import numpy as np
import torch

random.seed(0)
np.random.seed(0)


def _feed(hasher, thing):
    if isinstance(thing, (torch.nn.Module, torch.optim.Optimizer)) or hasattr(thing, "state_dict"):
        _feed(hasher, thing.state_dict())
    elif isinstance(thing, torch.Tensor):
        plain = thing.detach().to_dense() if thing.layout != torch.strided else thing.detach()
        hasher.update(repr((plain.dtype, tuple(plain.shape))).encode())
        hasher.update(plain.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(thing, dict):
        for key in thing:
            hasher.update(repr(key).encode())
            _feed(hasher, thing[key])
    elif isinstance(thing, (list, tuple)):
        for part in thing:
            _feed(hasher, part)
    elif not callable(thing):
        hasher.update(repr(thing).encode())


def fingerprint(*things):
    """SHA-256 of the things given and of the states of all random generators."""
    hasher = hashlib.sha256()
    _feed(hasher, things)
    _feed(hasher, [random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()])
    return hasher.hexdigest()


def leave(*things):
    """Prints the fingerprint as the last line of stdout."""
    print("fingerprint", fingerprint(*things))
    sys.stdout.flush()
