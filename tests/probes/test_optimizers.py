"""Every kind of optimizer, those that come and go, and loops without one."""

import gc
import inspect
import subprocess
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import data, facts, fault_parts, mlp, readings, step, subjects, tracked
from tracker.probes.optimizers import Optimizers

CLASSES = sorted(
    name
    for name, kind in vars(torch.optim).items()
    if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
)
VARIANTS = [
    *((kind, {"fused": True}) for kind in ("SGD", "Adam", "AdamW", "Adagrad")),
    *((kind, {"foreach": True}) for kind in ("SGD", "Adam", "RMSprop", "NAdam", "Rprop")),
    ("Adam", {"amsgrad": True, "maximize": True}),
]


def train(make, n=4, model=None):
    model, (x, y) = model or mlp(), data()
    optimizer = make(model)

    def closure():
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    with tracked() as run, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n):
            closure()
            optimizer.step(closure) if isinstance(optimizer, torch.optim.LBFGS) else optimizer.step()
    return run


def parameters_for(name, model):
    # Muon takes matrices only.
    return [p for p in model.parameters() if p.dim() == 2] if name == "Muon" else list(model.parameters())


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "SparseAdam"])
def test_every_optimizer_of_torch_is_followed(name):
    run = train(lambda model: getattr(torch.optim, name)(parameters_for(name, model), lr=1e-3))

    assert run._session.step == 4
    assert len(readings(run, "update_ratio", "0.weight")) == 4
    assert subjects(run, "lr") == {"0"}
    assert facts(run, "optimizer")[-1][0]["class"] == name
    assert facts(run, "unseen") == []
    assert fault_parts(run) == []


@pytest.mark.parametrize(("name", "options"), VARIANTS)
def test_the_variants_of_an_optimizer_are_followed(name, options):
    run = train(lambda model: getattr(torch.optim, name)(model.parameters(), lr=1e-3, **options))

    assert run._session.step == 4
    assert len(readings(run, "update_ratio", "0.weight")) == 4
    assert fault_parts(run) == []


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer_that_can_be_differentiated_through_steps_what_is_no_leaf(name):
    leaf = torch.ones(3, requires_grad=True)
    weight = leaf.clone()
    weight.retain_grad()
    optimizer = getattr(torch.optim, name)([weight], lr=0.1, differentiable=True)
    with tracked() as run, warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            weight.grad = torch.ones(3)
            optimizer.step()

    assert run._session.step == 2
    assert fault_parts(run) == []


class Inner(torch.optim.Optimizer):
    """Wraps another optimizer, and shares its groups."""

    def __init__(self, inner):
        self.inner = inner
        super().__init__(inner.param_groups, {})
        self.param_groups = inner.param_groups

    def step(self, closure=None):
        return self.inner.step(closure)


class Accelerated(torch.optim.Optimizer):
    """Wraps another optimizer without being set up as one."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    @property
    def state(self):
        return self.optimizer.state

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


class Proxy:
    """Is no optimizer at all."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def step(self):
        self.optimizer.step()

    def zero_grad(self):
        self.optimizer.zero_grad()


@pytest.mark.parametrize("wrap", [Inner, Accelerated, Proxy])
def test_the_step_of_an_optimizer_in_another_is_one_step(wrap):
    model, (x, y) = mlp(), data()
    optimizer = wrap(torch.optim.SGD(model.parameters(), 0.1))
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    assert run._session.step == 3
    assert readings(run, "backwards") == [(0, 1)]
    assert [at for at, _ in readings(run, "grad_norm", "0.weight")] == [0, 1, 2]
    assert subjects(run, "lr") == {"0"}
    assert fault_parts(run) == []


def test_an_outer_optimizer_that_raises_does_not_hide_the_next_one():
    class Picky(Inner):
        def step(self, closure=None):
            raise RuntimeError("not now")

    model, (x, y) = mlp(), data()
    inner = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        functional.cross_entropy(model(x), y).backward()
        with pytest.raises(RuntimeError, match="not now"):
            Picky(inner).step()
        for _ in range(3):
            step(model, inner, x, y)

    assert run._session.step >= 3


def test_optimizers_made_anew_continue_each_other():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        for number in range(30):
            step(model, torch.optim.Adam(model.parameters(), 0.01 / (1 + number // 10)), x, y)
        held = len(run._session.training.owned)

    assert run._session.step == 30
    assert held == 1
    assert readings(run, "lr", "0") == [(0, 0.01), (10, 0.005), (20, pytest.approx(0.01 / 3))]
    assert subjects(run, "lr") == {"0"}
    assert subjects(run, "grad_norm") == {"", "0.weight", "0.bias", "2.weight", "2.bias"}
    assert len(facts(run, "optimizer")) == len(facts(run, "parameters")) == 1
    assert facts(run, "unseen") == []


def test_another_class_that_takes_over_is_told():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with tracked() as run:
        step(model, optimizer, x, y)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            step(model, optimizer, x, y)

    assert [entry["class"] for entry in facts(run, "optimizer")[-1]] == ["Adam", "SGD"]
    assert readings(run, "lr", "0") == [(0, 0.01), (1, 0.1)]


def test_a_new_model_for_each_fold_takes_the_place_of_the_one_that_is_gone():
    (x, y), folds = data(), 5
    with tracked() as run:
        for fold in range(folds):
            model = mlp(seed=fold)
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for _ in range(3):
                step(model, optimizer, x, y)
            del model, optimizer
            gc.collect()
        held = len(run._session.training.owned)

    assert run._session.step == 15
    assert held == 1
    assert subjects(run, "lr") == {"0"}


@pytest.mark.slow
def test_ten_thousand_optimizers_leave_nothing_behind():
    weight = torch.nn.Parameter(torch.ones(2))
    with tracked() as run:
        for _ in range(10_000):
            optimizer = torch.optim.SGD([weight], 1e-4)
            weight.sum().backward()
            optimizer.step()
        training = run._session.training
        held = (len(training._entries), len(training._expected), len(training._stepped))

    assert held == (1, 1, 0)
    assert run._session.step == 10_000


# -- by hand -----------------------------------------------------------------------------------------------------------


def by_version(parameters):
    with torch.no_grad():
        for p in parameters:
            p -= 0.1 * p.grad
            p.grad = None


def by_data(parameters):
    for p in parameters:
        p.data -= 0.1 * p.grad.data
        p.grad.data.zero_()


def by_foreach(parameters):
    with torch.no_grad():
        torch._foreach_add_(parameters, [p.grad for p in parameters], alpha=-0.1)
    for p in parameters:
        p.grad.zero_()


@pytest.mark.parametrize("update", [by_version, by_data, by_foreach])
def test_updates_by_hand_are_steps(update):
    model, (x, y) = mlp(), data()
    losses, norms = [], []
    with tracked() as run:
        for _ in range(12):
            loss = functional.cross_entropy(model(x), y)
            loss.backward()
            losses.append(loss.item())
            norms.append(model[0].weight.grad.norm().item())
            before = model[0].weight.detach().clone()
            update(list(model.parameters()))
            ratio = ((model[0].weight.detach() - before).norm() / before.norm()).item()

    assert run._session.step == 12
    assert readings(run, "loss") == list(enumerate(losses))
    assert readings(run, "backwards") == [(0, 1)]
    seen = dict(readings(run, "grad_norm", "0.weight"))
    assert seen == {n: pytest.approx(norms[n], rel=1e-5) for n in range(1, 11)}
    assert len(readings(run, "update_ratio", "0.weight")) >= 9
    assert ratio > 0
    assert facts(run, "optimizer")[-1][0]["class"] == "manual"
    assert facts(run, "parameters")[-1]["0.weight"]["shape"] == [8, 6]
    assert fault_parts(run) == []


def test_weights_that_are_made_anew_with_each_update_are_followed():
    w, (x, _) = torch.zeros(6, requires_grad=True), data()
    with tracked() as run:
        for _ in range(5):
            (x @ w - 1.0).square().mean().backward()
            w = (w - 0.1 * w.grad).detach().requires_grad_()

    assert [at for at, _ in readings(run, "loss")] == [0, 1, 2, 3, 4]
    assert fault_parts(run) == []


def test_backwards_that_change_nothing_are_no_steps():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        for _ in range(5):
            functional.cross_entropy(model(x), y).backward()
        for _ in range(5):
            image = x.clone().requires_grad_()
            functional.cross_entropy(model(image), y).backward()

    assert run._session.step == 0
    assert facts(run, "optimizer") == []


def test_weights_that_are_loaded_ahead_of_the_first_step_are_no_step():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        functional.cross_entropy(model(x), y).backward()
        model.load_state_dict(mlp(seed=1).state_dict())
        for _ in range(3):
            step(model, optimizer, x, y)

    assert run._session.step == 3
    assert [entry["class"] for entry in facts(run, "optimizer")[-1]] == ["SGD"]


def test_an_optimizer_that_comes_after_updates_by_hand_is_the_first():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        for _ in range(3):
            functional.cross_entropy(model(x), y).backward()
            by_version(list(model.parameters()))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            step(model, optimizer, x, y)

    assert 5 <= run._session.step <= 6
    assert subjects(run, "lr") == {"0"}
    assert fault_parts(run) == []


def test_accumulation_by_hand_counts_the_updates():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        for number in range(12):
            functional.cross_entropy(model(x), y).backward()
            if number % 3 == 2:
                by_version(list(model.parameters()))

    assert run._session.step == 4
    assert readings(run, "backwards") == [(0, 3)]


# -- out of sight ------------------------------------------------------------------------------------------------------


def test_steps_that_no_hook_is_called_for_are_said_to_be_out_of_sight():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(2):
            step(model, optimizer, x, y)
        for _ in range(3):
            functional.cross_entropy(model(x), y).backward()
            torch.optim.Adam.step.__wrapped__(optimizer)

    assert "3 steps" in facts(run, "unseen")[-1]["steps"]
    assert run._session.step == 2


COMPILED = """
import torch
from tests.trainings import data, facts, mlp, step, tracked

model, (x, y) = mlp(), data()
optimizer = torch.optim.Adam(model.parameters(), 0.01)

@torch.compile(backend="eager")
def whole():
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(x), y).backward()
    optimizer.step()

with tracked() as run:
    for _ in range(%d):
        step(model, optimizer, x, y)
    for _ in range(3):
        whole()
print(run._session.step, facts(run, "unseen")[-1]["steps"])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("plain", "said"), [(0, "0 The script compiles"), (2, "2 3 steps of an optimizer")])
def test_steps_within_a_compiled_function_are_said_to_be_out_of_sight(root, plain, said):
    out = subprocess.run([sys.executable, "-c", COMPILED % plain], cwd=root, capture_output=True, text=True, check=True)

    assert out.stdout.startswith(said)


def test_beneath_a_mode_of_the_users_nothing_of_ours_is_seen():
    from torch.utils._python_dispatch import TorchDispatchMode

    class Count(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.calls = []

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.calls.append(str(func))
            return func(*args, **(kwargs or {}))

    def counted(observe):
        model, (x, y) = mlp(), data()
        optimizer = torch.optim.SGD(model.parameters(), 0.1, foreach=False)
        count = Count()
        with tracked() if observe else count as run:
            if observe:
                with count:
                    step(model, optimizer, x, y)
                    step(model, optimizer, x, y)
            else:
                step(model, optimizer, x, y)
                step(model, optimizer, x, y)
        return count.calls, run

    bare, _ = counted(False)
    seen, run = counted(True)

    assert seen == bare
    assert run._session.step == 2
    assert "TorchDispatchMode" in facts(run, "unseen")[-1]["operations"]
    assert len(readings(run, "loss")) == 2


def test_a_default_device_does_not_get_in_the_way():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    torch.set_default_device("cpu")
    try:
        with tracked() as run:
            for _ in range(3):
                step(model, optimizer, x, y)
    finally:
        torch.set_default_device(None)

    assert len(readings(run, "grad_norm", "0.weight")) == 3
    assert "operations" not in str(facts(run, "unseen"))
    assert fault_parts(run) == []


def test_an_optimizer_at_the_address_of_one_that_is_gone_takes_neither_its_number_nor_its_place():
    kept, optimizers = [nn.Linear(2, 2) for _ in range(2)], Optimizers()
    frame = sys._getframe()
    first = torch.optim.SGD(kept[0].parameters(), 0.1)
    entry, _ = optimizers.add(first, frame, True)
    second = torch.optim.SGD(kept[1].parameters(), 0.1)
    # What memory does now and then: the address of the first is that of the second.
    optimizers._entries.clear()
    entry.key = id(second)
    optimizers._entries[entry.key] = entry
    del first
    gc.collect()

    added, before = optimizers.add(second, frame, False)

    assert before is None
    assert [one.number for one in optimizers] == [0, 1]
    assert optimizers.entry_of(second) is added
