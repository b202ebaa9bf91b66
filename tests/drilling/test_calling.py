"""A model is called with whatever a batch is made of."""

from __future__ import annotations

from collections import OrderedDict, UserDict, namedtuple
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional

from tracker.drilling.calling import own_copy, subject_of, tried
from tracker.drilling.loop import Loop
from tracker.drilling.preserved import changed, fingerprint
from tracker.drilling.subject import Subject
from tracker.errors import ConfigError

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
Y = torch.arange(6) % 3
LENGTHS = torch.tensor([1, 2, 3, 4, 5, 6])


class Model(nn.Module):
    """Of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


class Two(Model):
    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return self.layer(x) / lengths[:, None]


class Any_(Model):
    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(sum(inputs))  # type: ignore[arg-type]


class Keywords(Model):
    def forward(self, *, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:  # type: ignore[override]
        return self.layer(x) if mask is None else self.layer(x * mask)


class Whole(Model):
    """Takes the batch as one, whatever it is."""

    def forward(self, batch: Any) -> torch.Tensor:
        return self.layer(batch["x"] if isinstance(batch, (dict, UserDict)) else batch.x)


class Output(OrderedDict[str, torch.Tensor]):
    """As libraries of models give it: a dictionary with attributes."""

    def __getattr__(self, name: str) -> torch.Tensor:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Own(Model):
    """Computes its loss."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor | None = None, **_: Any) -> Output:  # type: ignore[override]
        logits = self.layer(x)
        return Output(loss=functional.cross_entropy(logits, labels), logits=logits) if labels is not None else Output()


class Pairs(Model):
    def forward(self, x: torch.Tensor, y: torch.Tensor | None = None) -> tuple[torch.Tensor, Any]:  # type: ignore[override]
        logits = self.layer(x)
        return logits, None if y is None else functional.cross_entropy(logits, y)


class Losses(Model):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        logits = self.layer(x)
        return {"classes": functional.cross_entropy(logits, y), "size": logits.square().mean()}


@dataclass(frozen=True)
class Record:
    x: torch.Tensor
    y: torch.Tensor


class Fields(NamedTuple):
    x: torch.Tensor
    mask: torch.Tensor
    y: torch.Tensor


class Graphs:
    """A batch of a class of somebody's."""

    def __init__(self) -> None:
        self.x, self.y = X, Y


def of_batch(output: torch.Tensor, batch: Any) -> torch.Tensor:
    return functional.cross_entropy(output, batch["y"] if isinstance(batch, (dict, UserDict)) else batch.y)


entropy = functional.cross_entropy
Pair = namedtuple("Pair", "x y")


def with_lengths(output: torch.Tensor, targets: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(output, targets) + lengths.sum()


@pytest.mark.parametrize(
    ("model", "loss", "batch", "expected"),
    [
        (Model, entropy, (X, Y), lambda m: entropy(m(X), Y)),
        (Model, nn.CrossEntropyLoss(), [X, Y], lambda m: entropy(m(X), Y)),
        (Model, entropy, Pair(X, Y), lambda m: entropy(m(X), Y)),
        (Model, lambda output: output.mean(), X, lambda m: m(X).mean()),
        (Model, lambda output, batch: (output - batch[:, :3]).square().mean(), X, None),
        (Model, lambda output, targets: {"loss": entropy(output, targets), "n": 6}, (X, Y), None),
        (Model, lambda output, targets: (entropy(output, targets), output), (X, Y), None),
        (Model, lambda output, targets: entropy(output, targets)[None], (X, Y), None),
        (Model, with_lengths, (X, (Y, LENGTHS)), lambda m: entropy(m(X), Y) + LENGTHS.sum()),
        (Two, entropy, (X, LENGTHS, Y), lambda m: entropy(m(X, LENGTHS), Y)),
        (Two, entropy, ((X, LENGTHS), Y), lambda m: entropy(m(X, LENGTHS), Y)),
        (Two, entropy, [[X, LENGTHS], Y], lambda m: entropy(m(X, LENGTHS), Y)),
        (Two, entropy, ({"x": X, "lengths": LENGTHS, "id": 3}, Y), lambda m: entropy(m(X, LENGTHS), Y)),
        (Any_, entropy, (X, X, Y), lambda m: entropy(m(X, X), Y)),
        (Keywords, of_batch, {"x": X, "y": Y}, lambda m: entropy(m(x=X), Y)),
        (Keywords, of_batch, UserDict(x=X, y=Y), lambda m: entropy(m(x=X), Y)),
        (Keywords, of_batch, Record(X, Y), lambda m: entropy(m(x=X), Y)),
        (Keywords, of_batch, Fields(X, X, Y), lambda m: entropy(m(x=X, mask=X), Y)),
        (Whole, of_batch, {"x": X, "y": Y}, lambda m: entropy(m({"x": X}), Y)),
        (Whole, of_batch, UserDict(x=X, y=Y), lambda m: entropy(m({"x": X}), Y)),
        (Whole, of_batch, Graphs(), lambda m: entropy(m({"x": X}), Y)),
        (Own, None, {"x": X, "labels": Y}, lambda m: m(X, Y).loss),
        (Own, lambda output, batch: output.loss, Output(x=X, labels=Y), lambda m: m(X, Y).loss),
        (Pairs, None, (X, Y), lambda m: m(X, Y)[1]),
        (Pairs, None, [X, Y], lambda m: m(X, Y)[1]),
        (Losses, None, (X, Y), lambda m: sum(m(X, Y).values())),
        (lambda: nn.DataParallel(Two()), entropy, (X, LENGTHS, Y), lambda m: entropy(m(X, LENGTHS), Y)),
    ],
)
def test_a_batch_goes_to_the_model_as_it_wants_it(model: Any, loss: Any, batch: Any, expected: Any) -> None:
    torch.manual_seed(0)
    called = model()
    subject = subject_of(called, loss, batch)
    made = subject.compute()

    assert made.shape == ()
    assert made.requires_grad
    if expected is not None:
        assert torch.equal(made, expected(called))


def test_a_model_is_called_as_somebody_says() -> None:
    model = Model().eval()
    subject = subject_of(model, entropy, (X, LENGTHS, Y), forward=lambda model, batch: model(batch[0] * 2))

    assert torch.equal(subject.compute(), entropy(model(X * 2), Y))
    assert not subject.model.training
    assert [id(one) for one in subject.model.parameters()] == [id(one) for one in model.parameters()]


class Center(nn.Module):
    """A loss with weights, and a count of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.centers = nn.Parameter(torch.zeros(3, 3))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (output - self.centers[targets]).square().mean()


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: one.forward, lambda one: lambda o, t: one(o, t)])
def test_a_loss_with_weights_is_trained_and_put_back(wrap: Any) -> None:
    loss = Center()
    subject = subject_of(Model(), wrap(loss), (X, Y))
    before = fingerprint([loss])
    with tried(subject):
        pass

    assert subject.modules == [subject.model, loss]
    assert changed(before, fingerprint([loss])) == []
    Loop(subject).iterate()
    assert changed(before, fingerprint([loss]))


def test_the_batch_is_copied_and_keeps_its_form() -> None:
    batch = {"x": X.clone().requires_grad_(), "deep": [(X, UserDict(y=Y)), Record(X, Y), Graphs()], "name": "a"}
    made = own_copy(batch)
    made["x"].data.zero_(), made["deep"][0][0].zero_(), made["deep"][0][1]["y"].zero_()
    made["deep"][1].x.zero_(), made["deep"][2].x.zero_()

    assert X.abs().sum() > 0
    assert Y.sum() > 0
    assert made["x"].requires_grad
    assert type(made["deep"][0][1]) is UserDict


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((lambda x: x, entropy, (X, Y)), "model of type function; expected a torch.nn.Module"),
        ((Model(), "mse", (X, Y)), "loss of type str"),
        ((Model(), entropy, torch.utils.data.DataLoader([1])), r"Give next\(iter\(loader\)\)"),
        ((Model(), entropy, iter([(X, Y)])), r"Give next\(batches\)"),
        ((Model(), entropy, torch.utils.data.TensorDataset(X, Y)), r"DataLoader\(dataset, 32\)"),
        ((Model(), entropy, (X, LENGTHS, Y)), r"2 inputs .*Model.forward takes 1. .*forward=lambda model, batch"),
    ],
)
def test_what_cannot_be_called_is_said_with_what_to_give(arguments: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        subject_of(*arguments)


def test_a_loss_of_more_than_one_number_is_refused() -> None:
    subject = subject_of(Model(), lambda output, targets: output, (X, Y))
    with pytest.raises(ConfigError, match=r"The loss gave \[6, 3\]; expected a tensor with one element"):
        subject.compute()


def used(subject: Subject) -> None:
    with tried(subject):
        pass


def test_a_batch_on_another_device_is_named() -> None:
    subject = subject_of(Model().to("meta"), entropy, (X, Y))
    with pytest.raises(ConfigError, match=r"batch is on cpu and the model on meta; .*tensor.to\('meta'\)"):
        used(subject)


def test_what_the_model_raises_is_raised() -> None:
    subject = subject_of(Model(), entropy, (X[:, :2], Y))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        used(subject)


def test_a_lazy_model_has_its_weights_inside_only() -> None:
    model = nn.Sequential(nn.LazyLinear(3))
    subject = subject_of(model, entropy, (X, Y))
    with tried(subject):
        assert Loop(subject).iterate() > 0
        assert model[0].weight.shape == (3, 4)

    assert torch.nn.parameter.is_lazy(model[0].weight)
    assert type(model[0]) is nn.LazyLinear
    assert entropy(model(X), Y).requires_grad


def test_an_optimizer_that_asks_for_the_loss_again_is_given_it() -> None:
    model = Model()
    subject = subject_of(model, entropy, (X, Y), optimizer=torch.optim.LBFGS(model.parameters(), 0.1))
    loop = Loop(subject)

    assert loop.iterate() > loop.iterate()
