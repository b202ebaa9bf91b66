"""Class weights and label counts of a training, wherever they come from."""

import torch
from torch.utils.data import DataLoader, TensorDataset, WeightedRandomSampler

from tests.trainings import data, facts, mlp, step, tracked


def _process(run):
    return run._session.rundir.read_json("process.json")


def test_weights_on_the_loss_are_found_with_the_labels_that_were_seen():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    n = model(x).shape[1]
    criterion = torch.nn.CrossEntropyLoss(weight=torch.arange(1.0, n + 1))
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    table = _process(run)["class_weights"]["classes"]
    counts = torch.bincount(y, minlength=n).tolist()

    assert facts(run, "class_weights") == [{str(label): label + 1.0 for label in range(n)}]
    assert [row["weight"] for row in table] == [label + 1.0 for label in range(n)]
    assert [row["count"] for row in table] == [3 * count for count in counts]
    params = {key: value for known in facts(run, "params") for key, value in known.items()}
    assert (params["class_weight/0"], params["class_weight/1"]) == ("1.0", "2.0")


def test_what_was_given_stands_before_what_is_found():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked(class_weights={"cat": 1, "dog": 2, "owl": 3}) as run:
        for _ in range(2):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(x), y, weight=torch.ones(model(x).shape[1])).backward()
            optimizer.step()

    assert _process(run)["class_weights"]["source"] != "weight of cross_entropy"
    assert facts(run, "class_weights") == [{"cat": 1.0, "dog": 2.0, "owl": 3.0}]


def test_the_weights_of_a_sampler_are_found():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    weights = [5.0 if label == 0 else 1.0 for label in y.tolist()]
    batches = DataLoader(TensorDataset(x, y), batch_size=8, sampler=WeightedRandomSampler(weights, len(weights)))
    with tracked() as run:
        for inputs, labels in batches:
            step(model, optimizer, inputs, labels)
    rows = _process(run)["sampler_weights"]["classes"]

    assert facts(run, "sampler_weights") == [{"n": len(weights), "distinct": 2}]
    assert sorted((row["weight"], row["count"]) for row in rows) == [
        (1.0, weights.count(1.0)),
        (5.0, weights.count(5.0)),
    ]


def test_labels_are_counted_without_weights_too():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        step(model, optimizer, x, y)
    counts = torch.bincount(y).tolist()

    assert _process(run)["class_counts"] == {str(label): count for label, count in enumerate(counts) if count}
    assert "class_weights" not in _process(run)
