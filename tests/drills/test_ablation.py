"""Which change makes a failing training work: measured on one that fails for a known reason."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tracker.drilling.calling import subject_of
from tracker.drilling.measuring import drive, measuring
from tracker.drilling.preserved import preserved
from tracker.drills import ablation
from tracker.drills.ablation import Ablation, variants
from tracker.drills.changes import drawn_anew, every_parameter_trained, normalised_inputs, without_last_activation
from tracker.rules.engine.records import Fact
from tracker.rules.preflight.curable_failure import CurableFailure
from tracker.rules.testing import judge


@pytest.fixture(autouse=True)
def _seeded(monkeypatch):
    torch.manual_seed(0)
    monkeypatch.setattr(ablation, "ITERATIONS", 30)


def mlp(outputs=4):
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, outputs))


class Squashed(nn.Module):
    """Ends in a softmax that is a function."""

    def __init__(self):
        super().__init__()
        self.body = mlp()

    def forward(self, x):
        return self.body(x).softmax(-1)


def dead():
    model = mlp()
    nn.init.constant_(model[0].bias, -100.0)
    return model


def frozen():
    model = mlp()
    nn.init.zeros_(model[0].weight)
    model.requires_grad_(False)[-1].requires_grad_(True)
    return model


class NeverCleared(torch.optim.Adam):
    """Gradients of all steps add up."""

    def zero_grad(self, set_to_none=True):
        """Does not."""


CASES = {
    "softmax function": (Squashed, torch.optim.Adam, 1e-2, "without the last softmax"),
    "rate too high": (mlp, torch.optim.Adam, 3.0, "learning rate x0.01"),
    "rate too small": (mlp, torch.optim.Adam, 1e-6, "learning rate x10000"),
    "gradients kept": (mlp, NeverCleared, 0.3, "gradients cleared at every step"),
    "dead units": (dead, torch.optim.Adam, 1e-2, "weights drawn anew"),
    "frozen layers": (frozen, torch.optim.Adam, 1e-2, "every parameter trained"),
}


def subject_for(model, kind=torch.optim.Adam, rate=1e-2, loss=F.cross_entropy):
    optimizer = kind([one for one in model.parameters() if one.requires_grad], rate)
    return subject_of(model, loss, (torch.randn(16, 20), torch.randint(0, 4, (16,))), optimizer=optimizer)


FAST = ("softmax function", "gradients kept")


@pytest.mark.parametrize(
    "case",
    [pytest.param(one, id=name, marks=[] if name in FAST else pytest.mark.slow) for name, one in CASES.items()],
)
def test_the_change_that_undoes_the_fault_is_named(case):
    make, kind, rate, name = case
    subject, records = subject_for(make(), kind, rate), []
    before = [one.detach().clone() for one in subject.model.parameters()]
    drive(measuring(subject, [Ablation(60.0)], records.extend, lambda: True, 60.0), subject)
    fact = next(one.value for one in records if isinstance(one, Fact) and one.name == "drill/ablation")
    found = judge(CurableFailure(), facts={"drill/ablation": fact})

    assert [one.message.partition(":")[0] for one in found] == [name], fact["summary"]
    assert all(torch.equal(one, two) for one, two in zip(before, subject.model.parameters(), strict=True))
    assert all(one.grad is None for one in subject.model.parameters())


def test_nothing_is_tried_where_nothing_failed():
    subject, records = subject_for(mlp()), []
    drive(measuring(subject, [Ablation(60.0)], records.extend, lambda: False, 60.0), subject)

    assert [(one.name, one.value["status"]) for one in records] == [("drills/ablation", "skipped")]


def test_probabilities_that_their_loss_needs_are_left_alone():
    model = nn.Sequential(mlp(1), nn.Sigmoid())
    batch = torch.randn(8, 20), torch.rand(8, 1).round()
    subject = subject_of(model, F.binary_cross_entropy, batch)

    assert not [name for name, _ in variants(subject, subject.loss_facts()) if name.startswith("without")]


def test_what_a_softmax_made_is_computed_back_to_scores():
    subject = subject_for(Squashed())
    raw = subject.model.body(*subject.args)
    with without_last_activation(subject):
        scores = subject.output()

    assert torch.allclose(scores - scores.mean(1, keepdim=True), raw - raw.mean(1, keepdim=True), atol=1e-5)
    assert not subject.model._forward_hooks


def test_inputs_are_standardised_for_the_model_alone():
    model = nn.Sequential(nn.Identity())
    given = torch.rand(64, 3) * 1e4
    subject = subject_of(model, lambda outputs, targets: outputs.mean(), (given, given))
    with normalised_inputs(subject):
        seen = subject.output()

    assert torch.allclose(seen.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(seen.std(0), torch.ones(3))
    assert torch.equal(subject.output(), given)


def test_frozen_parameters_are_frozen_again():
    model = frozen()
    subject = subject_for(model)
    held = subject.optimizers[0].param_groups[0]["params"]
    with every_parameter_trained(subject):
        during = len(subject.optimizers[0].param_groups[0]["params"])

    assert during == 6
    assert subject.optimizers[0].param_groups[0]["params"] is held
    assert len(held) == 2
    assert [one.requires_grad for one in model.parameters()] == [False] * 4 + [True] * 2


def test_constant_parameters_of_no_layer_are_drawn_too():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(20, 4))

        def forward(self, x):
            return x @ self.weight

    subject = subject_for(Own())
    with preserved([subject.model]), drawn_anew(subject):
        drawn = subject.model.weight.detach().clone()

    assert drawn.std() > 0.1
    assert not subject.model.weight.any()
