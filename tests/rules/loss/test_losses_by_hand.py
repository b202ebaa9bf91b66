"""What the graph shows of losses by hand: edges of the rules, and trainings in which each fault is the headline."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Categorical
from torch.nn import functional

from tests.trainings import tracked
from tracker.rules import NotApplicable
from tracker.rules.activations.collapsed_representation import CollapsedRepresentation
from tracker.rules.gradients.absent_gradient import AbsentGradient
from tracker.rules.gradients.zero_gradient_layer import ZeroGradientLayer
from tracker.rules.loss.double_softmax import DoubleSoftmax
from tracker.rules.loss.probability_loss_on_logits import ProbabilityLossOnLogits
from tracker.rules.setup.step_does_nothing import StepDoesNothing
from tracker.rules.testing import judge

LEARNS = [2.3 * 0.99**i for i in range(600)]
STILLED = {"stilled": ["box.weight", "box.bias"], "n_stilled": 2, "stilled_by": ["round"]}


def test_a_rounded_branch_is_named_though_the_loss_comes_down():
    norms = {"body.weight": [0.5] * 60, "box.weight": [0.0] * 60}
    found = judge(ZeroGradientLayer(), loss=LEARNS, grad_norm=norms, facts={"graph": STILLED})

    assert [one.subject for one in found] == ["box.weight"]
    assert "round" in found[0].message


def test_a_branch_that_got_a_gradient_after_all_is_not_stilled():
    norms = {"body.weight": [0.5] * 60, "box.weight": [0.0] * 59 + [0.1]}

    assert judge(ZeroGradientLayer(), loss=LEARNS, grad_norm=norms, facts={"graph": STILLED}) == []


def test_quiet_layers_of_a_game_are_not_judged_by_its_loss():
    norms = {"a.weight": [0.5] * 60, "b.weight": [0.0] * 60}
    with pytest.raises(NotApplicable, match="tells nothing of progress"):
        judge(ZeroGradientLayer(), profile="gan", loss=[1.0] * 600, grad_norm=norms)


def test_a_whole_model_behind_a_sign_is_named_by_its_absent_gradient_alone():
    zero = {"": [0.0] * 40}
    case = {"grad_norm": zero, "loss": [1.9] * 40, "facts": {"graph": {"stilled_by": ["sign"]}}}
    still = {
        "update_ratio": {"a.weight": [0.0] * 20}, "lr": {"0": [0.1]}, "grad_norm": zero,
        "facts": {"optimizer": [{"class": "SGD"}], "weights": {"start": "4af1", "end": "4af1", "step": 20}},
    }  # fmt: skip

    assert "sign" in judge(AbsentGradient(), **case)[0].message
    with pytest.raises(NotApplicable, match="absent-gradient"):
        judge(StepDoesNothing(), **still)


def test_squashing_twice_is_named_in_every_kind_of_training():
    doubled = [{"first": "softmax", "second": "log_softmax", "layer": "actor.weight"}]
    found = judge(DoubleSoftmax(), profile="rl", facts={"graph": {"doubled": doubled}})

    assert [one.subject for one in found] == ["actor"]


@pytest.mark.parametrize(
    ("use", "profile", "fires"),
    [
        ("overlap", "unknown", True),
        ("logarithm", "rl", True),
        ("likelihood", "unknown", True),
        ("likelihood", "rl", False),
    ],
)
def test_raw_scores_are_named_by_their_use(use, profile, fires):
    case = {"facts": {"graph": {"raw": [{"use": use, "layer": "head.weight"}]}, "loss": {"function": "unknown"}}}
    if not fires:
        with pytest.raises(NotApplicable):
            judge(ProbabilityLossOnLogits(), profile=profile, **case)
        return

    assert [one.subject for one in judge(ProbabilityLossOnLogits(), profile=profile, **case)] == ["head"]


@pytest.mark.parametrize(("losses", "fires"), [(LEARNS, True), ([1.0 + 0.01 * (i % 3) for i in range(600)], False)])
def test_two_outputs_that_only_come_together_collapse(losses, fires):
    layers = {"output/rms": {"a": [1.0] * 60, "b": [1.0] * 60}, "output/variance": {"a": [0.3] * 60, "b": [0.3] * 60}}
    found = judge(CollapsedRepresentation(), loss=losses, **layers, facts={"graph": {"agreement": "similarity"}})

    assert bool(found) is fires


# -- trainings -----------------------------------------------------------------------------------------------------

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(240, 8, generator=GENERATOR)
MASK = (X + 0.3 > 0).float()
TWO = torch.stack([X[:, 0] - X[:, 1], X[:, 2]], 1)


class Boxes(nn.Module):
    def __init__(self, is_rounded):
        super().__init__()
        self.body, self.label, self.box = nn.Linear(8, 32), nn.Linear(32, 2), nn.Linear(32, 2)
        self.is_rounded = is_rounded

    def forward(self, x):
        h = torch.relu(self.body(x))
        box = 4 * self.box(h)
        return self.label(h), (box.round() if self.is_rounded else box + (box.round() - box).detach()) / 4


def boxes(model, x, at):
    label, box = model(x)
    return functional.cross_entropy(label, MASK[at, 0].long()) + functional.mse_loss(box, TWO[at])


def dice(p, t):
    return 1 - ((2 * (p * t).sum(1) + 1) / (p.sum(1) + t.sum(1) + 1)).mean()


def mlp(*end, n_out=8):
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, n_out), *end)


def acts(model, x, at, kind=Bernoulli, **change):
    """REINFORCE: one action for each sample, and a reward for the right one."""
    given = model(x)
    chosen = kind(logits=given.squeeze(1) if kind is Bernoulli else given)
    action = chosen.sample()
    reward = (action == MASK[at, 0]).float()
    return -(chosen.log_prob(action) * (reward - reward.mean())).mean()


def views(model, x, at, is_cut=False):
    a, b = (model[:3](x + 0.3 * torch.randn(x.shape)) for _ in range(2))
    return -functional.cosine_similarity(model[3:](a), b.detach() if is_cut else b).mean()


def headlines(model, loss_of):
    """Rules that warn of a training, in the order in which they are told."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = model()
        optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
        with tracked() as run:
            for _ in range(12):
                for at in torch.randperm(240).split(30):
                    optimizer.zero_grad()
                    loss_of(net, X[at], at).backward()
                    optimizer.step()
    return [one["rule"] for one in dict(run.verdict or {})["findings"] if one["severity"] not in ("info", "INFO")]


@pytest.mark.parametrize(
    ("model", "loss_of", "expected"),
    [
        (lambda: Boxes(True), boxes, "zero-gradient-layer"),
        (lambda: Boxes(False), boxes, None),
        (mlp, lambda net, x, at: dice(net(x), MASK[at]), "probability-loss-on-logits"),
        (mlp, lambda net, x, at: dice(net(x).sigmoid(), MASK[at]), None),
        (lambda: mlp(nn.Softmax(1), n_out=2), lambda *given: acts(*given, kind=Categorical), "double-softmax"),
        (lambda: mlp(n_out=2), lambda *given: acts(*given, kind=Categorical), None),
        (lambda: mlp(n_out=1), acts, None),
        (lambda: nn.Sequential(*mlp(), nn.Linear(8, 8)), views, "collapsed-representation"),
        (lambda: nn.Sequential(*mlp(), nn.Linear(8, 8)), lambda *given: views(*given, is_cut=True), None),
    ],
)
def test_the_fault_of_a_loss_by_hand_is_the_headline(model, loss_of, expected):
    assert headlines(model, loss_of)[:1] == ([expected] if expected else [])
