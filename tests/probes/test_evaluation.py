"""Held-out data is judged as the script would do it, whatever the script does with its outputs."""

from __future__ import annotations

import copy
import gc
import weakref
from types import SimpleNamespace

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import facts, fault_parts, readings, records, subjects, tracked
from tracker.rules.engine import Trace
from tracker.rules.engine.records import Array
from tracker.rules.engine.signals import VAL_LOSS

CLOSE = 1e-5
"""Sums in another order: relative to float32."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def loaders(x, y, batch_size=8, n_train=40):
    train, held_out = TensorDataset(x[:n_train], y[:n_train]), TensorDataset(x[n_train:], y[n_train:])
    return DataLoader(train, batch_size, shuffle=True), DataLoader(held_out, batch_size)


def train_and_evaluate(model, train, held_out, compute, epochs=2, guard=torch.no_grad, **options):
    """The usual loop. `compute(model, batch)` gives loss and predicted and true labels; returns run and own scores."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses, accuracies = [], []
    with tracked(**options) as run:
        for _ in range(epochs):
            model.train()
            for batch in train:
                optimizer.zero_grad()
                compute(model, batch)[0].backward()
                optimizer.step()
            model.eval()
            total = right = judged = n = 0
            with guard():
                for batch in held_out:
                    loss, predicted, labels = compute(model, batch)
                    size = len(next(iter(batch.values())) if isinstance(batch, dict) else batch[0])
                    total, n = total + loss.item() * size, n + size
                    right, judged = right + (predicted == labels).sum().item(), judged + labels.numel()
            losses.append(total / n)
            accuracies.append(right / judged)
    return run, losses, accuracies


def values(run, signal, subject=""):
    return [value for _, value in readings(run, signal, subject)]


def classes(n=60, n_in=6, n_out=3):
    x = torch.randn(n, n_in)
    return x, (x @ torch.randn(n_in, n_out)).argmax(1)


def net(n_out=3, *last):
    return nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, n_out), *last)


def usual(criterion):
    def compute(model, batch):
        x, y = batch
        outputs = model(x)
        return criterion(outputs, y), outputs.argmax(1), y

    return compute


CRITERIA = {
    "cross entropy": (nn.CrossEntropyLoss(), ()),
    "cross entropy by its function": (functional.cross_entropy, ()),
    "label smoothing": (nn.CrossEntropyLoss(label_smoothing=0.1), ()),
    "class weights": (nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 5.0])), ()),
    "an ignored class": (nn.CrossEntropyLoss(ignore_index=2), ()),
    "log-probabilities of the model": (nn.NLLLoss(), (nn.LogSoftmax(1),)),
    "a softmax too many": (nn.CrossEntropyLoss(), (nn.Softmax(1),)),
    "logits given to nll_loss": (nn.NLLLoss(), ()),
    "one-hot targets": (lambda o, y: functional.cross_entropy(o, functional.one_hot(y, 3).float()), ()),
}


@pytest.mark.parametrize("name", CRITERIA)
def test_the_score_of_a_classifier_is_the_one_the_script_computes(name):
    criterion, last = CRITERIA[name]

    run, losses, accuracies = train_and_evaluate(net(3, *last), *loaders(*classes()), usual(criterion))

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    if name != "an ignored class":
        assert values(run, "accuracy/val") == pytest.approx(accuracies)
    assert facts(run, "evaluation")[-1]["verified"] is True
    assert [step for step, _ in readings(run, "loss/val")] == [4, 9]
    assert not fault_parts(run)


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode])
def test_a_script_that_only_prints_is_judged_all_the_same(guard, capsys):
    model, (train, held_out) = net(), loaders(*classes())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for x, y in train:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        right = 0
        for x, y in held_out:
            with guard():
                right += (model(x).argmax(1) == y).sum().item()
        print(f"accuracy {right / 20}")

    assert values(run, "accuracy/val") == [right / 20]
    assert len(values(run, "loss/val")) == 1


REGRESSIONS = {
    "mse_loss": nn.MSELoss(),
    "l1_loss": nn.L1Loss(),
    "smooth_l1_loss": nn.SmoothL1Loss(beta=0.5),
    "huber_loss": nn.HuberLoss(delta=0.3),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_a_regression_has_loss_and_error(name):
    x = torch.randn(60, 6)
    y = x.sum(1) + torch.randn(60)
    errors = []

    def compute(model, batch):
        x, y = batch
        outputs = model(x).squeeze(1)
        if not torch.is_grad_enabled():
            errors.append((outputs - y).square())
        return REGRESSIONS[name](outputs, y), outputs, y

    run, losses, _ = train_and_evaluate(net(1), *loaders(x, y), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    expected = [torch.cat(errors[i : i + 3]).mean().sqrt().item() for i in (0, 3)]
    assert values(run, "error", "val") == pytest.approx(expected, rel=CLOSE)
    assert values(run, "accuracy/val") == []


@pytest.mark.parametrize("with_logits", [True, False])
def test_a_yes_or_no_question_has_an_accuracy(with_logits):
    x = torch.randn(60, 6)
    y = (x.sum(1) > 0).long()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(2.0)) if with_logits else nn.BCELoss()

    def compute(model, batch):
        x, y = batch
        outputs = model(x)
        threshold = 0 if with_logits else 0.5
        return criterion(outputs, y.float().unsqueeze(1)), (outputs[:, 0] > threshold).long(), y

    model = net(1) if with_logits else net(1, nn.Sigmoid())
    run, losses, accuracies = train_and_evaluate(model, *loaders(x, y), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)
    assert subjects(run, "recall") == {"train/0", "train/1", "val/0", "val/1"}


def test_several_labels_have_a_recall_each_and_no_accuracy():
    x = torch.randn(60, 6)
    y = (x[:, :4] > 0.3).float()

    def compute(model, batch):
        x, y = batch
        outputs = model(x)
        seen.append((outputs > 0, y > 0.5))
        return functional.binary_cross_entropy_with_logits(outputs, y), (outputs > 0).float(), y

    seen = []
    run, losses, _ = train_and_evaluate(net(4), *loaders(x, y), compute, epochs=1)

    said, wanted = (torch.cat(part) for part in zip(*seen[-3:], strict=True))
    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == []
    for label in range(4):
        expected = (said & wanted)[:, label].sum().item() / wanted[:, label].sum().item()
        assert values(run, "recall", f"val/{label}") == pytest.approx([expected])


class Language(nn.Module):
    """(N, T) tokens to (N, T, V) logits; with labels also the loss, over the next tokens, as in Transformers."""

    def __init__(self, pads=False):
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 8), nn.Linear(8, 11)
        self.pads = pads

    def forward(self, input_ids, attention_mask=None, labels=None):
        logits = self.head(self.embed(input_ids))
        if labels is None:
            return logits
        if self.pads:
            shifted = functional.pad(labels, (0, 1), value=-100)[..., 1:]
            loss = functional.cross_entropy(logits.view(-1, 11), shifted.reshape(-1))
        else:
            loss = functional.cross_entropy(logits[:, :-1].reshape(-1, 11), labels[:, 1:].reshape(-1))
        return {"loss": loss, "logits": logits}


def tokens():
    x = torch.randint(0, 11, (60, 7))
    return x, (x + 1) % 11


@pytest.mark.parametrize("how", ["flat", "transposed"])
def test_a_model_of_tokens_is_judged_on_each(how):
    def compute(model, batch):
        x, y = batch
        logits = model(x)
        if how == "flat":
            return functional.cross_entropy(logits.view(-1, 11), y.view(-1)), logits.argmax(2), y
        return functional.cross_entropy(logits.transpose(1, 2), y), logits.argmax(2), y

    run, losses, accuracies = train_and_evaluate(Language(), *loaders(*tokens()), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)


@pytest.mark.parametrize("pads", [True, False])
def test_a_model_that_computes_its_loss_from_keywords_is_judged(pads):
    def collate(samples):
        x = torch.stack(samples)
        return {"input_ids": x, "attention_mask": torch.ones_like(x), "labels": x.clone()}

    def compute(model, batch):
        found = model(**batch)
        predicted = found["logits"][:, :-1].argmax(2)
        return found["loss"], predicted, batch["labels"][:, 1:]

    x = tokens()[0]
    train = DataLoader(x[:40], 8, collate_fn=collate)
    held_out = DataLoader(x[40:], 8, collate_fn=collate)
    run, losses, accuracies = train_and_evaluate(Language(pads), train, held_out, compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)
    assert facts(run, "evaluation")[-1]["target"].startswith("pass ")


def test_a_segmentation_is_judged_on_each_pixel():
    x = torch.randn(60, 2, 5, 5)
    y = (x.sum(1) > 0).long()
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))

    run, losses, accuracies = train_and_evaluate(model, *loaders(x, y), usual(nn.CrossEntropyLoss()))

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)


def test_an_autoencoder_is_judged_by_its_inputs():
    x = torch.randn(60, 6)

    def compute(model, batch):
        outputs = model(batch[0])
        return functional.mse_loss(outputs, batch[0]), outputs, batch[0]

    run, losses, _ = train_and_evaluate(net(6), *loaders(x, x[:, 0]), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)


def test_recall_and_predictions_are_those_of_the_evaluation():
    x, y = classes()
    model, (train, held_out) = net(), loaders(x, y)
    run, _, _ = train_and_evaluate(model, train, held_out, usual(functional.cross_entropy), epochs=1)

    with torch.no_grad():
        predicted = model.eval()(x[40:]).argmax(1)
    for label in range(3):
        mine = y[40:] == label
        expected = [(predicted[mine] == label).float().mean().item()] if mine.any() else []
        assert values(run, "recall", f"val/{label}") == pytest.approx(expected)
    arrays = [r for r in records(run) if isinstance(r, Array) and (r.signal, r.subject) == ("predictions", "val")]
    assert [array.values for array in arrays] == [tuple(torch.bincount(predicted, minlength=3).tolist())]


def test_the_training_has_recall_and_predictions_too():
    seen = []

    def compute(model, batch):
        found = usual(functional.cross_entropy)(model, batch)
        if torch.is_grad_enabled():
            seen.append(found[1:])
        return found

    run, _, _ = train_and_evaluate(net(), *loaders(*classes()), compute, epochs=1)

    predicted, labels = (torch.cat(part) for part in zip(*seen, strict=True))
    for label in range(3):
        expected = (predicted[labels == label] == label).float().mean().item()
        assert values(run, "recall", f"train/{label}") == pytest.approx([expected])


def test_a_second_held_out_set_has_a_name_of_its_own():
    x, y = classes(80)
    model, (train, held_out) = net(), loaders(x[:60], y[:60])
    test = DataLoader(TensorDataset(x[60:], y[60:]), 8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def accuracy(data):
        model.eval()
        right = 0
        with torch.no_grad():
            for x, y in data:
                right += (model(x).argmax(1) == y).sum().item()
        return right / len(data.dataset)

    theirs = []
    with tracked() as run:
        for _ in range(2):
            model.train()
            for a, b in train:
                optimizer.zero_grad()
                functional.cross_entropy(model(a), b).backward()
                optimizer.step()
            theirs.append([accuracy(data) for data in (train, held_out, test)])

    assert values(run, "accuracy/val") == pytest.approx([held for _, held, _ in theirs])
    assert values(run, "accuracy/val", "val2") == pytest.approx([tested for _, _, tested in theirs])
    assert subjects(run, "accuracy/val") == {"", "val2"}
    assert set(facts(run, "evaluation")[-1]["sets"]) == {"train", "val", "val2"}


def test_a_copy_of_the_model_is_evaluated_as_the_model():
    model, (train, held_out) = net(), loaders(*classes())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for x, y in train:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        averaged = copy.deepcopy(model).eval()
        with torch.no_grad():
            right = sum((averaged(x).argmax(1) == y).sum().item() for x, y in held_out)

    assert values(run, "accuracy/val") == [right / 20]


def test_targets_that_are_rows_of_a_variable_are_known_by_the_rows_of_the_inputs():
    x, y = classes()
    X, X_val, y_all, y_val = x[:40], x[40:], y[:40], y[40:]
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    theirs = []
    with tracked() as run:
        for _ in range(6):
            order = torch.randperm(40)
            for start in range(0, 40, 10):
                rows = order[start : start + 10]
                optimizer.zero_grad()
                functional.cross_entropy(model(X[rows]), y_all[rows]).backward()
                optimizer.step()
            with torch.no_grad():
                theirs.append((model(X_val).argmax(1) == y_val).float().mean().item())

    assert facts(run, "evaluation")[-1]["target"] in ("frame y", "frame y_all")
    assert facts(run, "evaluation")[-1]["sets"]["val"] == {"samples": 20, "source": "by hand", "partial": False}
    assert values(run, "accuracy/val")[-1] == pytest.approx(theirs[-1])


def test_slices_of_one_tensor_are_two_sets_where_they_do_not_overlap():
    x, y = classes()
    x_train, y_train, x_test, y_test = x[:40], y[:40], x[40:], y[40:]
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(8):
            optimizer.zero_grad()
            functional.cross_entropy(model(x_train), y_train).backward()
            optimizer.step()
            with torch.no_grad():
                right = (model(x_test).argmax(1) == y_test).float().mean().item()
                model(x_train)

    sets = facts(run, "evaluation")[-1]["sets"]
    assert sets["val"]["samples"] == 20
    assert set(sets["train"]["names"]) == {"x_train", "x"}
    assert values(run, "accuracy/val")[-1] == pytest.approx(right)


@pytest.mark.parametrize("how", ["whole", "sliced", "indexed"])
def test_batches_made_by_hand_are_told_apart_by_their_variables(how):
    x, y = classes()
    X_train, y_train, X_val, y_val = x[:40].clone(), y[:40].clone(), x[40:].clone(), y[40:].clone()
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    theirs = []
    with tracked() as run:
        for _ in range(6):
            model.train()
            order = torch.randperm(40) if how == "indexed" else torch.arange(40)
            for start in range(0, 40, 40 if how == "whole" else 10):
                if how == "sliced":
                    xb, yb = X_train[start : start + 10], y_train[start : start + 10]
                elif how == "indexed":
                    xb, yb = X_train[order[start : start + 10]], y_train[order[start : start + 10]]
                else:
                    xb, yb = X_train, y_train
                optimizer.zero_grad()
                functional.cross_entropy(model(xb), yb).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                on_training = (model(X_train).argmax(1) == y_train).float().mean().item()
                outputs = model(X_val)
                loss = functional.cross_entropy(outputs, y_val).item()
                theirs.append((loss, (outputs.argmax(1) == y_val).float().mean().item()))
    assert on_training > 0

    # Where nothing tells an epoch, the evaluation of each step still is one.
    assert values(run, "loss/val") == pytest.approx([loss for loss, _ in theirs][-len(values(run, "loss/val")) :])
    assert len(values(run, "loss/val")) >= 5
    assert set(values(run, "accuracy/val")) <= {round(a, 7) for _, a in theirs} | {a for _, a in theirs}
    assert facts(run, "evaluation")[-1]["sets"]["val"]["source"] == "by hand"
    assert facts(run, "evaluation")[-1]["sets"]["train"] == {
        "source": "by hand",
        "names": ["X_train"] if how == "indexed" else ["X_train", "xb"],
        "results": facts(run, "evaluation")[-1]["sets"]["train"]["results"],
        "unused": [],
    }


def test_a_pass_without_gradients_inside_a_training_step_is_no_evaluation():
    x, y = classes()
    model, (train, _) = net(), loaders(x, y)
    teacher = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(2):
            for a, b in train:
                with torch.no_grad():
                    teacher(a)
                optimizer.zero_grad()
                functional.cross_entropy(model(a), b).backward()
                optimizer.step()

    assert values(run, "loss/val") == []
    assert facts(run, "loaders")[-1][0]["split"] == "train"


def test_a_loader_that_is_evaluated_between_steps_by_hand_is_not_that_of_the_training():
    x, y = classes()
    model, held_out = net(), DataLoader(TensorDataset(x[40:], y[40:]), 10)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(4):
            for start in range(0, 40, 10):
                optimizer.zero_grad()
                functional.cross_entropy(model(x[start : start + 10]), y[start : start + 10]).backward()
                optimizer.step()
            with torch.no_grad():
                for a, _ in held_out:
                    model(a)

    assert [row["split"] for row in facts(run, "loaders")[-1]] == ["val"]
    assert {fact["source"] for fact in facts(run, "batches")} == {"by hand"}
    assert readings(run, "data/overlap", "train") == []


def test_a_loss_that_is_not_repeated_is_said_to_be_unseen():
    def compute(model, batch):
        x, y = batch
        outputs = model(x).exp()
        return functional.cross_entropy(outputs, y), outputs.argmax(1), y

    run, _, _ = train_and_evaluate(net(), *loaders(*classes()), compute, epochs=1)

    assert values(run, "loss/val") == []
    assert "Exp" in facts(run, "unseen")[-1]["evaluation"]


def test_outputs_that_do_not_give_the_scripts_loss_are_not_used():
    # The target is shifted by one class in a way that cannot be told from the batch: no value is made up.
    def compute(model, batch):
        x, y = batch
        return functional.cross_entropy(model(x), (y + torch.randint(0, 3, y.shape)) % 3), y, y

    run, _, _ = train_and_evaluate(net(), *loaders(*classes()), compute, epochs=1)

    assert values(run, "loss/val") == []
    assert "targets" in facts(run, "unseen")[-1]["evaluation"]


def test_the_measured_score_stands_for_the_one_that_is_logged():
    x, y = classes()
    model, (train, held_out) = net(), loaders(x, y)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(2):
            model.train()
            for a, b in train:
                optimizer.zero_grad()
                functional.cross_entropy(model(a), b).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for a, _ in held_out:
                    model(a)
            run.log(val_loss=1000.0)
    trace = Trace()
    for record in records(run):
        trace.feed(record)

    assert list(trace.series(VAL_LOSS)) == values(run, "loss/val")
    assert max(trace.series(VAL_LOSS)) < 1000


def test_a_loss_that_is_a_sum_is_the_mean_of_its_batches():
    x, y = classes()
    model = net()
    run, _, _ = train_and_evaluate(model, *loaders(x, y), usual(nn.CrossEntropyLoss(reduction="sum")), epochs=1)

    with torch.no_grad():
        expected = functional.cross_entropy(model.eval()(x[40:]), y[40:], reduction="sum").item() / 3
    assert values(run, "loss/val") == pytest.approx([expected], rel=CLOSE)


def test_the_loss_of_accumulated_steps_is_told_with_its_factor():
    def compute(model, batch):
        x, y = batch
        outputs = model(x)
        loss = functional.cross_entropy(outputs, y)
        return loss / 4 if torch.is_grad_enabled() else loss, outputs.argmax(1), y

    run, losses, _ = train_and_evaluate(net(), *loaders(*classes()), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert facts(run, "evaluation")[-1]["factor"] == pytest.approx(0.25)


def test_a_loss_of_several_terms_is_judged_by_its_main_one():
    def compute(model, batch):
        x, y = batch
        outputs = model(x)
        penalty = sum(p.square().sum() for p in model.parameters())
        loss = functional.cross_entropy(outputs, y)
        return loss + 0.01 * penalty if torch.is_grad_enabled() else loss, outputs.argmax(1), y

    run, losses, _ = train_and_evaluate(net(), *loaders(*classes()), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert facts(run, "evaluation")[-1]["part"] is True


def test_mixed_precision_is_judged_in_float32():
    def compute(model, batch):
        x, y = batch
        with torch.autocast("cpu", torch.bfloat16):
            outputs = model(x)
            return functional.cross_entropy(outputs, y), outputs.argmax(1), y

    run, losses, accuracies = train_and_evaluate(net(), *loaders(*classes()), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)


def test_an_evaluation_that_forgets_to_switch_gradients_off_is_no_training():
    x, y = classes()
    model, X_train, X_other = net(), x[:40], x[40:]
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(4):
            optimizer.zero_grad()
            functional.cross_entropy(model(X_train), y[:40]).backward()
            optimizer.step()
            model(X_other)

    assert readings(run, "batch_size", "train") == [(0, 40.0)]
    assert values(run, "batch/repeated", "train") == [3.0]


def test_the_model_inside_a_wrapper_is_the_one_that_was_trained():
    model, (train, held_out) = nn.DataParallel(net()), loaders(*classes())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for x, y in train:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum((model.module(x).argmax(1) == y).sum().item() for x, y in held_out)

    assert values(run, "accuracy/val") == [right / 20]


class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = net()

    def forward(self, batch):
        return SimpleNamespace(features=batch.x * 2, scores=(self.inner(batch.x), None))


def test_inputs_and_outputs_may_be_wrapped_in_objects():
    def compute(model, batch):
        found = model(SimpleNamespace(x=batch[0]))
        return functional.cross_entropy(found.scores[0], batch[1]), found.scores[0].argmax(1), batch[1]

    run, losses, accuracies = train_and_evaluate(Wrapped(), *loaders(*classes()), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)


def test_outputs_that_the_script_writes_over_are_judged_as_they_were():
    def compute(model, batch):
        x, y = batch
        outputs = model(x)
        loss, predicted = functional.cross_entropy(outputs, y), outputs.argmax(1)
        if not torch.is_grad_enabled():
            outputs.zero_()
            y = y.clone()
            batch[1].zero_()
        return loss, predicted, y

    run, losses, accuracies = train_and_evaluate(net(), *loaders(*classes()), compute)

    assert values(run, "loss/val") == pytest.approx(losses, rel=CLOSE)
    assert values(run, "accuracy/val") == pytest.approx(accuracies)


@pytest.fixture
def no_collector():
    """Reference counts alone must free everything: a cycle through our objects would hide in the collector."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_no_batch_and_no_output_is_kept():
    model, (train, held_out) = net(), loaders(*classes())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    kept = []

    def train_on(x, y):
        outputs = model(x)
        kept.extend(weakref.ref(t) for t in (x, y, outputs))
        optimizer.zero_grad()
        functional.cross_entropy(outputs, y).backward()
        optimizer.step()

    def evaluate(x, y):
        with torch.no_grad():
            kept.extend(weakref.ref(t) for t in (x, y, model(x)))

    alive = []
    with tracked() as run:
        for _ in range(3):
            model.train()
            for batch in train:
                train_on(*batch)
                del batch
                alive += [ref() for ref in kept]
            model.eval()
            for batch in held_out:
                evaluate(*batch)
                del batch
                alive += [ref() for ref in kept]
            evaluate(torch.randn(6, 6), torch.zeros(6).long())
            alive += [ref() for ref in kept]

    assert set(alive) == {None}
    assert len(values(run, "loss/val")) == 3


def test_a_mode_that_counts_operations_counts_none_of_ours():
    model, (train, held_out) = net(), loaders(*classes())
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    counted = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            counted[-1] += 1
            return function(*args, **(kwargs or {}))

    def evaluate():
        counted.append(0)
        with Counting(), torch.no_grad():
            for x, _ in held_out:
                model(x)

    model.eval()
    evaluate()
    with tracked():
        for x, y in train:
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        evaluate()

    assert counted[0] == counted[1]


@pytest.mark.parametrize("size", [4, 30_000])
def test_held_out_labels_that_are_no_class_are_passed_over(size):
    model, (x, y) = net(), classes()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train = DataLoader(TensorDataset(x, y), 8, shuffle=True)
    held_out = DataLoader(TensorDataset(x.repeat(size // 60 + 1, 1)[:size], torch.full((size,), 7)), size)
    with tracked() as run:
        for _ in range(3):
            model.train()
            for inputs, labels in train:
                optimizer.zero_grad()
                functional.cross_entropy(model(inputs), labels).backward()
                optimizer.step()
            model.eval()
            with torch.no_grad():
                for inputs, labels in held_out:
                    (model(inputs).argmax(1) == labels).float().mean()

    assert fault_parts(run) == []
    assert subjects(run, VAL_LOSS.name) == set()
    assert "out of bounds" in facts(run, "unseen")[-1]["evaluation"]
