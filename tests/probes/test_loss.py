"""What the autograd node of a loss tells of the loss function."""

import pytest
import torch
from torch.nn import functional

from tests.trainings import data, facts, fault_parts, mlp, subjects, tracked

LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
WEIGHT = torch.tensor([0.5, 1.0, 2.0])
BINARY = (LABELS > 0).float()


def fact_of(make):
    """The fact that a run writes about the loss that `make(parameter)` computes."""
    parameter = LOGITS.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked() as run:
        make(parameter).backward()
        optimizer.step()
    assert fault_parts(run) == []
    fact = facts(run, "loss")[0]
    return run, fact[0] if isinstance(fact, list) else fact


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda p: functional.cross_entropy(p, LABELS),
            {"function": "cross_entropy", "reduction": "mean", "n_classes": 3},
        ),
        (lambda p: functional.cross_entropy(p, LABELS, reduction="sum"), {"reduction": "sum", "weighted": False}),
        (lambda p: functional.cross_entropy(p, LABELS, weight=WEIGHT), {"weighted": True, "label_smoothing": False}),
        (
            lambda p: functional.cross_entropy(p, LABELS, label_smoothing=0.1),
            {"function": "cross_entropy", "label_smoothing": True, "terms": 1, "scaled": False},
        ),
        (lambda p: functional.nll_loss(p.log_softmax(1), LABELS), {"function": "cross_entropy", "n_classes": 3}),
        (lambda p: functional.cross_entropy(p, LABELS, reduction="none").mean(), {"function": "cross_entropy"}),
        (lambda p: functional.cross_entropy(p, LABELS) / 4, {"function": "cross_entropy", "scaled": True}),
        (
            lambda p: functional.cross_entropy(p, LABELS) + 0.1 * p.pow(2).sum(),
            {"function": "cross_entropy", "terms": 2},
        ),
        (lambda p: functional.mse_loss(p, torch.zeros(8, 3)), {"function": "mse_loss", "n_classes": None}),
        (
            lambda p: functional.binary_cross_entropy_with_logits(p[:, 0], BINARY),
            {"function": "binary_cross_entropy_with_logits", "n_classes": 2},
        ),
        (lambda p: functional.binary_cross_entropy(p[:, 0].sigmoid(), BINARY), {"function": "binary_cross_entropy"}),
        (lambda p: functional.smooth_l1_loss(p, torch.zeros(8, 3)), {"function": "smooth_l1_loss"}),
        (lambda p: functional.huber_loss(p, torch.zeros(8, 3)), {"function": "huber_loss"}),
        (lambda p: (p - 1).abs().mean(), {"function": "unknown"}),
    ],
)
def test_a_loss_function_is_recognised(make, expected):
    _, fact = fact_of(make)

    assert {key: fact[key] for key in expected} == expected


def test_an_image_loss_has_the_classes_of_its_second_dimension():
    parameter = torch.zeros(2, 4, 5, 5, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked() as run:
        functional.cross_entropy(parameter, torch.full((2, 5, 5), 3)).backward()
        optimizer.step()

    assert facts(run, "loss")[0]["n_classes"] == 4
    assert subjects(run, "class_count") == {"3"}


def test_class_weights_on_the_loss_are_found():
    run, _ = fact_of(lambda p: functional.cross_entropy(p, LABELS, weight=WEIGHT))

    assert (
        facts(run, "class_weights")
        == [{"0": 0.5, "1": 1.0, "2": 2.0}, {"0": 0.5, "1": 1.0, "2": 2.0}][: len(facts(run, "class_weights"))]
    )
    assert facts(run, "class_weights")


def test_given_class_weights_stand_before_those_of_the_loss():
    parameter = LOGITS.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked(class_weights=[1.0, 2.0, 3.0]) as run:
        functional.cross_entropy(parameter, LABELS, weight=WEIGHT).backward()
        optimizer.step()

    assert facts(run, "class_weights")[-1] == {"0": 1.0, "1": 2.0, "2": 3.0}


@pytest.mark.parametrize("when", ["inside", "outside"])
def test_tensors_saved_under_hooks_are_not_read(when):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    unpacked = []

    def unpack(tensor):
        unpacked.append(1)
        return tensor

    def train():
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
            loss = functional.cross_entropy(model(x), y)
            if when == "inside":
                loss.backward()
        if when == "outside":
            loss.backward()
        optimizer.step()
        return len(unpacked)

    bare = train()
    unpacked.clear()
    with tracked() as run:
        observed = train()

    assert observed == bare > 0
    assert facts(run, "loss")[0]["function"] == "unknown"
