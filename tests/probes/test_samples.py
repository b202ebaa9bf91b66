"""A few held-out samples are followed, and the worst mistakes kept, as they pass: with what the model says of them."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset, TensorDataset

from tests.trainings import facts, fault_parts, readings, records, tracked
from tests.twins import digest, random_states
from tracker.probes import sample_facts, samples
from tracker.probes.samples import WORST, Samples
from tracker.rules.engine.records import Fact

CLOSE = 1e-4
"""Numbers are told with six digits."""


@pytest.fixture(autouse=True)
def one_thread():
    torch.manual_seed(0)
    torch.set_num_threads(1)


def loaders(x, y, n_train=40, size=8):
    train, held_out = TensorDataset(x[:n_train], y[:n_train]), TensorDataset(x[n_train:], y[n_train:])
    return DataLoader(train, size, shuffle=True), DataLoader(held_out, size, shuffle=True)


def train(model, train, held_out, criterion, epochs=3, spoils=False, **settings):
    """The usual loop; the run, and what the model said of all held-out samples at the end of each epoch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x = getattr(held_out.dataset, "tensors", [None])[0]
    said = []
    with tracked(settings={"report": settings}) as run:
        for _ in range(epochs):
            model.train()
            for inputs, targets in train:
                optimizer.zero_grad()
                criterion(model(inputs), targets).backward()
                optimizer.step()
            model.eval()
            with torch.inference_mode() if spoils else torch.no_grad():
                for inputs, targets in held_out:
                    outputs = model(inputs)
                    criterion(outputs, targets)
                    if spoils:  # a script may write to its own
                        for tensor in (outputs, inputs, targets):
                            tensor.zero_()
            if x is not None:
                with torch.inference_mode(), torch.random.fork_rng():
                    said.append(model.forward(x))
    return run, said


def values_of(run):
    """The inputs of the samples that were kept, by their id."""
    return {fact["id"]: fact["input"]["values"] for fact in facts(run, "sample")}


def places(run, entries, x):
    """Which of the held-out samples entries are about."""
    kept = values_of(run)
    return [int((x - torch.tensor(kept[entry["id"]])).abs().sum(1).argmin()) for entry in entries]


def net(n_out=3, *last):
    return nn.Sequential(nn.Linear(6, 16), nn.Dropout(0.2), nn.ReLU(), nn.Linear(16, n_out), *last)


def classes(n=80):
    x = torch.randn(n, 6)
    return x, (x @ torch.randn(6, 3)).argmax(1)


CLASSIFIERS = {
    "cross entropy": (functional.cross_entropy, (), lambda out: out.softmax(1)),
    "log-probabilities of the model": (functional.nll_loss, (nn.LogSoftmax(1),), lambda out: out.exp()),
    "class weights": (nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 5.0])), (), lambda out: out.softmax(1)),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_same_samples_are_followed_and_the_worst_are_the_worst(name):
    criterion, last, shares_of = CLASSIFIERS[name]
    x, y = classes()
    run, said = train(net(3, *last), *loaders(x, y), criterion, spoils=True)
    x, y = x[40:], y[40:]
    weights = criterion.weight[y] if isinstance(criterion, nn.Module) else 1.0

    told = facts(run, "predictions")

    assert not fault_parts(run)
    assert [fact.step for fact in records(run) if isinstance(fact, Fact) and fact.name == "predictions"] == [4, 9, 14]
    assert len({tuple(entry["id"] for entry in one["fixed"]) for one in told}) == 1
    assert len(set(places(run, told[0]["fixed"], x))) == 16
    for one, outputs in zip(told, said, strict=True):
        shares = shares_of(outputs)
        losses = -shares[torch.arange(len(y)), y].log() * weights
        assert places(run, one["worst"], x) == losses.argsort(descending=True)[:WORST].tolist()
        entries = [*one["fixed"], *one["worst"]]
        for entry, at in zip(entries, places(run, entries, x), strict=True):
            assert entry["target"] == y[at]
            assert entry["predicted"] == outputs[at].argmax()
            assert entry["loss"] == pytest.approx(float(losses[at]), rel=CLOSE, abs=1e-6)
            assert dict(entry["top"]) == pytest.approx(dict(enumerate(shares[at].tolist())), rel=CLOSE)
    assert {(fact["kind"], fact["split"], tuple(fact["shape"]), fact["dtype"]) for fact in facts(run, "sample")} == {
        ("numbers", "val", (6,), "float32")
    }


def test_quantities_and_yes_or_no_questions_are_told():
    x = torch.randn(80, 6)
    quantities, questions = torch.stack([x.sum(1), x[:, 0]], 1), (x.sum(1, keepdim=True) > 0).float()

    run, said = train(net(2), *loaders(x, quantities), nn.MSELoss(), epochs=1)
    asked, answers = train(net(1), *loaders(x, questions), nn.BCEWithLogitsLoss(), epochs=1)

    (one,), (two,) = facts(run, "predictions"), facts(asked, "predictions")
    for entry, at in zip(one["fixed"], places(run, one["fixed"], x[40:]), strict=True):
        assert entry["target"] == pytest.approx(quantities[40 + at].tolist(), rel=CLOSE)
        assert entry["predicted"] == pytest.approx(said[0][at].tolist(), rel=CLOSE)
        assert entry["loss"] == pytest.approx(float((said[0][at] - quantities[40 + at]).square().mean()), rel=1e-3)
        assert "top" not in entry
    for entry, at in zip(two["fixed"], places(asked, two["fixed"], x[40:]), strict=True):
        yes = float(answers[0][at].sigmoid())
        assert (entry["target"], entry["predicted"]) == (int(questions[40 + at]), int(yes > 0.5))
        assert dict(entry["top"]) == pytest.approx({1: yes, 0: 1 - yes}, rel=1e-3)


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(20, 8), nn.Linear(8, 5)

    def forward(self, tokens):
        return self.head(self.embed(tokens))


def test_of_sequences_the_positions_that_count_are_told():
    tokens = torch.randint(1, 20, (60, 7))
    tokens[:, 5:] = 0
    tags = torch.where(tokens > 0, tokens % 5, -100)

    def criterion(outputs, targets):
        return functional.cross_entropy(outputs.reshape(-1, 5), targets.reshape(-1))

    run, said = train(Tagger(), *loaders(tokens, tags), criterion, epochs=1)

    (one,) = facts(run, "predictions")
    kept = {fact["id"]: fact for fact in facts(run, "sample")}
    for entry in [*one["fixed"], *one["worst"]]:
        shown = kept[entry["id"]]["input"]["tokens"]
        at = next(at for at, row in enumerate(tokens[40:].tolist()) if row == shown)
        assert entry["target"] == tags[40 + at, :5].tolist()
        assert entry["predicted"] == said[0][at, :5].argmax(1).tolist()
        loss = functional.cross_entropy(said[0][at], tags[40 + at])
        assert entry["loss"] == pytest.approx(float(loss), rel=CLOSE)
    assert kept[entry["id"]]["kind"] == "tokens"


@pytest.mark.parametrize("how", ["swapped", "by hand"])
def test_of_sequences_whose_first_dimension_is_time_nothing_is_told(how):
    class Recurrent(Tagger):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(8, 8)

        def forward(self, tokens):
            return self.head(self.rnn(self.embed(tokens))[0])

    tokens = torch.randint(1, 20, (7, 60))
    model = Recurrent()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    held_out = DataLoader(tokens[:, 40:].T, 5) if how == "swapped" else [tokens[:, 40:].T.clone()]
    with tracked() as run:
        for _ in range(12):
            x_train, y_train = tokens[:, :40], tokens[:, :40] % 5
            optimizer.zero_grad()
            functional.cross_entropy(model(x_train).reshape(-1, 5), y_train.reshape(-1)).backward()
            optimizer.step()
        with torch.no_grad():
            for x_val in held_out:
                x_val = x_val.T
                y_val = x_val % 5
                functional.cross_entropy(model(x_val).reshape(-1, 5), y_val.reshape(-1))

    assert len(readings(run, "loss/val")) == 1
    assert facts(run, "predictions") == []
    assert "first dimension" in facts(run, "unseen")[-1]["samples"]


class Sentences(Dataset):
    def __init__(self, n):
        generator = torch.Generator().manual_seed(n)
        self.lengths = torch.randint(2, 9, (n,), generator=generator).tolist()

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        words = [index % 19 + 1, index // 19 + 1, *range(2, self.lengths[index])]
        return words, index % 3, f"<b>{index}</b> " + "word " * len(words)


def padded(rows):
    width = max(len(words) for words, _, _ in rows)
    tokens = torch.tensor([words + [0] * (width - len(words)) for words, _, _ in rows])
    return {
        "ids": tokens,
        "label": torch.tensor([label for _, label, _ in rows]),
        "text": [text for _, _, text in rows],
    }


def test_texts_beside_the_tensors_are_kept_and_found_again_whatever_the_padding():
    model = nn.Sequential(nn.EmbeddingBag(20, 8), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    held_out = DataLoader(Sentences(30), 4, shuffle=True, collate_fn=padded)
    with tracked() as run:
        for _ in range(3):
            for batch in DataLoader(Sentences(24), 8, shuffle=True, collate_fn=padded):
                optimizer.zero_grad()
                functional.cross_entropy(model(batch["ids"]), batch["label"]).backward()
                optimizer.step()
            for batch in held_out:
                with torch.no_grad():
                    model(batch["ids"])

    told = facts(run, "predictions")
    assert [len(one["fixed"]) for one in told] == [16, 16, 16]
    assert {fact["kind"] for fact in facts(run, "sample")} == {"text"}
    labels = {entry["id"]: entry["target"] for one in told for entry in [*one["fixed"], *one["worst"]]}
    for fact in facts(run, "sample"):
        text = fact["input"]["text"]
        assert labels[fact["id"]] == int(text.removeprefix("<b>").split("<")[0]) % 3


def test_data_that_is_augmented_anew_has_no_fixed_samples_and_says_so():
    x, y = classes()

    class Augmented(Dataset):
        def __len__(self):
            return 40

        def __getitem__(self, index):
            return x[index] + 0.1 * torch.randn(6), y[index]

    run, _ = train(net(), loaders(x, y)[0], DataLoader(Augmented(), 8), functional.cross_entropy)

    assert [len(one["fixed"]) for one in facts(run, "predictions")] == [16, 0, 0]
    assert [len(one["worst"]) for one in facts(run, "predictions")] == [WORST] * 3
    assert "augmented" in facts(run, "unseen")[-1]["samples"]


def test_nothing_is_kept_where_that_is_asked_for():
    run, _ = train(net(), *loaders(*classes()), functional.cross_entropy, epochs=1, samples=0, saliency=2)

    assert len(readings(run, "loss/val")) == 1
    assert facts(run, "sample") == facts(run, "predictions") == facts(run, "saliency") == []


def test_what_is_kept_is_bounded_and_the_last_evaluation_is_whole(monkeypatch):
    monkeypatch.setattr(sample_facts, "MOST_FACTS", 10)
    monkeypatch.setattr(sample_facts, "_MEANWHILE", 0.4)
    x, y = classes(200)[0], torch.randint(0, 3, (200,))

    run, _ = train(net(), *loaders(x, y), functional.cross_entropy, epochs=5, samples=4)

    ids = [fact["id"] for fact in facts(run, "sample")]
    worst = [{entry["id"] for entry in one["worst"]} for one in facts(run, "predictions")]
    assert len(ids) == len(set(ids)) <= 10
    assert worst[-1] <= set(ids)
    assert not set.union(*worst) <= set(ids)  # of earlier ones there was no room
    assert "last evaluation" in facts(run, "unseen")[-1]["sample inputs"]


def test_of_many_evaluations_some_are_told_and_the_last_one(monkeypatch):
    monkeypatch.setattr(samples, "_ALL", 1)
    monkeypatch.setattr(samples, "_OCTAVE", 0)
    monkeypatch.setattr(samples, "_PATIENCE", 0)
    x, y = classes()

    run, _ = train(net(), *loaders(x, y), functional.cross_entropy, epochs=7)

    told = [fact.step for fact in records(run) if isinstance(fact, Fact) and fact.name == "predictions"]
    assert told == [5 * number - 1 for number in (1, 2, 3, 5, 7)]


def test_a_fault_in_it_leaves_the_evaluation_alone(monkeypatch):
    monkeypatch.delenv("TRACKER_STRICT")
    monkeypatch.setattr(Samples, "saw", lambda *arguments: 1 / 0)

    run, _ = train(net(), *loaders(*classes()), functional.cross_entropy, epochs=2)

    assert fault_parts(run) == ["samples"]
    assert len(readings(run, "loss/val")) == 2


class Odd(nn.Module):
    """Draws, prints, warns and counts as it is called, and has modes of its own in a part."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3))
        self.head = nn.Linear(8, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        random.random(), np.random.rand(), torch.rand(())
        if not self.training:
            print("evaluated")
            warnings.warn("once", stacklevel=1)
        return self.head(self.body(x))


def odd_training():
    for seed in (random.seed, np.random.seed, torch.manual_seed):
        seed(7)
    x, y = classes()
    train_loader, held_out = loaders(x, y)
    model = Odd()
    model.body[3].eval()
    optimizer, losses = torch.optim.SGD(model.parameters(), 0.1), []
    model.head.register_forward_hook(lambda module, args, output: output * 1.5)
    for _ in range(2):
        for part in (model.body[:3], model.head):
            part.train()
        model.training = True
        for inputs, targets in train_loader:
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses += [loss.item(), inputs]
        model.eval()
        with torch.no_grad():
            losses += [functional.cross_entropy(model(inputs), targets).item() for inputs, targets in held_out]
    model.train()
    model.body[3].eval()
    return model, losses


def seen_of(model, losses):
    """Everything of a training that a user could find changed."""
    state = [digest(model), digest(losses), random_states()]
    parts = [(name, part.training, len(part._forward_hooks)) for name, part in model.named_modules()]
    grads = [digest(parameter.grad) for parameter in model.parameters()]
    return state, parts, grads, [parameter._version for parameter in model.parameters()]


@pytest.mark.parametrize("saliency", [0, 3])
def test_a_training_whose_samples_are_kept_is_the_same_bit_by_bit(saliency, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        bare = seen_of(*odd_training())
        said = capsys.readouterr()
        with tracked(settings={"report": {"saliency": saliency}}) as run:
            model, losses = odd_training()
        observed = seen_of(model, losses)

    assert observed == bare
    assert capsys.readouterr() == said
    assert not fault_parts(run)
    assert len(facts(run, "predictions")) == 2
    assert len(facts(run, "saliency")) == saliency


def test_saliency_is_the_gradient_of_the_class_that_is_predicted():
    x, y = classes()
    model = nn.Sequential(nn.Linear(6, 3))

    run, _ = train(model, *loaders(x, y), functional.cross_entropy, epochs=1, saliency=4)

    said = {entry["id"]: entry["predicted"] for entry in facts(run, "predictions")[-1]["fixed"]}
    told = facts(run, "saliency")
    assert len(told) == 4
    for one in told:
        assert one["class"] == said[one["id"]]
        assert one["values"] == pytest.approx(model[0].weight[one["class"]].abs().tolist(), rel=CLOSE)


class Fussy(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        if len(x) == 1:
            torch.rand(3)
            raise RuntimeError("a batch of one")
        return self.layer(x)


def test_a_model_that_cannot_be_asked_is_left_as_it_was_and_said_to_be():
    x, y = classes()
    model = Fussy()
    filters = list(warnings.filters)

    run, _ = train(model, *loaders(x, y), functional.cross_entropy, epochs=1, saliency=2)

    assert not model.training  # as the script left it
    assert facts(run, "saliency") == []
    assert "RuntimeError: a batch of one" in facts(run, "unseen")[-1]["saliency"]
    assert not fault_parts(run)
    assert warnings.filters == filters


def told_on(device):
    """What is told of a small training on a device, evaluated after each of three epochs."""
    torch.manual_seed(0)
    x, y = classes()
    model = nn.Linear(6, 3).to(device)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    train_loader, held_out = loaders(x, y)
    with tracked() as run:
        for _ in range(3):
            for inputs, targets in train_loader:
                optimizer.zero_grad()
                functional.cross_entropy(model(inputs.to(device)), targets.to(device)).backward()
                optimizer.step()
            for inputs, _ in held_out:
                with torch.no_grad():
                    model(inputs.to(device))
    assert not fault_parts(run)
    return facts(run, "predictions"), {fact["id"]: fact["input"] for fact in facts(run, "sample")}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_same_is_told_and_nobody_waits_for_it(monkeypatch):
    expected, inputs = told_on("cpu")
    saw = Samples.saw

    def without_waiting(*arguments):
        torch.cuda.set_sync_debug_mode("error")
        try:
            saw(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    monkeypatch.setattr(Samples, "saw", without_waiting)
    told, kept = told_on("cuda")

    assert kept == inputs
    for one, other in zip(told, expected, strict=True):
        for which in ("fixed", "worst"):
            assert [entry["id"] for entry in one[which]] == [entry["id"] for entry in other[which]]
            for entry, like in zip(one[which], other[which], strict=True):
                assert entry["loss"] == pytest.approx(like["loss"], rel=1e-3)


def test_each_fold_has_samples_of_its_own():
    x, y = classes(120)
    models = [net(), net()]
    with tracked() as run:
        for fold, model in enumerate(models):
            train_loader, held_out = loaders(x[fold * 60 :][:60], y[fold * 60 :][:60])
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for _ in range(3):
                for inputs, targets in train_loader:
                    optimizer.zero_grad()
                    functional.cross_entropy(model(inputs), targets).backward()
                    optimizer.step()
                with torch.no_grad():
                    for inputs, _ in held_out:
                        model(inputs)

    told = [frozenset(entry["id"] for entry in one["fixed"]) for one in facts(run, "predictions")]
    assert [len(ids) for ids in told] == [16] * 6
    assert told == [told[0]] * 3 + [told[-1]] * 3
    assert not told[0] & told[-1]
