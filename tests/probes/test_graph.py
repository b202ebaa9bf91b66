"""What the graph of a loss tells: what it reaches, who owns it, and what lies between the last layer and the loss."""

from __future__ import annotations

import gc
import warnings
from types import SimpleNamespace

import pytest
import torch
from torch import distributed as dist
from torch import nn
from torch.distributed.fsdp import fully_shard
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from tests.trainings import data, events, facts, fault_parts, mlp, tracked
from tracker.probes import walk as walks

X, Y = data()


def train(loss_of, *optimizers, steps=3):
    """The last fact `graph` of a run that trains with `loss_of()`, and the run."""
    with tracked() as run:
        for _ in range(steps):
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss_of().backward()
            for optimizer in optimizers:
                optimizer.step()
    assert fault_parts(run) == []
    return facts(run, "graph")[-1], run


def sgd(*modules):
    return torch.optim.SGD([p for module in modules for p in module.parameters()], 0.01)


LISTS = ("unreached", "unowned", "idle", "shared", "stale", "linear_pairs", "broadcast")


def faults(fact):
    """Whatever a fact says that is not as it should be."""
    return {key: fact[key] for key in LISTS if fact[key]} | ({"cut": fact["cut"]} if fact["cut"] else {})


def test_a_healthy_classifier_has_nothing_to_tell():
    model = mlp()
    fact, run = train(lambda: functional.cross_entropy(model(X), Y), sgd(model), steps=25)

    assert faults(fact) == {}
    assert fact["reached"] == 4
    assert fact["tails"] == [{"loss": "cross_entropy", "ops": [], "layer": "2.weight"}]
    assert len(facts(run, "graph")) == 1


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 8)
        self.head = nn.Linear(8, 3)
        self.spare = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def test_parameters_that_no_loss_reaches_are_named():
    model = Net()
    fact, _ = train(lambda: functional.cross_entropy(model(X), Y), sgd(model))

    assert faults(fact) == {"unreached": ["spare.weight", "spare.bias"], "cut": "part"}
    assert (fact["reached"], fact["n_unreached"]) == (4, 2)


def test_a_loss_that_is_cut_off_inside_the_model_reaches_its_end_only():
    model = Net()
    fact, _ = train(
        lambda: functional.cross_entropy(model.head(torch.relu(model.body(X)).detach()), Y), sgd(model.body, model.head)
    )

    assert fact["unreached"] == ["body.weight", "body.bias"]
    assert fact["cut"] == "part"


def test_a_parameter_that_no_optimizer_owns_is_named():
    model = Net()
    fact, _ = train(lambda: functional.cross_entropy(model(X), Y), sgd(model.body))

    assert fact["unowned"] == ["head.weight", "head.bias"]
    assert fact["idle"] == ["spare.weight", "spare.bias"]


def test_layers_in_a_plain_list_are_found_and_named():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(6, 8)]
            self.head = nn.Linear(8, 3)

        def forward(self, x):
            return self.head(torch.relu(self.layers[0](x)))

    model = Listed()
    fact, _ = train(lambda: functional.cross_entropy(model(X), Y), sgd(model))

    assert fact["unowned"] == ["layers[0].weight", "layers[0].bias"]


def test_a_layer_that_was_replaced_behind_the_optimizer_is_stale():
    model = Net()
    optimizer = sgd(model.body, model.head)
    model.head = nn.Linear(8, 3)
    fact, _ = train(lambda: functional.cross_entropy(model(X), Y), optimizer)

    assert (fact["n_stale"], fact["unreached"], fact["unowned"]) == (2, [], ["head.weight", "head.bias"])


def test_parameters_of_two_optimizers_that_both_step_are_shared():
    model = mlp()
    fact, _ = train(lambda: functional.cross_entropy(model(X), Y), sgd(model), sgd(model[2]))

    assert fact["shared"] == ["2.weight", "2.bias"]


def test_an_optimizer_made_anew_shares_nothing_with_the_one_before():
    model = mlp()
    with tracked() as run:
        for _ in range(3):
            optimizer = sgd(model)
            for _ in range(2):
                optimizer.zero_grad()
                functional.cross_entropy(model(X), Y).backward()
                optimizer.step()

    assert [fact["shared"] for fact in facts(run, "graph")] == [[]]


def test_optimizers_for_two_phases_share_nothing():
    model, phases = mlp(), []
    with tracked() as run:
        for kind in (torch.optim.SGD, torch.optim.Adam):
            phases.append(kind(model.parameters(), 0.01))
            for _ in range(4):
                phases[-1].zero_grad()
                functional.cross_entropy(model(X), Y).backward()
                phases[-1].step()

    assert [fact["shared"] for fact in facts(run, "graph")] == [[]]


def test_two_models_in_turn_are_healthy():
    generator = nn.Sequential(nn.Linear(4, 6), nn.Tanh())
    critic = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(), nn.Linear(8, 1))
    g_opt, d_opt = torch.optim.Adam(generator.parameters(), 0.01), torch.optim.Adam(critic.parameters(), 0.01)
    ones, zeros = torch.ones(8, 1), torch.zeros(8, 1)
    judge = functional.binary_cross_entropy_with_logits
    with tracked() as run:
        for _ in range(12):
            fake = generator(torch.randn(8, 4))
            d_opt.zero_grad()
            (judge(critic(torch.randn(8, 6)), ones) + judge(critic(fake.detach()), zeros)).backward()
            d_opt.step()
            g_opt.zero_grad()
            judge(critic(fake), ones).backward()
            g_opt.step()

    assert [faults(fact) for fact in facts(run, "graph")] == [{}]


def test_a_teacher_and_frozen_layers_are_healthy():
    model, teacher = Net(), mlp()
    model.spare.requires_grad_(False)

    def loss():
        with torch.no_grad():
            wanted = teacher(X)
        return functional.mse_loss(model(X), wanted)

    fact, _ = train(loss, sgd(model))

    assert faults(fact) == {}


def test_layers_that_are_thawed_later_are_reached_then():
    deep = nn.Sequential(*[layer for _ in range(15) for layer in (nn.Linear(6, 6), nn.ReLU())], nn.Linear(6, 3))
    deep[0].requires_grad_(False)
    optimizer = sgd(deep)
    with tracked() as run:
        for number in range(30):
            if number == 12:
                deep[0].requires_grad_(True)
            optimizer.zero_grad()
            functional.cross_entropy(deep(X), Y).backward()
            optimizer.step()

    assert [(fact["reached"], fact["unreached"]) for fact in facts(run, "graph")] == [(30, []), (32, [])]


@pytest.mark.parametrize(
    ("loss_of", "function", "ops"),
    [
        (lambda out: functional.cross_entropy(out.softmax(1), Y), "cross_entropy", ["softmax"]),
        (lambda out: functional.cross_entropy(out.log_softmax(1), Y), "cross_entropy", ["log_softmax"]),
        (lambda out: functional.cross_entropy(torch.relu(out), Y), "cross_entropy", ["relu"]),
        (lambda out: functional.cross_entropy(out.reshape(3, 8, 3).transpose(1, 2), Y.reshape(3, 8)),
         "cross_entropy", []),
        (lambda out: functional.cross_entropy(out * 3 + torch.ones(3), Y), "cross_entropy", ["add", "mul"]),
        (lambda out: functional.binary_cross_entropy_with_logits(out[:, 0].sigmoid(), (Y > 0).float()),
         "binary_cross_entropy_with_logits", ["sigmoid"]),
        (lambda out: functional.binary_cross_entropy(out[:, 0].sigmoid(), (Y > 0).float()),
         "binary_cross_entropy", ["sigmoid"]),
        (lambda out: functional.mse_loss(torch.tanh(out), torch.zeros(24, 3)), "mse_loss", ["tanh"]),
        (lambda out: functional.l1_loss(functional.leaky_relu(out), torch.zeros(24, 3)), "l1_loss", ["leaky_relu"]),
        (lambda out: -out.softmax(1).log_softmax(1)[torch.arange(24), Y].mean(), "cross_entropy", ["softmax"]),
        (lambda out: functional.nll_loss(out.softmax(1), Y), "nll_loss", ["softmax"]),
        (lambda out: functional.cross_entropy(functional.layer_norm(out, (3,)), Y), "cross_entropy", ["layer_norm"]),
    ],
)  # fmt: skip
def test_operations_between_the_last_layer_and_the_loss(loss_of, function, ops):
    model = mlp()
    fact, _ = train(lambda: loss_of(model(X)), sgd(model))

    assert fact["tails"] == [{"loss": function, "ops": ops, "layer": "2.weight"}]


@pytest.mark.parametrize(
    ("make", "pairs"),
    [
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 3)), [("0.weight", "1.weight", "linear", [6, 8, 3])]),
        (lambda: nn.Sequential(nn.Linear(6, 8, bias=False), nn.Dropout(0.2), nn.Unflatten(1, (2, 4)), nn.Flatten(1),
                               nn.Linear(8, 3, bias=False)), [("0.weight", "4.weight", "linear", [6, 8, 3])]),
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3)), []),
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)),
         [("0.weight", "2.weight", "linear", [6, 8, 3])]),
        (lambda: nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)), []),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 6, 1)), nn.Conv2d(1, 4, (3, 1)), nn.MaxPool2d((2, 1)), nn.Flatten(1),
                               nn.Linear(8, 3)), [("1.weight", "4.weight", "mixed", [1, 8, 3])]),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.Conv1d(4, 3, 4), nn.Flatten(1)),
         [("1.weight", "2.weight", "convolution", [1, 4, 3])]),
        (lambda: nn.Sequential(nn.Unflatten(1, (1, 6)), nn.Conv1d(1, 4, 3), nn.ReLU(), nn.Conv1d(4, 3, 4),
                               nn.Flatten(1)), []),
    ],
)  # fmt: skip
def test_layers_without_an_activation_between_them(make, pairs):
    model = make()
    fact, _ = train(lambda: functional.cross_entropy(model(X), Y), sgd(model))

    assert [(p["first"], p["second"], p["kind"], p["widths"]) for p in fact["linear_pairs"]] == pairs
    assert fact["linear"] == sum(1 for layer in model.modules() if isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)))


def test_attention_is_no_pair_of_linear_layers():
    layer = nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True)
    head = nn.Linear(6, 3)
    fact, _ = train(lambda: functional.cross_entropy(head(layer(X[:, None])).squeeze(1), Y), sgd(layer, head))

    assert faults(fact) == {}


COLUMN = Y.float()[:, None]


@pytest.mark.parametrize(
    ("loss_of", "expected"),
    [
        (lambda out: functional.mse_loss(out, Y.float()), ([24, 1], [24], [24, 24])),
        (lambda out: functional.mse_loss(out[:, 0], COLUMN), ([24], [24, 1], [24, 24])),
        (lambda out: functional.smooth_l1_loss(out, Y.float()), ([24, 1], [24], [24, 24])),
        (lambda out: functional.l1_loss(out, Y.float()), ([24, 1], None, [24, 24])),
        (lambda out: ((out - Y.float()) ** 2).mean(), ([24, 1], None, [24, 24])),
        (lambda out: functional.mse_loss(out.expand(24, 3), COLUMN), ([24, 1], [24, 1], [24, 3])),
        (lambda out: ((out - Y.float()) ** 2).mean().add(1e-8).sqrt(), ([24, 1], None, [24, 24])),
        (
            lambda out: torch.log(torch.cosh(out - Y.float())).mean() + 0.1 * out.pow(2).mean(),
            ([24, 1], None, [24, 24]),
        ),
        (lambda out: torch.max(0.9 * (Y - out), -0.1 * (Y - out)).mean(), ([24, 1], None, [24, 24])),
        (
            lambda out: -(Y.gt(0) * out.sigmoid().log() + Y.eq(0) * (1 - out.sigmoid()).log()).mean(),
            ([24, 1], None, [24, 24]),
        ),
        (lambda out: functional.relu(1 - (out - out.squeeze(1))).mean() + (out - Y).mean(), None),
        (lambda out: torch.sqrt(((out - COLUMN) ** 2).mean()), None),
        (lambda out: functional.mse_loss(out, COLUMN), None),
        (lambda out: functional.mse_loss(out.squeeze(1), Y.float()), None),
        (lambda out: (out.squeeze(1) - Y.float()).abs().mean(), None),
    ],
)
def test_outputs_that_are_repeated_to_fit_the_targets(loss_of, expected):
    model = mlp(n_out=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fact, _ = train(lambda: loss_of(model(X)), sgd(model))

    found = [(one["outputs"], one["targets"], one["result"]) for one in fact["broadcast"]]
    assert found == ([expected] if expected else [])


def test_a_loss_made_anew_as_a_leaf_trains_nothing():
    model = mlp()
    fact, run = train(
        lambda: torch.tensor(functional.cross_entropy(model(X), Y).item(), requires_grad=True), sgd(model)
    )

    assert fact["cut"] == "leaf"
    assert fact["reached"] == 0
    assert fact["n_unreached"] == 4
    assert [event.data for event in events(run, "loss_detached")] == [{"kind": "leaf", "raises": False}]


def test_a_loss_that_hangs_on_no_parameter():
    model, inputs = mlp(), X.clone().requires_grad_()
    fact, _ = train(lambda: inputs.pow(2).mean() + functional.cross_entropy(model(X).detach(), Y), sgd(model))

    assert (fact["cut"], fact["reached"], fact["n_unreached"], fact["unowned"]) == ("all", 0, 4, [])


@pytest.mark.parametrize("reentrant", [True, False])
def test_what_is_checkpointed_is_not_taken_to_be_out_of_reach(reentrant):
    model = Net()
    model.spare.requires_grad_(False)
    inputs = X.clone().requires_grad_()

    def loss():
        hidden = checkpoint(model.body, inputs, use_reentrant=reentrant)
        return functional.cross_entropy(model.head(torch.relu(hidden)), Y)

    fact, _ = train(loss, sgd(model))

    assert fact["unreached"] == []


def test_a_compiled_model_reaches_its_parameters_and_says_what_is_not_seen():
    torch.compiler.reset()
    model = mlp()
    fast = torch.compile(model, backend="aot_eager")
    fact, run = train(lambda: functional.cross_entropy(fast(X), Y), sgd(model))

    assert faults(fact) == {}
    assert fact["reached"] == 4
    torch.compiler.reset()  # else the tests behind this one run where something is compiled

    assert "compiled" in facts(run, "unseen")[-1]["loss tail"]


def test_a_graph_that_is_too_large_is_not_walked(monkeypatch):
    monkeypatch.setattr(walks.walk, "__defaults__", (50,))
    model = nn.Sequential(*[layer for _ in range(20) for layer in (nn.Linear(6, 6), nn.ReLU())])
    optimizer = sgd(model)
    with tracked() as run:
        for _ in range(2):
            model(X).sum().backward()
            optimizer.step()

    assert facts(run, "graph") == []
    assert "more operations" in facts(run, "unseen")[-1]["graph"]


def test_a_walk_finds_every_leaf_once():
    model = nn.Sequential(*[layer for _ in range(300) for layer in (nn.Linear(6, 6), nn.ReLU())])
    loss = model(X).sum() + model(X).mean()
    found = walks.walk(loss.grad_fn)

    assert found.is_whole
    assert sorted(map(id, found.leaves)) == sorted(map(id, model.parameters()))
    assert len(found.linear) == 600


def test_nothing_is_kept_alive_by_a_walk():
    gc.collect()
    gc.disable()
    try:
        model = mlp()
        optimizer = sgd(model)
        with tracked() as run:
            for _ in range(2):
                loss = functional.cross_entropy(model(X), Y) + 0.1 * model[0].weight.norm()
                graph_ends = loss.grad_fn.next_functions[0][0]
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
            found = walks.walk(graph_ends)
            del found
            references = len(gc.get_referrers(graph_ends))
    finally:
        gc.enable()

    assert facts(run, "graph")
    assert references == 0  # a frame's variable is none


def backward_only(loss_of, optimizer, n=20):
    """The last fact `graph` of a run in which `optimizer` never steps."""
    with tracked() as run:
        for _ in range(n):
            optimizer.zero_grad()
            loss_of().backward()
    assert fault_parts(run) == []
    return facts(run, "graph")[-1]


def test_an_optimizer_that_never_steps_is_told_though_no_step_ever_ends():
    model = mlp()

    fact = backward_only(lambda: functional.cross_entropy(model(X), Y), sgd(model))

    assert fact["unstepped"] == [{"class": "SGD", "parameters": 4}]


def test_one_of_two_optimizers_that_never_steps_is_told():
    first, second = mlp(6, 6), mlp(6, 3, seed=1)
    waiting = sgd(second)  # noqa: F841  it is in sight, as in a script that forgets it
    fact, _ = train(lambda: functional.cross_entropy(second(first(X)), Y), sgd(first), steps=5)

    assert fact["unstepped"] == [{"class": "SGD", "parameters": 4}]


class Wrapper(torch.optim.Optimizer):
    """As Accelerate's: its own beginning is never called, and another one steps for it."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    def step(self, closure=None):
        self.optimizer.step(closure)


def test_a_wrapper_that_comes_into_sight_long_after_the_first_step_does_not_stand_by():
    model = mlp()
    optimizer = sgd(model)

    def some(stepping, loss_of):
        for _ in range(20):
            optimizer.zero_grad()
            loss_of().backward()
            stepping.step()

    with tracked() as run:
        some(SimpleNamespace(step=optimizer.step), lambda: functional.cross_entropy(model(X), Y))
        wrapper = Wrapper(optimizer)
        some(wrapper, lambda: functional.cross_entropy(model(X), Y).exp().log())  # another graph: a look
        optimizer.zero_grad()
        (functional.cross_entropy(model(X), Y) * 2).backward()  # and one more, behind the last step

    assert facts(run, "graph")[-1]["unstepped"] == []


def test_an_optimizer_that_steps_in_a_later_phase_does_not_stand_by():
    model = mlp()
    head, whole = torch.optim.SGD(model[2].parameters(), 0.01), sgd(model)
    with tracked() as run:
        for optimizer in (head, whole):
            for _ in range(4):
                optimizer.zero_grad()
                functional.cross_entropy(model(X), Y).backward()
                optimizer.step()

    assert facts(run, "graph")[-1]["unstepped"] == []


def test_an_image_that_is_optimized_belongs_to_no_model():
    model, image = mlp(), torch.zeros(1, 6, requires_grad=True)
    fact, _ = train(lambda: model(image).sum(), torch.optim.SGD([image], 0.01))

    assert (fact["foreign"], fact["n_unowned"], fact["reached"]) == (1, 4, 5)


class Scaled(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.scale = torch.ones(3, requires_grad=True)
        self.heads = {"a": nn.Linear(3, 3)}

    def forward(self, x):
        return self.heads["a"](self.linear(x) * self.scale)


def test_tensors_and_layers_that_a_model_does_not_register_are_named_alike():
    model = Scaled()
    fact, run = train(lambda: functional.cross_entropy(model(X), Y), sgd(model))

    assert sorted(fact["unowned"]) == ["heads['a'].bias", "heads['a'].weight", "scale"]
    told = facts(run, "model")[-1][""]["unregistered"]
    assert {one["path"] for one in told} == {"heads['a']", "scale"}


def test_what_an_earlier_optimizer_has_trained_is_not_forgotten():
    model = mlp()

    def phase(parameters):
        optimizer = torch.optim.SGD(parameters, 0.01)
        for _ in range(4):
            optimizer.zero_grad()
            functional.cross_entropy(model(X), Y).backward()
            optimizer.step()

    with tracked() as run:
        phase(model.parameters())
        gc.collect()
        phase(model[2].parameters())

    assert facts(run, "graph")[-1]["unowned"] == []


@pytest.mark.parametrize(
    ("case", "told"), [("cached", ["1"]), ("copy", []), ("moving average", []), ("used", []), ("not owned", [])]
)
def test_a_part_that_is_only_called_without_gradients_is_named(case, told):
    head, body = nn.Linear(5, 3), nn.Linear(X.shape[1], 5)
    if case == "copy":
        head = nn.Sequential(nn.Linear(5, X.shape[1]), nn.Linear(X.shape[1], 5), nn.Linear(5, 3))
    both = nn.ModuleList([head, body])
    optimizer = torch.optim.SGD((head if case == "not owned" else both).parameters(), 0.01)
    with tracked() as run:
        for _ in range(30):
            with torch.set_grad_enabled(case == "used"):
                features = body(X)
            if case == "moving average":
                with torch.no_grad():
                    body.weight.mul_(0.99)
            optimizer.zero_grad()
            functional.cross_entropy(head(features), Y).backward()
            optimizer.step()

    assert fault_parts(run) == []
    assert facts(run, "graph")[-1]["ungraphed"] == told


@pytest.fixture
def alone():
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_sharded_parameters_are_not_taken_for_unreached(alone):
    model = mlp()
    fully_shard(model[0])
    fully_shard(model)
    optimizer = sgd(model)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            functional.cross_entropy(model(X), Y).backward()
            optimizer.step()

    assert fault_parts(run) == []
    assert facts(run, "graph") == []
    assert "sharded" in facts(run, "unseen")[-1]["graph"]
