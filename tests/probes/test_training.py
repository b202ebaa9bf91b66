"""What the probes read from real trainings, against slow references computed beside them."""

import math
from itertools import pairwise

import pytest
import torch
from torch.nn import functional
from torch.utils._pytree import tree_map

from tests.trainings import data, events, facts, fault_parts, loader, mlp, readings, records, step, subjects, tracked
from tracker.probes.gradients import Gradients
from tracker.probes.norms import norm_vectors
from tracker.rules.engine.records import Reading


def test_the_loss_of_each_step_is_read_exactly():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        seen = [step(model, optimizer, x, y) for _ in range(25)]

    assert readings(run, "loss") == list(enumerate(seen))


def test_norms_and_update_ratios_are_those_of_the_true_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-2, weight_decay=0.1)
    gradients, weights, ratios = {}, {}, {}
    with tracked() as run:
        for number in range(21):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            before = {name: p.detach().clone() for name, p in model.named_parameters()}
            for name, p in model.named_parameters():
                gradients[name, number] = p.grad.double().pow(2).sum().sqrt().item()
                weights[name, number] = p.detach().double().pow(2).sum().sqrt().item()
            optimizer.step()
            for name, p in model.named_parameters():
                change = (p.detach().double() - before[name].double()).pow(2).sum().sqrt().item()
                ratios[name, number] = change / weights[name, number]
    close = [*range(10), 10, 20]

    for name, _ in model.named_parameters():
        assert readings(run, "grad_norm", name) == [(n, pytest.approx(gradients[name, n], rel=1e-5)) for n in close]
        assert readings(run, "weight_norm", name) == [(n, pytest.approx(weights[name, n], rel=1e-5)) for n in close]
        assert readings(run, "update_ratio", name) == [(n, pytest.approx(ratios[name, n], rel=1e-3)) for n in close]
    whole = math.sqrt(sum(gradients[name, 0] ** 2 for name, _ in model.named_parameters()))
    assert readings(run, "grad_norm", "")[0] == (0, pytest.approx(whole, rel=1e-5))


def test_the_learning_rate_is_read_when_it_changes():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[2].parameters()}], lr=0.1
    )
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    with tracked() as run:
        for _ in range(7):
            step(model, optimizer, x, y)
            schedule.step()

    assert readings(run, "lr", "0") == [(0, 0.5), (3, 0.25), (6, 0.125)]
    assert readings(run, "lr", "1") == [(0, 0.1), (3, 0.05), (6, 0.025)]
    assert any("scheduler/schedule/class" in fact or "scheduler/schedule" in str(fact) for fact in facts(run, "params"))


def test_classes_are_counted_and_the_training_accuracy_is_that_of_the_epoch():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    right, counts = 0, torch.zeros(3, dtype=torch.long)
    with tracked() as run:
        for x, y in loader(24, 8):
            right += int((model(x).argmax(1) == y).sum())
            counts += torch.bincount(y, minlength=3)
            step(model, optimizer, x, y)

    assert readings(run, "accuracy/train") == [(2, right / 24)]
    assert [readings(run, "class_count", str(label))[-1][1] for label in range(3)] == counts.tolist()


def test_a_label_that_the_loss_ignores_is_no_class():
    model, (x, _) = mlp(), data(8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    y = torch.tensor([0, 1, 2, 2, 1, 0, 2, 2])
    with tracked() as run:
        functional.cross_entropy(model(x), y, ignore_index=2).backward()
        optimizer.step()

    assert subjects(run, "class_count") == {"0", "1"}


def test_parameters_are_named_as_their_module_names_them():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        step(model, optimizer, x, y)

    assert subjects(run, "weight_norm") == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert facts(run, "parameters")[0]["0.weight"] == {"shape": [8, 6], "dtype": "float32", "trainable": True}


def test_a_model_that_is_an_attribute_is_found():
    class Experiment:
        def __init__(self):
            self.net = mlp()
            self.optimizer = torch.optim.SGD(self.net.parameters(), 0.1)

    experiment, (x, y) = Experiment(), data()
    with tracked() as run:
        step(experiment.net, experiment.optimizer, x, y)

    assert subjects(run, "weight_norm") == {"0.weight", "0.bias", "2.weight", "2.bias"}


def test_parameters_that_no_module_holds_are_numbered():
    w = torch.zeros(3, 6, requires_grad=True)
    optimizer, (x, y) = torch.optim.SGD([w], 0.1), data()
    with tracked() as run:
        functional.cross_entropy(x @ w.T, y).backward()
        optimizer.step()

    assert subjects(run, "weight_norm") == {"group0.0"}


def gan_steps(rounds, n_critic=1):
    generator, critic, (x, _) = mlp(4, 6), mlp(6, 1, seed=1), data()
    g_opt = torch.optim.Adam(generator.parameters(), 1e-2)
    d_opt = torch.optim.Adam(critic.parameters(), 1e-2)
    bce = functional.binary_cross_entropy_with_logits
    with tracked() as run:
        for number in range(rounds):
            fake = generator(torch.ones(24, 4))
            d_opt.zero_grad()
            (bce(critic(x), torch.ones(24, 1)) + bce(critic(fake.detach()), torch.zeros(24, 1))).backward()
            d_opt.step()
            if (number + 1) % n_critic == 0:
                g_opt.zero_grad()
                bce(critic(fake), torch.ones(24, 1)).backward()
                g_opt.step()
    return run


def test_one_round_of_a_gan_is_one_step():
    run = gan_steps(6)

    assert [at for at, _ in readings(run, "loss")] == [n for n in range(6) for _ in range(2)]
    assert run._session.step == 6
    assert subjects(run, "grad_norm") == {
        "", "optimizer1",
        *(f"{net}.{name}" for net in ("generator", "critic") for name in ("0.weight", "0.bias", "2.weight", "2.bias")),
    }  # fmt: skip
    assert [event.data["last_step"] for event in events(run, "epoch")] == [5]


def test_two_models_trained_in_turn_are_taken_for_a_gan():
    run = gan_steps(6)

    assert facts(run, "profile") == ["gan"]


def test_optimizers_of_two_parts_of_one_model_are_not_taken_for_a_gan():
    model, (x, y) = mlp(), data()
    first, second = (torch.optim.SGD(model[at].parameters(), 0.1) for at in (0, 2))
    with tracked() as run:
        for _ in range(10):
            functional.cross_entropy(model(x), y).backward()
            for optimizer in (first, second):
                optimizer.step()
                optimizer.zero_grad()

    assert facts(run, "profile") == []
    assert run._session.step == 10


def test_a_critic_that_steps_more_often_counts_the_steps():
    run = gan_steps(10, n_critic=5)

    assert 10 <= run._session.step <= 11
    assert fault_parts(run) == []


def test_an_optimizer_that_stands_by_does_not_hold_up_the_steps():
    model, (x, y) = mlp(), data()
    optimizer, later = torch.optim.SGD(model.parameters(), 0.1), torch.optim.Adam(model.parameters())
    with tracked() as run:
        for _ in range(5):
            step(model, optimizer, x, y)
        first = run._session.step
        step(model, later, x, y)

    assert [at for at, _ in readings(run, "loss")] == list(range(6))
    assert first == 5
    assert run._session.step == 6


def test_accumulated_backwards_belong_to_one_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            for part in range(4):
                rows = slice(part * 6, part * 6 + 6)
                (functional.cross_entropy(model(x[rows]), y[rows]) / 4).backward()
            optimizer.step()

    assert [at for at, _ in readings(run, "loss")] == [0] * 4 + [1] * 4 + [2] * 4
    assert facts(run, "loss")[0][0]["scaled"] is True
    assert run._session.step == 3


@pytest.mark.parametrize("fused", [False, True])
def test_the_loss_and_gradients_under_a_scaler_are_unscaled(fused):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    seen, expected = [], []
    with tracked() as run:
        for _ in range(4):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            scaled = scaler.scale(loss)
            scaled.backward()
            seen.append(loss.item())
            expected.append(norm_vectors([model[0].weight.grad])[0][1].tolist()[0] / 1024)
            scaler.step(optimizer)
            scaler.update()

    assert readings(run, "loss") == list(enumerate(seen))
    assert [value for _, value in readings(run, "grad_norm", "0.weight")] == pytest.approx(expected, rel=1e-4)
    assert facts(run, "loss")[0]["function"] == "cross_entropy"
    assert facts(run, "loss")[0]["scaled"] is False


def test_a_loss_that_is_not_finite_is_judged_at_once():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(3):
            step(model, optimizer, x, y)
        step(model, optimizer, x * math.nan, y)
        found = [finding.rule for finding in run.findings]

    assert "nonfinite-loss" in found
    assert math.isnan(readings(run, "loss")[3][1])


def test_lbfgs_reads_each_loss_of_its_closure_at_one_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        seen.append(loss.item())
        return loss

    with tracked() as run:
        optimizer.step(closure)
        first = len(seen)
        optimizer.step(closure)

    assert readings(run, "loss") == [(0 if n < first else 1, value) for n, value in enumerate(seen)]
    assert run._session.step == 2


def test_a_step_that_raises_leaves_nothing_behind():
    class Picky(torch.optim.SGD):
        raises = False

        def step(self, closure=None):
            if self.raises:
                raise ValueError("not now")
            return super().step(closure)

    model, (x, y) = mlp(), data()
    optimizer = Picky(model.parameters(), 0.1)
    with tracked() as run:
        step(model, optimizer, x, y)
        optimizer.raises = True
        with pytest.raises(ValueError, match="not now"):
            step(model, optimizer, x, y)
        optimizer.raises = False
        step(model, optimizer, x, y)
        held = run._session.training.probe(Gradients)._before

    assert held == []
    assert fault_parts(run) == []


def test_a_parameter_group_that_is_added_is_followed():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model[2].parameters(), 0.1)
    with tracked() as run:
        for number in range(4):
            if number == 2:
                optimizer.add_param_group({"params": model[0].parameters(), "lr": 0.01})
            step(model, optimizer, x, y)

    assert [at for at, _ in readings(run, "grad_norm", "0.weight")] == [2, 3]
    assert readings(run, "lr", "1") == [(2, 0.01)]


def test_sparse_gradients_have_norms():
    table = torch.nn.Embedding(10, 4, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters(), 0.1)
    with tracked() as run:
        table(torch.tensor([1, 1, 3])).sum().backward()
        expected = table.weight.grad.to_dense().norm().item()
        optimizer.step()

    assert readings(run, "grad_norm", "weight") == [(0, pytest.approx(expected))]


def test_a_tensor_without_values_is_left_alone():
    model = mlp().to("meta")
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        model(torch.ones(2, 6, device="meta")).sum().backward()
        optimizer.step()

    assert readings(run, "loss") == []
    assert fault_parts(run) == []


def test_the_sampling_thins_out_after_the_first_steps():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(60):
            step(model, optimizer, x, y)

    assert [at for at, _ in readings(run, "grad_norm", "")] == [*range(10), 10, 20, 30, 40, 50]
    assert len(readings(run, "loss")) == 60


def test_the_digests_of_the_weights_are_those_at_the_start_and_at_the_end():
    from tracker.probes.parameters import digest

    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    start = digest(model.named_parameters())
    with tracked() as run:
        for _ in range(3):
            step(model, optimizer, x, y)

    assert facts(run, "weights") == [{"start": start, "end": digest(model.named_parameters()), "step": 3}]
    assert start != digest(model.named_parameters())


def test_every_reading_is_a_number_with_a_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        step(model, optimizer, x, y)

    assert all(type(r.value) is float and r.step >= 0 for r in records(run) if isinstance(r, Reading))


def test_what_is_read_on_change_is_read_again_when_another_model_is_trained():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(3):
            step(model, optimizer, x, y)
        run._session.training.begin_another()
        for _ in range(2):
            step(model, optimizer, x, y)

    assert readings(run, "lr", "0") == [(0, 0.1), (3, 0.1)]
    assert readings(run, "backwards") == [(0, 1), (3, 1)]
    assert [event.step for event in events(run, "training")] == [3]
    assert [(event.data["first_step"], event.data["last_step"]) for event in events(run, "epoch")] == [(0, 2), (3, 4)]


def norms_in(model):
    """Norms of the gradients, and copies of the weights, by name."""
    gradients = {name: p.grad.double().norm().item() for name, p in model.named_parameters() if p.grad is not None}
    return gradients, {name: p.detach().double() for name, p in model.named_parameters()}


def check_steps(run, model, gradients, weights):
    """What was read of each step is what was found; `weights` are those ahead of each step, and the last."""
    for name, _ in model.named_parameters():
        expected = [found[name] for found in gradients]
        assert readings(run, "grad_norm", name) == list(enumerate(pytest.approx(one, rel=1e-4) for one in expected))
        moved = [((b[name] - a[name]).norm() / a[name].norm()).item() for a, b in pairwise(weights)]
        assert readings(run, "update_ratio", name) == list(enumerate(pytest.approx(one, rel=1e-2) for one in moved))
        assert len(expected) == len(moved) > 1


@pytest.mark.parametrize("micro_batches", [1, 3])
def test_a_closure_that_does_all_of_the_step_is_read_behind_its_backward(micro_batches):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    gradients, weights = [], [norms_in(model)[1]]

    def micro(number):
        if not number:
            optimizer.zero_grad()
        loss = functional.cross_entropy(model(x[number::3]), y[number::3])
        loss.backward()
        return loss

    with tracked() as run:
        for _ in range(4):
            for number in range(micro_batches - 1):  # those of all but the last are outside, as Lightning does it
                micro(number)
            optimizer.step(lambda: micro(micro_batches - 1))
            found, after = norms_in(model)
            gradients.append(found)
            weights.append(after)

    check_steps(run, model, gradients, weights)


def test_lbfgs_is_read_behind_the_first_backward_of_its_closure():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=4)
    gradients, weights, found = [], [norms_in(model)[1]], []

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        found.append(norms_in(model)[0])
        return loss

    with tracked() as run:
        for _ in range(3):
            found.clear()
            optimizer.step(closure)
            gradients.append(found[0])
            weights.append(norms_in(model)[1])

    check_steps(run, model, gradients, weights)


def test_gradients_that_no_backward_has_left_are_read():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gradients, weights = [], [norms_in(model)[1]]
    with tracked() as run:
        for number in range(3):
            for p in model.parameters():
                p.grad = torch.full_like(p, 1.0 + number)
            optimizer.step()
            found, after = norms_in(model)
            gradients.append(found)
            weights.append(after)

    check_steps(run, model, gradients, weights)


def test_a_parameter_that_a_closure_gives_no_gradient_has_no_update():
    model, (x, y) = mlp(), data()
    unused = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD([*model.parameters(), *unused.parameters()], 0.1)

    def closure():
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with tracked() as run:
        for _ in range(2):
            optimizer.step(closure)

    assert len(subjects(run, "update_ratio")) == 4


def test_many_small_parameters_are_read_as_few_are():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [torch.nn.Linear(6, 6) for _ in range(20)]
    model = torch.nn.Sequential(*layers, torch.nn.Linear(6, 1500), torch.nn.Linear(1500, 3))
    x, y = data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gradients, weights = [], [norms_in(model)[1]]
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            gradients.append(norms_in(model)[0])
            optimizer.step()
            weights.append(norms_in(model)[1])

    check_steps(run, model, gradients, weights)
    whole = math.sqrt(sum(norm**2 for norm in gradients[0].values()))
    assert readings(run, "grad_norm", "")[0] == (0, pytest.approx(whole, rel=1e-5))


def test_a_metric_logged_between_backward_and_step_ends_the_epoch_at_that_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for number in range(9):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            if number % 3 == 2:
                run.log(accuracy=0.5)
            optimizer.step()

    assert [event.data["last_step"] for event in events(run, "epoch")][:2] == [1, 4]


class Wrapped(torch.Tensor):
    """A tensor around another one, as those that are quantised or sharded by libraries."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        def unwrapped(value):
            return value.inner if isinstance(value, Wrapped) else value

        found = function(*tree_map(unwrapped, args), **tree_map(unwrapped, kwargs or {}))
        return tree_map(lambda value: Wrapped(value) if isinstance(value, torch.Tensor) else value, found)


def test_parameters_that_wrap_others_are_left_alone_and_said_to_be_unseen():
    parameter = torch.nn.Parameter(Wrapped(torch.ones(3)))
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            (parameter * 2.0).sum().backward()
            optimizer.step()

    assert "without values of its own" in facts(run, "unseen")[-1]["parameters"]
    assert readings(run, "grad_norm") == []
    assert fault_parts(run) == []
    assert torch.allclose(parameter.inner, torch.full((3,), 0.4))
