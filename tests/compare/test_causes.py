"""Two real trainings with one thing changed: where they part, and what kind of thing it is."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from tests.trainings import data, fault_parts, records, tracked
from tracker.compare.causes import why
from tracker.compare.prints import Prints, Reader, ends, last_common_weights
from tracker.compare.streams import compare_streams, ledger_of


class Net(nn.Module):
    def __init__(self, dropout=0.0, is_inexact=False):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(16, 3)
        self.is_inexact = is_inexact

    def forward(self, x):
        x = self.body(x)
        x = self.head(x)
        return x * (1 + 2**-14) if self.is_inexact else x  # as another kernel for the same layer may give it


class Rounded(torch.autograd.Function):
    """Gives its input as it is, and a gradient that another kernel has computed."""

    @staticmethod
    def forward(context, x):
        return x.clone()

    @staticmethod
    def backward(context, grad):
        return grad * (1 + 2**-20)


class Noisy(Dataset):
    """Adds noise to each sample, as augmentation does."""

    def __init__(self, inner, seed):
        self.inner, self.noise = inner, torch.Generator().manual_seed(seed)

    def __len__(self):
        return len(self.inner)

    def __getitem__(self, index):
        x, y = self.inner[index]
        return x + 0.1 * torch.randn(x.shape, generator=self.noise), y


def train(
    *, seed=0, shuffle=1, shuffle_from_2=None, lr=0.1, dropout=None, is_inexact=False, noise_at=None, changed=None,
    labels=None, epochs=3, is_reversed=False, split=None, augment=None, is_rounded=False, eval_seed=None,
    eval_trains=False,
):  # fmt: skip
    """A training of 36 steps with one thing or another about it; its ledger."""
    x, y = data(96)
    if changed is not None:
        x[changed, 2] += 0.5
    if labels is not None:
        y[labels] = (y[labels] + 1) % 3
    torch.manual_seed(seed)
    model = Net(dropout=0.5 if dropout is not None else 0.0, is_inexact=is_inexact)
    optimizer = torch.optim.SGD(model.parameters(), lr)
    whole = TensorDataset(x, y)
    chosen = torch.randperm(96, generator=torch.Generator().manual_seed(split or 0)).tolist()[:72]
    dataset = whole if split is None else Subset(whole, chosen)
    dataset = dataset if augment is None else Noisy(dataset, augment)
    order = torch.Generator().manual_seed(shuffle)
    collate = (lambda rows: default_collate(rows[::-1])) if is_reversed else None
    loader = DataLoader(dataset, batch_size=8, shuffle=True, generator=order, collate_fn=collate)
    torch.manual_seed(100 + (dropout or 0))
    step = 0
    with tracked() as run:
        for epoch in range(epochs):
            if epoch == 1 and shuffle_from_2 is not None:
                order.manual_seed(shuffle_from_2)
            for inputs, targets in loader:
                optimizer.zero_grad()
                outputs = model(inputs)
                if is_rounded:
                    outputs = Rounded.apply(outputs)
                nn.functional.cross_entropy(outputs, targets).backward()
                optimizer.step()
                if step == noise_at:
                    with torch.no_grad():
                        model.head.weight[0, 0] += 1e-3
                step += 1
            if eval_seed is not None:
                noise = torch.Generator().manual_seed(eval_seed)
                model.train(eval_trains)
                with torch.no_grad():
                    told = model(torch.randn(16, 6, generator=noise)).mean()
                model.train()
                run.log({"val": float(told)})
    assert fault_parts(run) == []
    return ledger_of(records(run))


def cause(a, b, **options):
    return why(a, compare_streams(a, b), a.weights, b.weights, **options)


@cache
def original():
    return train()


CHANGES = [
    ({"seed": 5}, "initialisation", "first weights differ"),
    ({"shuffle": 2}, "data order", "batch of step 0: inputs and targets differ"),
    ({"is_reversed": True}, "data order", "the samples are the same in another order"),
    ({"changed": slice(0, 96)}, "data content", "batch of step 0: targets equal, inputs differ"),
    ({"labels": slice(0, 96)}, "data content", "batch of step 0: inputs equal, targets differ"),
    ({"is_inexact": True}, "forward", "loss of step 0"),
    ({"lr": 0.05}, "first update", "weights after 1 step differ; equal: weights before it, batch, gradient norm"),
    ({"is_rounded": True}, "first update", "gradient norm of step 0"),
    ({"shuffle_from_2": 9}, "epoch boundary", "batch of step 12"),
    ({"noise_at": 25}, "drift", "of step 26"),
]


@pytest.mark.parametrize(("change", "where", "evidence"), CHANGES, ids=[next(iter(one[0])) for one in CHANGES])
def test_what_was_changed_is_the_cause(change, where, evidence):
    found = cause(original(), train(**change))

    assert found.where == where
    assert evidence in found.evidence


def test_a_training_that_is_the_same_has_no_cause_and_the_same_weights_to_its_end():
    again = train()

    assert cause(original(), again) is None
    assert compare_streams(original(), again).first_print is None
    assert ends(original().prints, again.prints)[0].startswith("state:")
    assert last_common_weights(original().prints, again.prints) == 36


def test_dropout_with_other_random_numbers_is_told_at_the_forward_pass():
    a, b = train(dropout=0), train(dropout=1)

    found = cause(a, b)

    assert found.where == "forward"
    assert "dropout" in found.likely


def test_one_changed_value_is_told_with_the_data_even_where_no_digested_batch_has_it():
    """The value is used at steps 20 and 30, say: neither is digested unless it is on the schedule."""
    found = [cause(original(), train(changed=row)) for row in (3, 40, 77)]

    assert {one.where for one in found} == {"data content"}
    # Without what identifies data in memory, the data files tell.
    blind = replace(original(), prints=replace(original().prints, data=()))
    assert cause(blind, train(changed=40), data_same=False).where == "data content"


def test_another_split_of_the_same_data_is_not_other_data():
    found = cause(train(split=1), train(split=2))

    assert found.where == "data order"
    assert "split" in found.likely


def test_other_augmentation_of_the_same_samples_is_told_apart_from_their_order():
    found = cause(train(augment=1), train(augment=2))

    assert (found.where, found.evidence) == ("data content", "batch of step 0: targets equal, inputs differ")
    assert "augmentation" in found.likely


def test_numbers_of_an_evaluation_differ_alone():
    found = cause(train(eval_seed=1), train(eval_seed=2))

    assert found.where == "evaluation"
    assert found.evidence.startswith("val of step 12")


def test_weights_that_the_last_evaluation_changed_are_told():
    """The running statistics move in an evaluation in train mode; nothing else shows it behind the last step."""
    a, b = train(eval_seed=1, eval_trains=True, epochs=1), train(eval_seed=2, eval_trains=True, epochs=1)
    a = replace(a, streams={key: one for key, one in a.streams.items() if key != "val"})

    found = cause(a, b)

    assert found.where == "evaluation"
    assert found.evidence.startswith("weights at the end differ")
    assert last_common_weights(a.prints, b.prints) == 12


def test_a_difference_in_what_no_model_uses_is_no_cause():
    a = original()
    batches = {step: tuple(one._replace(inputs="0") for one in told) for step, told in a.prints.batches.items()}
    b = replace(a, prints=replace(a.prints, batches=batches))

    assert cause(a, b) is None


def test_runs_without_fingerprints_are_classified_by_the_step_alone():
    bare = replace(original(), prints=Prints())

    assert cause(bare, train(seed=5)).where == "initialisation"
    assert cause(bare, train(shuffle=2)).where == "first step"
    assert cause(bare, train(lr=0.05)).where == "first update"
    assert cause(bare, train(shuffle_from_2=9)).where == "epoch boundary"
    assert cause(bare, train(noise_at=25)).where == "drift"


def prints(**digests):
    """Fingerprints of the weights: `end_8="x"` is a digest at the end, behind 8 steps."""
    reader = Reader()
    for key, digest in digests.items():
        when, after = key.split("_")
        reader.take(0, {"weights": f"state:{digest}", "after": int(after), "when": when})
    return reader.prints()


@pytest.mark.parametrize(
    ("mine", "theirs", "steps", "expected"),
    [
        ({"pass_8": "a", "end_8": "b"}, {"pass_8": "a", "end_8": "c"}, 8, ("state:b", "state:c")),
        ({"pass_8": "a"}, {"pass_8": "a", "end_8": "b"}, 8, ("state:a", "state:a")),
        ({"pass_8": "a"}, {"pass_8": "a"}, 9, None),
        ({"pass_8": "a"}, {"pass_8": "a"}, None, None),
        ({"end_4": "a", "step_8": "b"}, {"end_4": "a", "step_8": "b"}, 10, None),
        ({"start_0": "a"}, {"start_0": "a"}, 0, None),
    ],
    ids=["the-end", "behind-the-last-step", "a-step-more", "unknown-steps", "another-model-went-on", "no-step"],
)
def test_the_weights_of_the_end_are_those_behind_the_last_step(mine, theirs, steps, expected):
    assert ends(prints(**mine), prints(**theirs), steps) == expected
