"""After a whole preflight, with all drills there are, everything is bit for bit as before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from tracker import preflight
from tracker.drilling.preserved import changed, fingerprint

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
Y = torch.arange(8) % 3
TOKENS = torch.arange(48).reshape(6, 8) % 11


class Convolutions(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(144, 3)
        )


class Recurrent(nn.Module):
    """A language model, with tied weights and a count of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 6)
        self.lstm = nn.LSTM(6, 6, batch_first=True)
        self.head = nn.Linear(6, 11)
        self.head.weight = self.embedding.weight
        self.calls: list[int] = []

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        self.calls.append(len(self.calls))
        return self.head(self.lstm(self.embedding(tokens))[0]).transpose(1, 2)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, ids: torch.Tensor, labels: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        logits = self.head(self.block(self.embedding(ids)).mean(1))
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits} if labels is not None else {}


class Normed(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            parametrizations.spectral_norm(nn.Linear(4, 5)), nn.Tanh(), parametrizations.weight_norm(nn.Linear(5, 1))
        )


class Lazy(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.LazyLinear(6), nn.ReLU(), nn.LazyLinear(3))


class Frozen(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
        self[0].requires_grad_(False)
        self[1].eval()


class Double(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 1, dtype=torch.float64)


entropy = nn.functional.cross_entropy
KINDS: tuple[tuple[Callable[[], nn.Module], Any, Any], ...] = (
    (lambda: nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)), entropy, (X, Y)),
    (Convolutions, nn.CrossEntropyLoss(label_smoothing=0.1), (IMAGES, Y)),
    (Recurrent, entropy, (TOKENS[:, :-1], TOKENS[:, 1:])),
    (Attention, None, {"ids": TOKENS, "labels": Y[:6]}),
    (Normed, nn.MSELoss(), (X, X.sum(1, keepdim=True))),
    (Lazy, entropy, (X, Y)),
    (Frozen, entropy, (X, Y)),
    (Double, nn.BCEWithLogitsLoss(), (X.double(), (Y == 1).double()[:, None])),
)


def made(kind: Callable[[], nn.Module]) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    model = kind()
    trained = [one for one in model.parameters() if one.requires_grad]
    return model, torch.optim.AdamW(trained, 0.01)


def kept(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Any]:
    """The state as a user would look at it."""
    tensors = {} if isinstance(model, Lazy) else model.state_dict()
    values = [(name, one.clone(), one._version) for name, one in tensors.items()]
    modes = [(name, module.training, dict(module._forward_hooks)) for name, module in model.named_modules()]
    return [values, modes, optimizer.state_dict(), torch.get_rng_state(), [one.grad for one in model.parameters()]]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.slow
@pytest.mark.parametrize("is_stepped", [False, True])
@pytest.mark.parametrize(("kind", "loss", "batch"), KINDS)
def test_all_drills_together_leave_no_trace(kind: Any, loss: Any, batch: Any, is_stepped: bool) -> None:
    model, optimizer = made(kind)
    given = batch if isinstance(batch, dict) else {"batch": batch}
    if is_stepped and kind is not Lazy:
        output = model(**given) if isinstance(batch, dict) else model(batch[0])
        (output["loss"] if isinstance(output, dict) else loss(output, batch[1])).backward()
        optimizer.step()
    before, was = fingerprint([model], [optimizer], [given]), kept(model, optimizer)
    result = preflight(model, loss, batch, optimizer=optimizer, seconds=60, log=False)

    assert changed(before, fingerprint([model], [optimizer], [given])) == []
    assert same(kept(model, optimizer), was)
    assert not [row for row in result.rows if "drill itself failed" in row.says]


def test_some_drills_leave_no_trace() -> None:
    for kind, loss, batch in KINDS[::3]:
        model, optimizer = made(kind)
        before, was = fingerprint([model], [optimizer]), kept(model, optimizer)
        preflight(model, loss, batch, optimizer=optimizer, only=("determinism", "initial-loss"), log=False)

        assert changed(before, fingerprint([model], [optimizer])) == []
        assert same(kept(model, optimizer), was)


@pytest.mark.parametrize("call", [1, 2, 5])
def test_an_interruption_in_the_model_passes_and_leaves_no_trace(call: int) -> None:
    calls: list[int] = []

    class Interrupted(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            calls.append(1)
            if len(calls) == call:
                raise KeyboardInterrupt
            return super().forward(x)

    model, optimizer = made(lambda: Interrupted(4, 3))
    before = fingerprint([model], [optimizer])
    with pytest.raises(KeyboardInterrupt):
        preflight(model, entropy, (X, Y), optimizer=optimizer, only=("determinism", "overfit-one-batch"), log=False)

    assert changed(before, fingerprint([model], [optimizer])) == []


INTERRUPTED = """
import torch
from torch import nn
from tracker import preflight
from tracker.drilling.preserved import changed, fingerprint

model = nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 3))
optimizer = torch.optim.Adam(model.parameters())
x, y = torch.randn(32, 4), torch.arange(32) % 3
nn.functional.cross_entropy(model(x), y).backward()
optimizer.step()
optimizer.zero_grad()
preflight(model, nn.CrossEntropyLoss(), (x, y), optimizer=optimizer, only=("determinism",), log=False)  # to load all
before = fingerprint([model], [optimizer])
print("ready", flush=True)
try:
    while True:
        preflight(model, nn.CrossEntropyLoss(), (x, y), optimizer=optimizer, log=False)
except KeyboardInterrupt:
    print(changed(before, fingerprint([model], [optimizer])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.05, 0.4, 1.5])
def test_ctrl_c_in_a_preflight_leaves_no_trace(root: Path, after: float) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(after)  # any moment has to do
    child.send_signal(signal.SIGINT)

    assert child.communicate(timeout=60)[0] == "[]\n"
    assert child.returncode == 0
