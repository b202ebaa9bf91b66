"""Differences against autograd: wrong backwards are found, gradients that are other on purpose are not."""

import os
from contextlib import suppress
from functools import partial

import pytest
import torch
from torch import nn
from torch.autograd import Function
from torch.nn import functional as F

from tracker import preflight
from tracker.drilling.calling import subject_of
from tracker.drilling.drill import Notes, Skip
from tracker.drilling.loop import Loop
from tracker.drilling.preserved import changed, fingerprint
from tracker.drills.differences import AGREES, DOUBLE, FLAT, KINK, SMALL, WRONG, compare
from tracker.drills.gradient_check import GradientCheck
from tracker.drills.in_double import in_double
from tracker.rules.engine import Severity
from tracker.rules.preflight.severed_weights import SeveredWeights
from tracker.rules.preflight.uneasy_gradient import UneasyGradient
from tracker.rules.preflight.wrong_gradient import WrongGradient
from tracker.rules.testing import judge


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Derivative(Function):
    """An activation with a derivative of its own choice: subclasses say which."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)


class Rectify(Derivative):
    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] > 0)


class NoMask(Derivative):
    @staticmethod
    def backward(ctx, g):
        return g


class MaskUpsideDown(Derivative):
    @staticmethod
    def backward(ctx, g):
        return g * (ctx.saved_tensors[0] < 0)


class LowerBound(Derivative):
    """Lets a gradient out of the clamped range."""

    @staticmethod
    def backward(ctx, g):
        return g * ((ctx.saved_tensors[0] > 0) | (g < 0))


class Swish(Function):
    @staticmethod
    def forward(x):
        return x * x.sigmoid()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.sigmoid() * (1 + x * (1 - x.sigmoid()))


class SwishOfHalf(Swish):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * x.sigmoid() * (1 - x.sigmoid())


class Float32Sine(Function):
    """Takes nothing but float32."""

    @staticmethod
    def forward(ctx, x):
        assert x.dtype == torch.float32
        ctx.save_for_backward(x)
        return x.sin()

    @staticmethod
    def backward(ctx, g):
        return -g * ctx.saved_tensors[0].cos()


class Reverse(Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, g):
        return -0.3 * g


class Sign(Function):
    @staticmethod
    def forward(ctx, x):
        return torch.where(x >= 0, 1.0, -1.0)

    @staticmethod
    def backward(ctx, g):
        return g


class Codes(Function):
    """The nearest code of each row; the gradient goes straight through to the row, and to the code."""

    @staticmethod
    def forward(ctx, x, codes):
        nearest = torch.cdist(x, codes).argmin(1)
        ctx.save_for_backward(nearest, codes)
        return codes[nearest]

    @staticmethod
    def backward(ctx, g):
        nearest, codes = ctx.saved_tensors
        return g, torch.zeros_like(codes).index_add(0, nearest, g)


class CrossEntropy(Function):
    """A loss that takes no gradient from behind: it is 1 for a loss."""

    @staticmethod
    def forward(ctx, logits, labels):
        shares = logits.softmax(1)
        ctx.save_for_backward(shares, labels)
        return -shares.gather(1, labels[:, None]).log().mean()

    @staticmethod
    def backward(ctx, g):
        shares, labels = ctx.saved_tensors
        return (shares - F.one_hot(labels, shares.size(1))) / len(shares), None


class CrossEntropySummed(CrossEntropy):
    @staticmethod
    def backward(ctx, g):
        shares, labels = ctx.saved_tensors
        return g * (shares - F.one_hot(labels, shares.size(1))), None


class Net(nn.Module):
    def __init__(self, between):
        super().__init__()
        self.first, self.last = nn.Linear(10, 24), nn.Linear(24, 3)
        self.between = between

    def forward(self, x):
        return self.last(self.between(self.first(x)))


class Coded(Net):
    def __init__(self):
        super().__init__(self.nearest)
        self.codes = nn.Parameter(torch.randn(8, 24))

    def nearest(self, h):
        return Codes.apply(h, self.codes)


class Affine(Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return x @ weight.t() + bias

    @staticmethod
    def backward(ctx, g):
        x, weight = ctx.saved_tensors
        return g @ weight, g.t() @ x, g.mean(0)  # the bias gets a mean, not the sum


class OwnLinear(Net):
    affine = staticmethod(Affine.apply)

    def __init__(self):
        super().__init__(torch.relu)

    def forward(self, x):
        return self.last(self.affine(x, self.first.weight, self.first.bias).relu())


def batch():
    return torch.randn(16, 10), torch.randint(0, 3, (16,))


class Checked:
    """What the drill measured, and what its rules say of it."""

    def __init__(self, model, loss=None, given=None, optimizer=None):
        subject = subject_of(model, loss or nn.CrossEntropyLoss(), given or batch(), optimizer=optimizer)
        notes = Notes("gradient-check")
        steps = GradientCheck().drive(subject, notes)
        next(steps)
        with suppress(StopIteration):
            steps.send(Loop(subject).iterate())
        self.fact = notes.value
        found = [(rule, one) for rule in RULES for one in judge(rule(), facts={"drill/gradient-check": self.fact})]
        self.said = {(rule.id(), one.subject) for rule, one in found}
        self.messages = [one.message for _, one in found]
        self.advice = [one.advice[0] for _, one in found]
        self.has_failed = any(rule.severity >= Severity.WARNING for rule, _ in found)


RULES = (WrongGradient, SeveredWeights, UneasyGradient)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.cell = nn.Embedding(30, 8), nn.LSTM(8, 12, 2, batch_first=True, dropout=0.3)
        self.out = nn.Linear(12, 30)
        self.scale = torch.tensor([0.5])  # neither parameter nor buffer

    def forward(self, tokens):
        return self.out(self.cell(self.embed(tokens))[0] * self.scale).transpose(1, 2)


def test_a_model_with_batch_norm_and_dropout_is_checked_in_float64_in_every_tensor():
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(54, 4)
    )
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    given = torch.randn(8, 3, 8, 8), torch.randint(0, 4, (8,))
    found = Checked(model, nn.CrossEntropyLoss(weight=weights), given)

    assert not found.said
    assert "of 6 of 6 tensors, float64" in found.fact["summary"]
    assert max(row["error"] for row in found.fact["worst"]) < 1e-5


def test_a_recurrent_language_model_passes():
    tokens = torch.randint(0, 30, (4, 7))
    labels = tokens.clone()
    labels[:, :2] = -100
    found = Checked(Recurrent(), nn.CrossEntropyLoss(), (tokens, labels))

    assert not found.said
    assert "of 11 of 11 tensors, float64" in found.fact["summary"]


@pytest.mark.parametrize("wrong", [NoMask, MaskUpsideDown, SwishOfHalf, Float32Sine])
def test_a_wrong_backward_is_found_alone(wrong):
    found = Checked(Net(lambda h: wrong.apply(h)))

    assert found.said == {("wrong-gradient", wrong.__name__)}


@pytest.mark.parametrize("apply", [Rectify.apply, Swish.apply])
def test_a_right_backward_passes_however_it_is_called(apply):
    found = Checked(Net(apply))

    assert not found.said
    assert f"{apply.__self__.__name__} alone" in found.fact["summary"]


@pytest.mark.parametrize("meant", [Reverse, Sign, LowerBound])
def test_a_gradient_that_is_other_on_purpose_is_a_note(meant):
    found = Checked(Net(meant.apply))

    assert found.said == {("uneasy-gradient", meant.__name__)}


def test_codes_with_a_straight_through_gradient_pass():
    assert not Checked(Coded()).has_failed


def test_a_backward_that_is_wrong_for_one_of_its_inputs_is_found():
    assert Checked(OwnLinear()).said == {("wrong-gradient", "Affine")}


def test_a_loss_of_ones_own_is_checked():
    right, wrong = Checked(Net(torch.relu), CrossEntropy.apply), Checked(Net(torch.relu), CrossEntropySummed.apply)

    assert not right.said
    assert wrong.said == {("wrong-gradient", "CrossEntropySummed")}
    assert "16 times" in wrong.advice[0]


def written(h, how):
    if how == "data":
        h.data.clamp_(min=-0.1)
    elif how == "no_grad":
        with torch.no_grad():
            h.mul_(h > 0)
    return h


@pytest.mark.parametrize("how", ["data", "no_grad"])
def test_writing_behind_autograds_back_is_found(how):
    found = Checked(Net(partial(written, how=how)))

    assert [rule for rule, _ in found.said] == ["wrong-gradient"]
    assert "does not watch" in found.messages[0]


def test_weights_that_are_cut_off_are_found_unless_nobody_trains_them():
    model = Net(lambda h: h.tanh().detach())
    head = torch.optim.SGD(model.last.parameters(), 0.1)

    assert Checked(model).said == {("severed-weights", "first.weight")}
    assert not Checked(model, optimizer=head).has_failed


@pytest.mark.parametrize("stepped", [lambda h: (h > 0).float(), torch.round])
def test_weights_behind_a_step_are_cut_off(stepped):
    assert Checked(Net(stepped)).said == {("severed-weights", "first.weight")}


def test_weights_that_nothing_depends_on_are_not_cut_off():
    model = Net(torch.relu)
    model.unused = nn.Linear(3, 3)
    nn.init.zeros_(model.last.weight)  # nothing before it matters yet

    assert not Checked(model).said


def test_a_stopped_gradient_is_a_note():
    found = Checked(Net(lambda h: h + h.detach().tanh()))

    assert [rule for rule, _ in found.said] == ["uneasy-gradient"]
    assert "1 x detach" in found.messages[0]


def test_a_state_that_is_carried_on_is_put_back_for_each_difference():
    class Carrying(Net):
        state = 0.0

        def forward(self, x):
            h = torch.tanh(self.first(x) + self.state)
            self.state = h.detach()
            return self.last(h)

    found = Checked(Carrying(None))

    assert not found.said
    assert "of 4 of 4 tensors" in found.fact["summary"]


def test_a_model_that_casts_to_float32_is_checked_with_fewer_digits():
    found = Checked(Net(lambda h: h.float().relu()))

    assert not found.said
    assert found.fact["dtype"] == "float32"


def test_without_a_loss_the_outputs_are_checked():
    subject = subject_of(Net(SwishOfHalf.apply), None, batch())
    subject.loss, notes = None, Notes("gradient-check")
    steps = GradientCheck().drive(subject, notes)
    next(steps)
    with pytest.raises(StopIteration):  # a loop of ours would need the loss
        steps.throw(Skip("the loss is not known"))

    assert notes.value["of"] == "outputs"
    assert [one.subject for one in judge(WrongGradient(), facts={"drill/gradient-check": notes.value})] == [
        "SwishOfHalf"
    ]


def test_what_changes_by_itself_is_skipped():
    with pytest.raises(Skip, match="two different numbers"):
        Checked(Net(lambda h: h + int.from_bytes(os.urandom(4), "big") / 2**32))


class Interrupting(Net):
    calls = 0

    def forward(self, x):
        Interrupting.calls += 1
        if Interrupting.calls == 30:
            raise KeyboardInterrupt
        return super().forward(x)


def test_everything_is_as_before_also_when_it_is_interrupted():
    model, given, only = Interrupting(Reverse.apply), batch(), ("gradient-check",)
    optimizer = torch.optim.Adam(model.parameters())
    nn.CrossEntropyLoss()(model(given[0]), given[1]).backward()
    optimizer.step()
    before, own = fingerprint([model], [optimizer], given), dict(vars(Reverse))
    with pytest.raises(KeyboardInterrupt):
        preflight(model, nn.CrossEntropyLoss(), given, optimizer=optimizer, only=only, log=False)
    interrupted = fingerprint([model], [optimizer], given)
    preflight(model, nn.CrossEntropyLoss(), given, optimizer=optimizer, only=only, log=False)

    assert Interrupting.calls > 30
    assert changed(before, interrupted) == []
    assert changed(before, fingerprint([model], [optimizer], given)) == []
    assert dict(vars(Reverse)) == own
    assert torch.get_default_dtype() == torch.float32


def test_differences_of_one_number():
    def kind(function, analytic, at=0.0):
        return compare(lambda delta: function(at + delta) - function(at), analytic, 1.0, 1e-15, DOUBLE).kind

    assert kind(lambda x: x**3, 12.0, 2.0) == AGREES
    assert kind(lambda x: x**3, 6.0, 2.0) == WRONG
    assert kind(lambda x: x**3, 12.0 * (1 + 1e-3), 2.0) == WRONG
    assert kind(lambda x: max(x, 0.0), 1.0) == KINK
    assert kind(lambda x: max(x, 0.0), 0.7, 1e-6) == WRONG
    assert kind(lambda x: max(x, 0.0), 1.0, 1e-6) == AGREES
    assert kind(lambda x: float(round(x)), 1.0, 0.2) == FLAT
    assert kind(lambda x: 1e-12 * x, 1e-12) == SMALL


def test_in_double_keeps_the_storage_of_each_tensor():
    model, weight = nn.BatchNorm1d(3), torch.ones(3)
    places = {name: one.data_ptr() for name, one in model.state_dict().items()}
    with in_double(model, [weight, lambda x: weight]):
        inside = {one.dtype for one in (*model.parameters(), weight, torch.zeros(1))}

    assert inside == {torch.float64}
    assert weight.dtype == torch.float32
    assert {name: one.data_ptr() for name, one in model.state_dict().items()} == places
