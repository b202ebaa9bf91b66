"""Real trainings with one fault in the loss, and healthy ones of several kinds beside them."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import fault_parts, tracked
from tracker.rules import Severity

generator = torch.Generator().manual_seed(0)
INPUTS = torch.randn(256, 8, generator=generator)
LABELS = (INPUTS[:, 0] > 0).long() + 2 * (INPUTS[:, 1] > 0).long()
AMOUNTS = INPUTS[:, :1] - 2 * INPUTS[:, 1:2] + 0.1 * torch.randn(256, 1, generator=generator)
BINARY = (INPUTS[:, :1] > 0).float()

RULES = {
    "double-softmax", "probability-loss-on-logits", "target-contract", "wrong-loss-for-targets", "negative-loss",
    "softmax-wrong-dimension", "final-layer-nonlinearity", "regularisation-dominates", "loss-terms-unbalanced",
    "loss-reduction-sum", "output-size-mismatch", "nonfinite-loss", "nonfinite-gradient", "nonfinite-weight",
}  # fmt: skip


def found(loss_of, targets, n_out, *end, epochs=4, lr=5e-3):
    """Ids of the rules of this folder that warn of a training with `loss_of(outputs, targets)`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, n_out), *end)
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        with tracked() as run:
            for _ in range(epochs):
                for x, y in DataLoader(TensorDataset(INPUTS, targets), batch_size=32, shuffle=True):
                    optimizer.zero_grad()
                    loss_of(model(x), y).backward()
                    optimizer.step()
    assert fault_parts(run) == []
    return {one.rule for one in run.findings if one.severity >= Severity.WARNING} & RULES


@pytest.mark.parametrize(
    ("loss_of", "targets", "n_out", "end", "expected"),
    [
        (functional.cross_entropy, LABELS, 4, [nn.Softmax(1)], "double-softmax"),
        (functional.binary_cross_entropy_with_logits, BINARY, 1, [nn.Sigmoid()], "double-softmax"),
        (functional.nll_loss, LABELS, 4, [], "probability-loss-on-logits"),
        (functional.nll_loss, LABELS, 4, [nn.LogSoftmax(0)], "softmax-wrong-dimension"),
        (lambda p, y: functional.smooth_l1_loss(p, y.squeeze(1)), AMOUNTS, 1, [], "target-contract"),
        (lambda p, y: ((p - y.squeeze(1)) ** 2).mean(), AMOUNTS, 1, [], "target-contract"),
        (lambda p, y: functional.mse_loss(p.squeeze(1), y.float()), LABELS, 1, [], "wrong-loss-for-targets"),
        (functional.mse_loss, AMOUNTS, 1, [nn.ReLU()], "final-layer-nonlinearity"),
        (lambda p, y: -functional.cross_entropy(p, y), LABELS, 4, [], "negative-loss"),
        (functional.cross_entropy, LABELS, 40, [], "output-size-mismatch"),
        (lambda p, y: torch.log(functional.relu(p) - y.abs()).mean(), AMOUNTS, 1, [], "nonfinite-loss"),
    ],
)
@pytest.mark.filterwarnings("ignore:Using a target size")
def test_the_fault_of_a_training_is_named_and_no_other(loss_of, targets, n_out, end, expected):
    assert found(loss_of, targets, n_out, *end) == {expected}


@pytest.mark.parametrize(
    ("loss_of", "targets", "n_out", "end"),
    [
        (functional.cross_entropy, LABELS, 4, []),
        (functional.nll_loss, LABELS, 4, [nn.LogSoftmax(1)]),
        (lambda p, y: functional.nll_loss(torch.log(p + 1e-8), y), LABELS, 4, [nn.Softmax(1)]),
        (functional.binary_cross_entropy, BINARY, 1, [nn.Sigmoid()]),
        (functional.mse_loss, AMOUNTS, 1, []),
        (lambda p, y: functional.mse_loss(p, y, reduction="sum"), AMOUNTS, 1, []),
        (lambda p, y: ((p - y) ** 2).mean(), AMOUNTS, 5, []),
        (lambda p, y: -functional.cosine_similarity(p, y.expand(-1, 4)).mean(), AMOUNTS, 4, []),
        (lambda p, y: functional.mse_loss(p, functional.one_hot(y, 4).float()), LABELS, 4, [nn.Softmax(1)]),
    ],
)
def test_a_healthy_training_is_left_alone(loss_of, targets, n_out, end):
    assert found(loss_of, targets, n_out, *end) == set()


def test_a_penalty_that_is_all_the_training_is_about_is_named():
    weights: list[torch.Tensor] = []

    class Kept(nn.Linear):
        def __init__(self):
            super().__init__(4, 4)
            weights.extend(self.parameters())

    def penalised(outputs, targets):
        return functional.cross_entropy(outputs, targets) + 50.0 * sum(p.pow(2).sum() for p in weights)

    assert found(penalised, LABELS, 4, Kept(), epochs=8, lr=5e-3) == {"regularisation-dominates"}
