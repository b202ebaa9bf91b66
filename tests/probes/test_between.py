"""What lies between the last layers and the loss: squashing twice, raw scores, dead ends, and two outputs alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import facts, fault_parts, tracked

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(24, 6, generator=GENERATOR)
Y = torch.arange(24) % 3
MASK = functional.one_hot(Y, 3).float()
ROWS = torch.arange(24)
LEAST = 1e-6


def told(loss_of, body=None, steps=3, trained=None):
    """The last fact `graph` of a training with `loss_of(outputs)`."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)) if body is None else body
    optimizer = torch.optim.SGD((trained or model).parameters(), 1e-3)
    with tracked() as run:
        for _ in range(steps):
            optimizer.zero_grad()
            loss_of(model(X)).backward()
            optimizer.step()
    assert fault_parts(run) == []
    return facts(run, "graph")[-1]


def categorical(**given):
    return -torch.distributions.Categorical(**given).log_prob(Y).mean()


def dice(p, t=MASK):
    return 1 - ((2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()


def jaccard(p, t=MASK):
    overlap = (p * t).sum(1)
    return 1 - (overlap / (p.sum(1) + t.sum(1) - overlap)).mean()


def tversky(p, t=MASK):
    hit, false, missed = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t).sum()
    return (1 - (hit + 1) / (hit + 0.3 * false + 0.7 * missed + 1)) ** 0.75


def focal(p, t=MASK):
    p = p.clamp(LEAST, 1 - LEAST)
    return -(t * (1 - p) ** 2 * p.log() + (1 - t) * p**2 * (1 - p).log()).mean()


def agreement_of_outputs(p, t=MASK):
    """The concordance correlation: a ratio, but one of regressions."""
    a, b = p - p.mean(), t - t.mean()
    return 1 - 2 * (a * b).mean() / ((a * a).mean() + (b * b).mean() + (p.mean() - t.mean()) ** 2)


@pytest.mark.parametrize(
    ("loss_of", "expected"),
    [
        (lambda z: categorical(logits=z.softmax(1)), ("softmax", "log_softmax")),
        (lambda z: functional.log_softmax(z.softmax(1), 1)[ROWS, Y].neg().mean(), ("softmax", "log_softmax")),
        (lambda z: functional.binary_cross_entropy(z.sigmoid().sigmoid(), MASK), ("sigmoid", "sigmoid")),
        (lambda z: categorical(logits=z), None),
        (lambda z: categorical(probs=z.softmax(1)), None),
        (lambda z: categorical(logits=z.log_softmax(1)), None),
        (lambda z: functional.cross_entropy(z, Y), None),
    ],
)
def test_what_is_squashed_twice_is_told_with_its_layer(loss_of, expected):
    doubled = told(loss_of)["doubled"]

    assert [(one["first"], one["second"]) for one in doubled] == ([expected] if expected else [])
    assert all(one["layer"] == "2.weight" for one in doubled)


@pytest.mark.parametrize(
    ("loss_of", "use"),
    [
        (dice, "overlap"),
        (jaccard, "overlap"),
        (tversky, "overlap"),
        (lambda z: functional.binary_cross_entropy_with_logits(z, MASK) + dice(z), "overlap"),
        (focal, "logarithm"),
        (lambda z: -torch.log(z.gather(1, Y[:, None]).clamp_min(LEAST)).mean(), "logarithm"),
        (lambda z: -torch.log(z.clamp_min(LEAST)).gather(1, Y[:, None]).mean(), "logarithm"),
        (lambda z: -(z.detach().softmax(1) * torch.log(z.clamp_min(LEAST))).sum(1).mean(), "logarithm"),
        (lambda z: -z[ROWS, Y].mean(), "likelihood"),
        (lambda z: dice(z.sigmoid()), None),
        (lambda z: jaccard(z.softmax(1)), None),
        (lambda z: focal(z.sigmoid()), None),
        (agreement_of_outputs, None),
        (lambda z: 1 - (2 * (z * MASK).sum() / ((z * z).sum() + MASK.sum())), None),  # its optimum is the mask
        (lambda z: z.logsumexp(1).mean() - z[ROWS, Y].mean(), None),
        (lambda z: ((torch.log(z.clamp(min=0) + 1) - torch.log(MASK + 1)) ** 2).mean(), None),
        (lambda z: (functional.softplus(z) - MASK * torch.log(functional.softplus(z) + LEAST)).mean(), None),
    ],
)
def test_raw_scores_in_what_is_made_for_probabilities_are_told(loss_of, use):
    assert told(loss_of)["raw"] == ([{"use": use, "layer": "2.weight"}] if use else [])


class Middle(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second, self.between = nn.Linear(6, 8), nn.Linear(8, 3), between

    def forward(self, x):
        return self.second(self.between(self.first(x)))


class Round(torch.autograd.Function):
    """A rounding that hands its gradient on."""

    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


@pytest.mark.parametrize(
    ("between", "by"),
    [
        (torch.round, ["round"]),
        (lambda x: torch.floor(4 * x) / 4, ["floor"]),
        (torch.sign, ["sign"]),
        (lambda x: torch.div(x, 0.1, rounding_mode="trunc"), ["div with a rounding_mode"]),
        (lambda x: x + (x.round() - x).detach(), []),
        (Round.apply, []),
    ],
)
def test_parameters_behind_a_derivative_of_zero_are_told(between, by):
    fact = told(lambda z: functional.cross_entropy(z, Y), Middle(between))

    assert fact["stilled"] == (["first.weight", "first.bias"] if by else [])
    assert fact["stilled_by"] == by


def test_a_rounding_beside_another_way_stills_nothing():
    fact = told(lambda z: functional.cross_entropy(z, Y), Middle(lambda x: x + x.round()))

    assert (fact["stilled"], fact["stilled_by"]) == ([], ["round"])


HALVES = (slice(0, 12), slice(12, 24))


def halves(z, normalised=False):
    z = functional.normalize(z, dim=1) if normalised else z
    return z[HALVES[0]], z[HALVES[1]]


class Views(nn.Module):
    """Two views of each sample through one network, and a predictor on one of them."""

    def __init__(self, is_cut=False):
        super().__init__()
        self.encoder, self.predictor, self.is_cut = nn.Linear(6, 8), nn.Linear(8, 8), is_cut

    def forward(self, x):
        a, b = self.encoder(x[HALVES[0]]), self.encoder(x[HALVES[1]])
        return self.predictor(torch.relu(a)), b.detach() if self.is_cut else b


@pytest.mark.parametrize(
    ("loss_of", "is_cut", "expected"),
    [
        (lambda p, z: -functional.cosine_similarity(p, z).mean(), False, "similarity"),
        (lambda p, z: (2 - 2 * (functional.normalize(p) * functional.normalize(z)).sum(1)).mean(), False, "similarity"),
        (lambda p, z: functional.mse_loss(p, z), False, "distance"),
        (lambda p, z: functional.pairwise_distance(p, z).pow(2).mean(), False, "distance"),
        (lambda p, z: -functional.cosine_similarity(p, z).mean(), True, None),
        (lambda p, z: functional.mse_loss(p, z) + functional.relu(1 - z.std(0)).mean(), False, None),
        (lambda p, z: functional.cross_entropy(p @ z.T, torch.arange(12)), False, None),
        (lambda p, z: functional.relu((p - z).norm(dim=1) - (p - z.roll(1, 0)).norm(dim=1) + 1).mean(), False, None),
        (lambda p, z: (p - z).pow(2).mean() - (p - z.roll(1, 0)).pow(2).mean(), False, None),
        (lambda p, z: ((p - z).norm(dim=1) - X[:12].norm(dim=1)).pow(2).mean(), False, None),
        (lambda p, z: functional.mse_loss(p, z) + functional.cross_entropy(z, Y[:12]), False, None),
    ],
)
def test_a_loss_that_only_brings_two_outputs_together_is_told(loss_of, is_cut, expected):
    assert told(lambda both: loss_of(*both), Views(is_cut))["agreement"] == expected


def test_a_target_network_that_no_optimizer_has_cannot_collapse():
    class Averaged(nn.Module):
        def __init__(self):
            super().__init__()
            self.online, self.target = nn.Linear(6, 8), nn.Linear(6, 8)

        def forward(self, x):
            return self.online(x), self.target(x)

    both = Averaged()
    alone = told(lambda pair: functional.mse_loss(*pair), both, trained=both.online)

    assert alone["agreement"] is None
    assert told(lambda pair: functional.mse_loss(*pair), both)["agreement"] == "distance"
