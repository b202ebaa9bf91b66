"""Fingerprints: taken on a schedule of steps, stable across processes, and of everything that a state holds."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Subset, TensorDataset

from tests.trainings import data, facts, fault_parts, loader, mlp, step, tracked
from tracker.probes.datasets import identity_of
from tracker.probes.digests import of_array, of_rows, of_values
from tracker.probes.fingerprints import FACT, is_scheduled
from tracker.probes.state import digest_of


def told(run, key):
    assert fault_parts(run) == []
    return [value for value in facts(run, FACT) if key in value]


def moments(run):
    return [(value["when"], value["after"]) for value in told(run, "weights")]


def weights(run):
    return {(value["when"], value["after"]): value["weights"] for value in told(run, "weights")}


def test_all_of_the_first_steps_are_taken_and_then_four_in_each_doubling():
    taken = [number for number in range(128) if is_scheduled(number)]

    assert taken[:8] == list(range(8))
    assert taken[8:] == [*range(8, 16, 2), *range(16, 32, 4), *range(32, 64, 8), *range(64, 128, 16)]


def test_batches_gradients_and_weights_are_told_on_the_schedule_and_at_each_pass():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    train, held_out = loader(56), loader(16)
    with tracked() as run:
        for _ in range(3):
            for x, y in train:
                step(model, optimizer, x, y)
            for x, _ in held_out:
                with torch.no_grad():
                    model(x)
    batches = told(run, "batches")

    assert len(batches) == len(told(run, "grad")) == 14  # 0 to 7, 8, 10, 12, 14, 16, 20
    assert [value["batches"][0]["first"] for value in batches].count(True) == 3
    assert all(len(value["batches"]) == 1 for value in batches)
    assert batches[0]["batches"] == batches[7]["batches"] != batches[1]["batches"]
    assert moments(run) == [
        ("start", 0), ("step", 1), ("step", 2), ("step", 4), ("pass", 7), ("step", 8), ("pass", 14), ("step", 16),
        ("pass", 21), ("end", 21),
    ]  # fmt: skip
    assert len(told(run, "data")) == 1


def test_the_weights_behind_the_last_pass_are_told_also_of_a_model_that_has_other_tensors_by_the_end():
    train = loader(16)

    def main():
        model = mlp()
        prune.l1_unstructured(model[0], "weight", amount=0.5)
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for _ in range(11):
            for x, y in train:
                step(model, optimizer, x, y)
        prune.remove(model[0], "weight")

    with tracked() as run:
        main()

    assert [after for when, after in moments(run) if when == "pass"] == [2, 4, 6, 8, 10, 12, 14, 16, 18, 22]
    assert all(when != "end" for when, _ in moments(run))


def test_the_norm_is_that_of_the_gradient_ahead_of_the_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    nn.functional.cross_entropy(model(x), y).backward()
    norm = torch.stack([p.grad.double().square().sum() for p in model.parameters()]).sum().sqrt()
    with tracked() as run:
        step(model, optimizer, x, y)

    assert float.fromhex(told(run, "grad")[0]["grad"]["0"]) == pytest.approx(float(norm), rel=1e-6)


def test_without_a_loader_a_batch_is_what_the_model_was_given():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for rows in (slice(0, 8), slice(8, 16), slice(0, 8)):
            step(model, optimizer, x[rows], y[rows])
    inputs = [value["batches"][0]["inputs"] for value in told(run, "batches")]

    assert inputs[0] == inputs[2] == of_values([x[:8]])
    assert inputs[1] != inputs[0]


def test_a_model_that_is_gone_before_the_run_ends_was_taken_as_it_was_last():
    def main():
        model = mlp()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(5):
            step(model, optimizer, *data())
        return digest_of([(f"0.{name}", p) for name, p in sorted(model.named_parameters())], 1 << 30)

    with tracked() as run:
        last = main()

    assert weights(run)["end", 5] == last
    assert moments(run)[-1] == ("end", 5)


def test_buffers_belong_to_the_state_and_the_start_is_that_of_the_parameters():
    def trained(is_shifted):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3))
        model.register_buffer("scratch", torch.full((2,), float(is_shifted)), persistent=False)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        with tracked() as run:
            step(model, optimizer, *data())
            with torch.no_grad():
                model[1].running_mean += float(is_shifted)
        return weights(run)

    a, b = trained(False), trained(True)

    assert a["start", 0] == b["start", 0]
    assert a["step", 1] == b["step", 1]
    assert a["end", 1] != b["end", 1]


def test_two_optimizers_a_closure_and_accumulated_batches_are_told_as_they_are():
    one, two, (x, y) = mlp(), mlp(seed=1), data()
    first, second = (torch.optim.SGD(model.parameters(), 0.1) for model in (one, two))
    with tracked() as pair:
        for _ in range(3):
            step(one, first, x, y)
            step(two, second, x, y)
    lbfgs = torch.optim.LBFGS(one.parameters(), 0.1, max_iter=3)

    def closure():
        lbfgs.zero_grad()
        loss = nn.functional.cross_entropy(one(x), y)
        loss.backward()
        return loss

    with tracked() as closed:
        lbfgs.step(closure)
        lbfgs.step(closure)
    with tracked() as accumulated:
        for number, (inputs, targets) in enumerate(loader(48)):
            nn.functional.cross_entropy(one(inputs), targets).backward()
            if number % 3 == 2:
                first.step()
                first.zero_grad()

    assert [set(value["grad"]) for value in told(pair, "grad")] == [{"0", "1"}] * 3
    assert len(told(closed, "grad")) == 2
    assert [len(value["batches"]) for value in told(accumulated, "batches")] == [3, 3]


def test_a_large_state_is_sampled_and_says_so():
    items = [("a", torch.zeros(1 << 18)), ("b", torch.zeros(3))]
    whole, sampled = digest_of(items, 1 << 30), digest_of(items, 200_000)
    items[0][1][-1] = 1.0  # the last block is one of those that are sampled
    items[1][1][0] = 1.0

    assert whole.startswith("state:")
    assert sampled.startswith("sampled:")
    assert digest_of(items, 200_000) != sampled


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
def test_digests_depend_on_each_value_and_those_of_rows_on_no_order(kind):
    x = torch.arange(1200).reshape(40, 30).remainder(7).to(kind)
    other = x.clone()
    other[11, 13] = 0 if bool(other[11, 13] != 0) else 1

    assert of_values([x]) == of_values([x.t().contiguous().t()]) != of_values([other])
    assert of_rows(x) == of_rows(x.flip(0)) != of_rows(other)
    assert of_values([x]) != of_values([x.flip(0)])


def test_one_value_of_a_large_tensor_or_array_counts():
    x = torch.zeros(500_000)
    other = x.clone()
    other[123_457] = 1e-6

    assert of_values([x]) != of_values([other])
    assert of_array(x.numpy()) != of_array(other.numpy())


def test_data_in_memory_are_known_by_their_values_and_by_the_rows_chosen():
    x, y = data(40)
    whole = TensorDataset(x, y)
    chosen, turned, others = Subset(whole, [1, 5, 9]), Subset(whole, [9, 1, 5]), Subset(whole, [2, 3, 4])
    x2 = x.clone()
    x2[7, 2] += 1.0

    assert identity_of(chosen) == identity_of(turned)
    assert identity_of(chosen)["content"] == identity_of(others)["content"] == identity_of(whole)["content"]
    assert identity_of(chosen)["selection"] != identity_of(others)["selection"]
    assert identity_of(TensorDataset(x2, y)) != identity_of(whole)
    assert identity_of([1, 2]) is None


def test_digests_are_the_same_in_another_process():
    code = (
        "import torch; from tracker.probes.digests import of_rows, of_values; x = torch.arange(60.).reshape(10, 6);"
        "print(of_values([x]), of_rows(x))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    x = torch.arange(60.0).reshape(10, 6)

    assert found == [of_values([x]), of_rows(x)]


def test_nothing_is_drawn_and_nothing_changes():
    def trained():
        torch.manual_seed(3)
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        batches = DataLoader(TensorDataset(*data(48)), batch_size=8, shuffle=True)
        losses = [step(model, optimizer, x, y) for _ in range(4) for x, y in batches]
        return losses, [p.tolist() for p in model.state_dict().values()], torch.rand(1).item()

    bare = trained()
    with tracked() as run:
        observed = trained()

    assert told(run, "batches")
    assert observed == bare
