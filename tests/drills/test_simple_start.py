"""A model beside simple ones: those that learn pass, whatever their pace; those that cannot are found."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tracker import preflight

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(48, 8, generator=GENERATOR)
Y = X[:, :4].argmax(1)
IDS = torch.randint(0, 20, (8, 13), generator=GENERATOR)


class Net(nn.Module):
    """One hidden layer, with something done to its scores."""

    def __init__(self, done=lambda scores: scores, width=4):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.done = nn.Linear(8, 32), nn.Linear(32, width), done

    def forward(self, x):
        return self.done(self.last(self.first(x).relu()))


class Language(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.lstm, self.head = nn.Embedding(20, 16), nn.LSTM(16, 32, batch_first=True), nn.Linear(32, 20)

    def forward(self, ids):
        return self.head(self.lstm(self.table(ids))[0]).flatten(0, 1)


def drilled(model, loss=functional.cross_entropy, batch=(X, Y), optimizer=None, loaders=None):
    """The row of the drill; the model has to be as before."""
    before = [one.clone() for one in model.state_dict().values()]
    given = {"optimizer": optimizer, "loaders": loaders}
    row = preflight(model, loss, batch, **given, only=("simple-start",), log=False).rows[0]
    assert all(torch.equal(a, b) for a, b in zip(before, model.state_dict().values(), strict=True))
    return row


def rules_of(row):
    return [one["rule"] for one in row.findings]


HEALTHY = {
    "classes": lambda: drilled(Net()),
    "values": lambda: drilled(Net(width=1), functional.mse_loss, (X, X[:, :1] * 3 + 1)),
    "yes or no": lambda: drilled(
        Net(width=1), functional.binary_cross_entropy_with_logits, (X, (X[:, :1] > 0).float())
    ),
    "tokens, some left out": lambda: drilled(
        Language(),
        lambda scores, ids: functional.cross_entropy(scores, ids.flatten()),
        (IDS[:, :-1], torch.where(IDS[:, 1:] == 0, -100, IDS[:, 1:])),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_a_model_that_learns_passes(name):
    row = HEALTHY[name]()

    assert (row.status, rules_of(row)) == ("passed", [])
    assert "linear model" in row.says


def test_a_rate_that_is_far_too_small_is_a_remark_not_a_failure():
    model = Net()
    row = drilled(model, optimizer=torch.optim.SGD(model.parameters(), 1e-4))

    assert (row.status, rules_of(row)) == ("passed", ["rate-holds-model-back"])


def test_with_a_loader_models_are_compared_on_samples_that_are_new_to_them():
    x = torch.randn(260, 8, generator=torch.Generator().manual_seed(1))
    labels = x[:, :4].argmax(1)
    found = {
        "train": DataLoader(TensorDataset(x[:200], labels[:200]), 20, shuffle=True),
        "val": DataLoader(TensorDataset(x[200:], labels[200:]), 20),
    }
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 1e-4)
    row = drilled(model, batch=next(iter(found["train"])), optimizer=optimizer, loaders=found)

    assert row.status == "passed"
    assert "after 4000 samples, held-out loss 1.4" in row.says
    assert "simple-model-ahead" in rules_of(row)


def test_a_single_number_beside_the_scores_is_no_output_of_samples():
    x = torch.randn(260, 8, generator=torch.Generator().manual_seed(1))
    labels = x[:, :4].argmax(1)
    found = {
        "train": DataLoader(TensorDataset(x[:200], labels[:200]), 20, shuffle=True),
        "val": DataLoader(TensorDataset(x[200:], labels[200:]), 20),
    }
    model = Net(lambda scores: {"size": scores.square().mean(), "scores": scores})
    row = drilled(
        model, lambda output, targets: functional.cross_entropy(output["scores"], targets),
        batch=next(iter(found["train"])), optimizer=torch.optim.Adam(model.parameters(), 1e-2), loaders=found,
    )  # fmt: skip

    assert row.status == "passed", row
    assert "after 4000 samples, held-out loss" in row.says


def test_targets_that_belong_to_other_inputs_are_learned_by_heart_and_not_understood():
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(500, 8, generator=generator)
    labels = x[:, :4].argmax(1)[torch.randperm(500, generator=generator)]
    found = {
        "train": DataLoader(TensorDataset(x[:140], labels[:140]), 20, shuffle=True),
        "val": DataLoader(TensorDataset(x[140:], labels[140:]), 20),
    }
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    row = drilled(model, batch=next(iter(found["train"])), optimizer=optimizer, loaders=found)

    assert (row.status, rules_of(row)) == ("failed", ["uninformative-inputs"]), row


def dead():
    model = Net()
    nn.init.constant_(model.first.bias, -30.0)
    return model


FAULTY = {
    "an input that is thrown away": (
        lambda: Net(lambda scores: scores.mean(0, keepdim=True).expand_as(scores)),
        "worse-than-linear-model",
    ),
    "units that are all dead": (dead, "worse-than-linear-model"),
    "scores that are cut off": (lambda: Net(lambda scores: (scores - 9).relu()), "worse-than-constant-answer"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_model_that_cannot_learn_is_behind_the_simple_ones(name):
    make, rule = FAULTY[name]
    row = drilled(make())

    assert (row.status, rules_of(row)) == ("failed", [rule])


def test_an_optimizer_of_other_weights_is_worse_than_a_constant_answer():
    row = drilled(Net(lambda scores: 2 * scores), optimizer=torch.optim.Adam(Net().parameters(), 1e-3))

    assert (row.status, rules_of(row)) == ("failed", ["worse-than-constant-answer"])


def test_a_loss_with_the_wrong_sign_is_worse_than_a_constant_answer():
    row = drilled(Net(), lambda scores, labels: -functional.cross_entropy(scores, labels))

    assert rules_of(row) == ["worse-than-constant-answer"]


@pytest.mark.parametrize(
    ("loss", "batch", "reason"),
    [
        (functional.mse_loss, (X[:, :4].repeat(1, 2), X[:, :4].repeat(1, 2)), "the targets are the inputs"),
        (lambda scores, labels: scores.square().mean(), (X, Y), "the loss is none of"),
        (functional.cross_entropy, (X[:4], Y[:4]), "4 targets"),
    ],
)
def test_what_has_no_yardstick_is_skipped_with_the_reason(loss, batch, reason):
    row = drilled(Net(width=8) if loss is functional.mse_loss else Net(), loss, batch)

    assert row.status == "skipped"
    assert reason in row.says
