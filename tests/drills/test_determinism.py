"""Two identical steps: what differs is named, and what begins with a seed does not differ."""

import os
import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tracker import preflight
from tracker.drilling.calling import subject_of
from tracker.drilling.drill import Notes
from tracker.drilling.loop import Loop
from tracker.drilling.preserved import changed, fingerprint
from tracker.drills.determinism import Determinism, told_by_torch
from tracker.drills.digests import bits
from tracker.drills.rewinding import generators


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


NUMPY, PYTHON, TORCH = np.random.default_rng(5), random.Random(5), torch.Generator().manual_seed(5)
"""Seeded, and of nobody's but this module's."""
UNSEEDED = np.random.default_rng()


def entropy():
    return int.from_bytes(os.urandom(4), "big") / 2**32


class Noise(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.draw = draw

    def forward(self, h):
        return h + self.draw()


class Net(nn.Module):
    def __init__(self, draw):
        super().__init__()
        self.first, self.noise, self.last = nn.Linear(10, 16), Noise(draw), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(F.dropout(self.noise(self.first(x)), 0.3, self.training))


class Shifted(nn.Module):
    """Draws outside of any module that it calls."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(10, 3)

    def forward(self, x):
        return self.body(x + entropy())


def batch():
    return torch.randn(16, 10), torch.randint(0, 3, (16,))


def checked(model, loss=None, given=None, **others):
    loss = loss or nn.CrossEntropyLoss()
    return preflight(model, loss, given or batch(), only=("determinism",), log=False, **others).row("determinism")


def measured(subject, iterate):
    """The drill's fact, where a loop of the test's own makes the iterations."""
    notes = Notes("determinism")
    drive = Determinism().drive(subject, notes)
    next(drive)
    try:
        while True:
            drive.send(iterate())
    except StopIteration:
        return notes.value


def test_equal_bits_pass_with_dropout_and_batch_norm():
    row = checked(nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)))

    assert row.status == "passed"
    assert not row.findings
    assert "the same bits in 5 modules, 6 gradients and 6 weights" in row.says


@pytest.mark.parametrize(
    "draw",
    [
        lambda: NUMPY.normal(),
        lambda: PYTHON.random(),
        lambda: torch.rand((), generator=TORCH),
        lambda: np.random.rand() + random.random(),
    ],
    ids=["numpy", "python", "torch", "global"],
)
def test_generators_with_a_seed_are_rewound(draw):
    subject = subject_of(Net(draw), nn.CrossEntropyLoss(), batch())
    states = NUMPY.bit_generator.state, PYTHON.getstate(), TORCH.get_state()
    fact = measured(subject, Loop(subject).iterate)

    assert fact["loop"]["kind"] == ""
    assert NUMPY.bit_generator.state == states[0]
    assert PYTHON.getstate() == states[1]
    assert torch.equal(TORCH.get_state(), states[2])


@pytest.mark.parametrize("draw", [entropy, lambda: UNSEEDED.normal()], ids=["system", "numpy"])
def test_random_numbers_without_a_seed_name_the_module_that_drew_them(draw):
    row = checked(Net(draw))

    assert row.status == "failed"
    assert [(finding["rule"], finding["subject"]) for finding in row.findings] == [("nondeterministic-step", "noise")]
    assert "noise (Noise) gives another output the second time" in row.findings[0]["message"]


def test_code_between_modules_names_the_module_that_it_is_in():
    row = checked(nn.Sequential(nn.Linear(10, 10), Shifted()))

    assert row.status == "failed"
    assert row.findings[0]["subject"] == "1"
    assert "1 (Shifted) gives what it calls other inputs" in row.findings[0]["message"]


def test_a_loss_that_changes_by_itself_is_named():
    row = checked(nn.Linear(10, 3), lambda output, labels: F.cross_entropy(output, labels) * (1 + entropy()))

    assert row.status == "failed"
    assert "the loss is another the second time" in row.findings[0]["message"]


class Other(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        with torch.no_grad():
            self.param_groups[0]["params"][0].add_(entropy())


def test_an_optimizer_that_changes_by_itself_is_named():
    model = nn.Linear(10, 3)
    row = checked(model, optimizer=Other(model.parameters(), 0.1))

    assert row.status == "failed"
    assert "the optimizer makes another weight of the same gradients" in row.findings[0]["message"]


def test_a_loss_that_is_no_number_is_equal_to_itself():
    assert checked(nn.Linear(10, 3), lambda output, labels: F.cross_entropy(output / 0.0, labels)).status == "passed"


def test_a_loop_that_gives_other_batches_is_told_from_a_model_that_differs():
    subject = subject_of(nn.Linear(10, 3), nn.CrossEntropyLoss(), batch())
    subject.is_script = True

    def iterate():
        subject.args = (torch.randn(16, 10).mul_(entropy()),)
        loss = Loop(subject).iterate()
        subject.args = given
        return loss

    given = subject.args
    fact = measured(subject, iterate)

    assert fact["loop"]["kind"] == "inputs"
    assert fact["alone"]["kind"] == ""


def test_torch_names_what_it_has_no_deterministic_form_of():
    with told_by_torch() as names:
        torch.zeros(4).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))

    assert names == ["put_"]
    assert not torch.are_deterministic_algorithms_enabled()


def test_everything_is_as_before_also_when_the_loop_raises():
    model, given = Net(entropy), batch()
    optimizer = torch.optim.Adam(model.parameters())
    before = fingerprint([model], [optimizer])
    checked(model, None, given, optimizer=optimizer)
    after = fingerprint([model], [optimizer])
    subject = subject_of(model, nn.CrossEntropyLoss(), given, optimizer=optimizer)
    drive = Determinism().drive(subject, Notes("determinism"))
    next(drive)
    Loop(subject).iterate()
    with pytest.raises(KeyboardInterrupt):
        drive.throw(KeyboardInterrupt())

    assert changed(before, after) == []
    assert changed(before, fingerprint([model], [optimizer])) == []


def test_fingerprints_tell_any_two_tensors_apart():
    one = torch.randn(1000)
    other = one.clone()
    other[[3, 4]] = other[[4, 3]]
    nan = torch.full((3,), float("nan"))

    assert torch.equal(bits(one)[1], bits(one.clone())[1])
    assert not torch.equal(bits(one)[1], bits(other)[1])
    assert torch.equal(bits(nan)[1], bits(nan.clone())[1])
    assert bits(one)[0] != bits(one.double())[0]
    assert not torch.equal(bits(torch.tensor(0.0))[1], bits(torch.tensor(-0.0))[1])


def test_generators_of_nobody_in_particular_are_found():
    with generators() as found:
        first = NUMPY.normal(), PYTHON.random()
        found.rewind()
        again = NUMPY.normal(), PYTHON.random()
        drawn = []
        for turn in range(2):
            found.begin_anew(turn)
            drawn.append((NUMPY.normal(), UNSEEDED.normal()))

    assert first == again
    assert drawn[0][0] == drawn[1][0]
    assert drawn[0][1] != drawn[1][1]
