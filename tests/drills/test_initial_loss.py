"""The first loss stands beside what guessing gives, computed by the loss function itself."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from tracker import preflight
from tracker.drilling.drill import Notes
from tracker.drilling.subject import Subject
from tracker.drills.initial_loss import InitialLoss

CLASSES = 10


def first(model, loss, batch, **options):
    """The row of the drill, and what it measured."""
    result = preflight(model, loss, batch, only=("initial-loss",), log=False, **options)
    facts = [one.value for one in result._judged.records if getattr(one, "name", "") == "drill/initial-loss"]
    return result.row("initial-loss"), facts[0] if facts else {}


def rules(row):
    return {one["rule"]: one["severity"] for one in row.findings}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(64, 20, generator=generator), torch.randint(0, CLASSES, (64,), generator=generator)


def net(outputs=CLASSES):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, outputs))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.recurrent = nn.Embedding(50, 16), nn.LSTM(16, 16, batch_first=True)
        self.head = nn.Linear(16, 50)

    def forward(self, ids):
        return self.head(self.recurrent(self.embedding(ids))[0])


class OwnLoss(nn.Module):
    """Returns an object with its loss, as the models of transformers do."""

    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, inputs, labels):
        logits = self.inner(inputs)
        return {"loss": functional.cross_entropy(logits, labels), "logits": logits}


WEIGHTS = torch.arange(1.0, 11.0)

LOSSES = {
    "mean": (nn.CrossEntropyLoss(), 1.0),
    "sum": (nn.CrossEntropyLoss(reduction="sum"), 64.0),
    "class weights": (nn.CrossEntropyLoss(weight=WEIGHTS), 1.0),
    "label smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), 1.0),
    "a quarter": (lambda output, labels: functional.cross_entropy(output, labels) / 4, 0.25),
    "soft targets": (lambda o, y: functional.cross_entropy(o, functional.one_hot(y, CLASSES).float()), 1.0),
    "by hand": (lambda o, y: -o.log_softmax(1)[torch.arange(64), y].mean(), 1.0),
    "nll": (lambda o, y: functional.nll_loss(o.log_softmax(1), y), 1.0),
    "sample weights": (
        lambda o, y: (functional.cross_entropy(o, y, reduction="none") * torch.linspace(0, 2, 64)).mean(),
        1.0,
    ),
    "bfloat16": (lambda o, y: functional.cross_entropy(o.bfloat16(), y), 1.0),
}


@pytest.mark.parametrize("name", LOSSES)
def test_guessing_among_ten_classes_gives_ln_10_in_the_units_of_the_loss(name, batch):
    loss, scale = LOSSES[name]
    model = net()
    with torch.no_grad():
        model[-1].weight.mul_(5)  # away from guessing, where smoothing and weights make no difference
    row, told = first(model, loss, batch)

    assert told["terms"][0]["uniform"] == pytest.approx(math.log(CLASSES) * scale, rel=5e-3)
    assert told["terms"][0]["value"] == pytest.approx(told["loss"])
    assert row.status == "passed"
    # Only where the function itself, asked again, gives the same loss are the shares of the classes known.
    assert (told["terms"][0]["prior"] is None) == (name == "sample weights")


def test_the_shares_of_the_classes_give_their_entropy(batch):
    labels = torch.tensor([0] * 48 + [1] * 16)
    _, told = first(net(2), nn.CrossEntropyLoss(), (batch[0], labels))

    assert told["terms"][0]["prior"] == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25), rel=1e-5)
    assert told["terms"][0]["present"] == 2


def test_labels_that_are_left_out_do_not_count():
    ids = torch.randint(1, 50, (8, 12), generator=torch.Generator().manual_seed(0))
    labels = ids.roll(-1, 1)
    labels[:, -6:] = 0
    loss = nn.CrossEntropyLoss(ignore_index=0)
    row, told = first(Tokens(), lambda output, y: loss(output.flatten(0, 1), y.flatten()), (ids, labels))
    shares = torch.bincount(labels[labels > 0]).float() / 48

    assert told["terms"][0]["uniform"] == pytest.approx(math.log(50), rel=1e-5)
    assert told["terms"][0]["prior"] == pytest.approx(float(torch.special.entr(shares).sum()), rel=1e-4)
    assert row.status == "passed"


def test_a_binary_loss_is_asked_with_its_pos_weight(batch):
    labels = (torch.arange(64) < 16).float()[:, None]
    weight = torch.tensor([3.0])
    _, told = first(net(1), nn.BCEWithLogitsLoss(pos_weight=weight), (batch[0], labels))

    # A quarter of the labels count three times: 1.5 ln 2, and no constant is better.
    assert told["terms"][0]["uniform"] == pytest.approx(1.5 * math.log(2), rel=1e-5)
    assert told["terms"][0]["prior"] == pytest.approx(1.5 * math.log(2), rel=1e-4)


def test_the_mean_target_gives_the_variance_of_a_regression(batch):
    targets = batch[0].sum(1, keepdim=True) * 3 + 50
    row, told = first(net(1), nn.MSELoss(), (batch[0], targets))

    assert told["terms"][0]["mean"] == pytest.approx(float(targets.var(correction=0)), rel=1e-4)
    assert told["terms"][0]["zero"] == pytest.approx(float(targets.square().mean()), rel=1e-4)
    assert row.status == "passed"


def test_targets_far_from_0_are_a_note_and_no_failure(batch):
    generator = torch.Generator().manual_seed(1)
    row, _ = first(net(1), nn.MSELoss(), (batch[0], torch.randn(64, 1, generator=generator) * 3 + 50))

    assert row.status == "passed"
    assert rules(row) == {"targets-far-from-outputs": "info"}


def test_a_model_that_computes_its_own_loss_is_judged(batch):
    row, told = first(OwnLoss(), None, {"inputs": batch[0], "labels": batch[1]})

    assert told["terms"][0]["uniform"] == pytest.approx(math.log(CLASSES), rel=1e-5)
    assert row.status == "passed"


def test_a_loss_of_its_own_kind_is_skipped_with_its_value(batch):
    row, _ = first(net(), lambda output, y: output.logsumexp(1).pow(3).mean(), batch)

    assert row.status == "skipped"
    assert "not one whose first value is known" in row.says


def test_inputs_of_hundreds_are_far_above_guessing(batch):
    row, _ = first(net(), nn.CrossEntropyLoss(), (batch[0].abs() * 255, batch[1]))

    assert rules(row) == {"first-loss-unlike-guessing": "warning"}
    assert "gives 2.303" in row.findings[0]["message"]


def test_a_small_target_is_no_reason_to_fail(batch):
    row, _ = first(net(1), nn.MSELoss(), (batch[0], batch[0][:, :1] * 1e-3))

    assert row.status == "passed"


def test_outputs_ten_times_too_large_fail_a_regression(batch):
    model = net(1)
    with torch.no_grad():
        model[-1].weight.mul_(50)
    row, _ = first(model, nn.MSELoss(), (batch[0], batch[0][:, :1]))

    assert "first-loss-unlike-guessing" in rules(row)


def test_terms_are_told_apart_and_compared(batch):
    model = net()

    def loss(output, labels, factor):
        penalty = sum(one.pow(2).sum() for one in model.parameters())
        return (
            functional.cross_entropy(output, labels)
            + factor * functional.mse_loss(output, WEIGHTS.expand(64, 10))
            + 1e-4 * penalty
        )

    row, told = first(model, lambda output, labels: loss(output, labels, 1.0), batch)
    values = {}
    for term in told["terms"]:
        values[term["name"]] = values.get(term["name"], 0.0) + term["value"]

    assert sum(values.values()) == pytest.approx(told["loss"], rel=1e-5)
    assert values.keys() == {"cross_entropy", "mse_loss", "l2_penalty"}
    assert row.status == "passed"

    row, _ = first(model, lambda output, labels: loss(output, labels, 100.0), batch)

    assert rules(row)["loss-terms-out-of-scale"] == "warning"


def test_a_sum_is_known_by_the_batch_put_twice(batch):
    row, told = first(net(), nn.CrossEntropyLoss(reduction="sum"), batch)

    assert told["terms"][0]["doubled"] == pytest.approx(2.0, rel=1e-4)
    assert rules(row) == {"loss-grows-with-batch": "info"}


def test_a_loss_with_the_wrong_sign_fails(batch):
    row, _ = first(net(), lambda output, labels: -functional.cross_entropy(output, labels), batch)

    assert rules(row) == {"negated-first-loss": "warning"}


def test_scores_of_another_kind_fail(batch):
    twice, _ = first(nn.Sequential(net(), nn.Softmax(1)), nn.CrossEntropyLoss(), batch)
    raw, _ = first(net(), nn.NLLLoss(), batch)
    across, _ = first(nn.Sequential(net(), nn.LogSoftmax(0)), nn.NLLLoss(), batch)

    assert [rules(row).keys() for row in (twice, raw)] == [{"mistaken-class-scores"}] * 2
    assert "mistaken-class-scores" in rules(across)


def test_a_loss_that_is_no_number_fails(batch):
    row, _ = first(net(), nn.CrossEntropyLoss(), (batch[0] / 0, batch[1]))

    assert rules(row) == {"nonfinite-first-loss": "error"}


def test_a_model_that_knows_the_answers_gets_a_note():
    inputs = torch.eye(CLASSES).repeat(3, 1)
    model = nn.Linear(CLASSES, CLASSES, bias=False)
    with torch.no_grad():
        model.weight.copy_(20 * torch.eye(CLASSES))
    row, _ = first(model, nn.CrossEntropyLoss(), (inputs, torch.arange(CLASSES).repeat(3)))

    assert row.status == "passed"
    assert rules(row) == {"first-loss-near-zero": "info"}


def test_the_model_is_as_it_was(batch):
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    before = {name: one.clone() for name, one in model.state_dict().items()}
    state = torch.get_rng_state()
    first(model, nn.CrossEntropyLoss(), batch, optimizer=optimizer)

    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), state)
    assert not optimizer.state


def test_terms_that_a_loop_adds_up_by_itself_are_told_apart():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 3), torch.randn(32, 4), torch.arange(32) % 3
    drill, notes = InitialLoss(), Notes("initial-loss")
    driving = drill.drive(Subject(model, (x,)), notes)
    next(driving)
    output = model(x)
    loss = nn.functional.cross_entropy(output, y) + 1e5 * nn.functional.mse_loss(output, torch.ones(32, 3))
    loss.backward()
    with pytest.raises(StopIteration):
        driving.send(float(loss.detach()))
    terms = {one["name"]: one for one in notes.value["terms"]}

    assert terms["mse_loss"]["value"] > 1e4 > terms["cross_entropy"]["value"]
    assert terms["cross_entropy"]["uniform"] == pytest.approx(math.log(3))
