"""What is told of a model: its parts, modes and norm layers."""

import copy
import gc
import weakref

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import data, events, facts, fault_parts, mlp, readings, step, subjects, tracked
from tracker.probes.activations import Activations
from tracker.probes.modules import Modules
from tracker.probes.passes import Passes


def train(model, x, y, steps=4, parameters=None):
    """Trains in a run of its own; the run."""
    optimizer = torch.optim.SGD(parameters if parameters is not None else model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(steps):
            step(model, optimizer, x, y)
    assert fault_parts(run) == []
    return run


def told(run, label=""):
    """What was told last of a model."""
    return facts(run, "model")[-1][label]


def test_a_model_is_described_with_the_shapes_it_puts_out():
    run = train(mlp(), *data())

    assert facts(run, "model") == [
        {
            "": {
                "class": "Sequential", "wrapper": "", "parameters": 83, "trainable": 83, "modules": 4,
                "layers": {
                    "0": {"class": "Linear", "parameters": 56, "output": [24, 8]},
                    "1": {"class": "ReLU", "parameters": 0, "output": [24, 8]},
                    "2": {"class": "Linear", "parameters": 27, "output": [24, 3]},
                },
                "n_layers": 3, "frozen": [], "n_frozen": 0, "uncalled": [], "n_uncalled": 0, "unregistered": [],
                "n_unregistered": 0,
                "calls": {
                    "0": {"at": 1, "bare": True, "graphed": True},
                    "2": {"at": 2, "bare": False, "graphed": True},
                },
                "dropout": 0, "norms": 0, "static_norms": [],
            }
        }
    ]  # fmt: skip


def test_layers_for_sequences_are_told_with_the_order_of_their_dimensions():
    class Sequences(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(2, 4)
            self.body = nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, batch_first=True)
            self.unused = nn.LSTM(2, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            return self.head(self.body(self.rnn(x.reshape(len(x), 3, 2))[0])[:, -1])

    run = train(Sequences(), *data())

    assert told(run)["sequences"] == {
        "rnn": {"class": "GRU", "batch_first": False, "output": [24, 3, 4]},
        "body.self_attn": {"class": "MultiheadAttention", "batch_first": True, "output": [24, 3, 4]},
    }


class Parts(nn.Module):
    """Holds parts that are frozen, never called, not registered, or used without being called."""

    def __init__(self):
        super().__init__()
        self.backbone = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6)).requires_grad_(False)
        self.head = nn.Linear(6, 3)
        self.forgotten = nn.Sequential(nn.Linear(6, 6), nn.ReLU())
        self.by_weight = nn.Linear(6, 6)
        self.attend = nn.MultiheadAttention(6, 1)
        self.not_needed = nn.ReLU()
        self.hidden = [nn.Linear(6, 6), {"deep": nn.Linear(6, 6)}]
        self.scale = {"gain": nn.Parameter(torch.ones(6))}
        self.known = [self.head]
        object.__setattr__(self, "teacher", nn.Linear(6, 6).requires_grad_(False))

    def forward(self, x):
        h = functional.linear(self.backbone(x), self.by_weight.weight, self.by_weight.bias)
        h = self.hidden[0](self.attend(h, h, h)[0]) * self.scale["gain"]
        return self.head(h)


def test_frozen_uncalled_and_unregistered_parts_are_named():
    model = Parts()
    run = train(model, *data(), parameters=[*model.parameters(), *model.hidden[0].parameters()])
    found = told(run)

    assert found["frozen"] == ["backbone"]
    assert found["uncalled"] == ["forgotten"]
    assert {(item["path"], item["class"], item["trainable"], item["owned"]) for item in found["unregistered"]} == {
        ("hidden[0]", "Linear", True, True), ("hidden[1]['deep']", "Linear", True, False),
        ("scale['gain']", "Parameter", True, False), ("teacher", "Linear", False, False),
    }  # fmt: skip


def test_a_part_counts_as_uncalled_only_after_some_passes():
    model = Parts()
    first = train(model, *data(), steps=1)

    assert told(first)["uncalled"] == []


def test_a_part_that_is_unfrozen_later_is_told():
    model, (x, y) = Parts(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for number in range(6):
            step(model, optimizer, x, y)
            if number == 3:
                model.backbone.requires_grad_(True)

    assert [fact[""]["frozen"] for fact in facts(run, "model")][-2:] == [["backbone"], []]


def test_a_head_that_is_replaced_is_described_anew():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for number in range(4):
            step(model, optimizer, x, y)
            if number == 1:
                model[2] = nn.Sequential(nn.Linear(8, 4), nn.Linear(4, 3))
    found = told(run)

    assert found["modules"] == 6
    assert "2.1" in found["layers"]


def regularised():
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))


def test_modes_are_told_when_they_change():
    model, (x, y) = regularised(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for epoch in range(3):
            for _ in range(12):
                step(model, optimizer, x, y)
            model.eval()
            with torch.no_grad():
                model(x)
            if epoch != 1:
                model.train()
    found = [
        (event.step, *(event.data[key] for key in ("kind", "training", "grad", "dropout", "norms")))
        for event in events(run, "mode")
    ]

    assert found == [
        (0, "training", True, True, 1, 1),
        (12, "evaluation", False, False, 0, 0),
        (24, "unclear", False, True, 0, 0),  # `train()` was forgotten; whether a backward follows is not seen here
        (30, "training", False, True, 0, 0),
    ]


def test_an_evaluation_that_records_a_graph_is_no_training():
    model, (x, y) = regularised(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(5):
            step(model, optimizer, x, y)
            model.eval()
            model(x)
            model.train()

    assert [(event.step, event.data["kind"], event.data["training"]) for event in events(run, "mode")] == [
        (0, "training", True), (1, "unclear", False),
    ]  # fmt: skip


def test_an_evaluation_in_training_mode_is_told():
    model, (x, y) = regularised(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(12):
            step(model, optimizer, x, y)
        with torch.no_grad():
            model(x)
        for _ in range(3):
            step(model, optimizer, x, y)

    assert [(event.step, event.data["grad"], event.data["training"]) for event in events(run, "mode")] == [
        (0, True, True), (12, False, True),
    ]  # fmt: skip


def test_parts_in_another_mode_are_named():
    model = regularised()
    model[1].eval()
    run = train(model, *data())

    assert [event.data["deviating"] for event in events(run, "mode")] == [["1"]]
    assert events(run, "mode")[0].data["norms"] == 0


def test_the_statistics_of_norm_layers_are_those_of_their_buffers():
    model, (x, y) = regularised(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        step(model, optimizer, 3 * x + 2, y)
        norm = model[1]
        expected = [norm.running_mean.abs().max().item(), norm.running_var.min().item(), norm.running_var.max().item()]

    found = [readings(run, f"norm/{what}", "1") for what in ("mean", "var_low", "var_high")]
    assert found == [[(0, pytest.approx(value, rel=1e-6))] for value in expected]


def test_a_norm_layer_that_counts_no_batch_is_told():
    class Bypassed(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc, self.norm = nn.Linear(6, 3), nn.BatchNorm1d(3)

        def forward(self, x):
            h = self.fc(x)
            return functional.batch_norm(h, None, None, self.norm.weight, self.norm.bias, training=True)

    skipped, healthy = train(Bypassed(), *data()), train(regularised(), *data())

    assert told(skipped)["static_norms"] == ["norm"]
    assert told(healthy)["static_norms"] == []


def test_several_models_are_told_apart_by_their_variables():
    with tracked() as run:
        generator, critic = nn.Sequential(nn.Linear(4, 6), nn.ReLU()), nn.Sequential(nn.Linear(6, 1), nn.Tanh())
        g_opt, d_opt = torch.optim.SGD(generator.parameters(), 0.1), torch.optim.SGD(critic.parameters(), 0.1)
        for _ in range(4):
            fake = generator(torch.randn(32, 4))
            (critic(torch.randn(32, 6)).mean() - critic(fake.detach()).mean()).backward()
            d_opt.step()
            critic(fake).mean().backward()
            g_opt.step()
    names = {name.rpartition(".")[0] for name in subjects(run, "grad_norm")} - {""}

    assert names == {"generator.0", "critic.0"}
    assert set(facts(run, "model")[-1]) == {"generator", "critic"}
    assert subjects(run, "output/rms") == {"generator.0", "generator.1", "critic.0", "critic.1"}
    assert {event.data["model"] for event in events(run, "mode")} == {"generator", "critic"}


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 2), nn.Linear(2, 6)


def test_parts_that_are_called_by_themselves_keep_their_names_in_the_model():
    model, (x, _) = Coder(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            functional.mse_loss(model.decoder(model.encoder(x)), x).backward()
            optimizer.step()

    assert subjects(run, "output/rms") == {"encoder", "decoder"}
    assert set(facts(run, "model")[-1]) == {"encoder", "decoder"}


def test_a_teacher_that_nobody_trains_is_named_after_its_variable():
    student, teacher, (x, _) = mlp(), mlp(seed=1), data()
    teacher.requires_grad_(False)
    optimizer = torch.optim.SGD(student.parameters(), 0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            with torch.no_grad():
                target = teacher(x)
            functional.mse_loss(student(x), target).backward()
            optimizer.step()
    modes = {event.data["model"]: event.data["grad"] for event in events(run, "mode")}

    assert modes == {"": True, "teacher": False}


def test_a_wrapper_is_told_and_the_model_in_it_is_the_same():
    inner, (x, y) = mlp(), data()
    wrapped = nn.DataParallel(inner)
    optimizer = torch.optim.SGD(wrapped.parameters(), 0.01)
    with tracked() as run:
        for _ in range(4):
            step(wrapped, optimizer, x, y)
            with torch.no_grad():
                inner(x)
    parameters = {name.rpartition(".")[0] for name in subjects(run, "grad_norm")} - {""}

    assert parameters < subjects(run, "output/rms")
    assert told(run)["wrapper"] == "DataParallel"
    assert [(event.data["model"], event.data["kind"]) for event in events(run, "mode")] == [
        ("", "training"), ("", "evaluation"),
    ]  # fmt: skip


def test_lazy_modules_are_described_once_they_have_a_shape():
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(3))
    x, y = data()
    with tracked() as run:
        model(x)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(3):
            step(model, optimizer, x, y)

    assert told(run)["parameters"] == 83


def test_lists_are_bounded_and_counted():
    model = nn.Sequential(*[nn.Linear(6, 6) for _ in range(80)], nn.Linear(6, 3))
    for layer in list(model)[:70]:
        layer.requires_grad_(False)
    run = train(model, *data())
    found = told(run)

    assert (len(found["layers"]), found["n_layers"]) == (50, 81)
    assert (len(found["frozen"]), found["n_frozen"]) == (50, 70)


def test_a_model_that_is_gone_is_not_kept():
    gc.collect()
    gc.disable()
    try:
        with tracked():
            model, (x, y) = regularised(), data()
            functional.cross_entropy(model(x), y).backward()
            kept = [weakref.ref(model), *(weakref.ref(part) for part in model.modules())]
            del model

            assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


def test_copies_that_are_made_at_every_step_leave_nothing_behind():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(40):
            learner = copy.deepcopy(model)
            functional.cross_entropy(learner(x), y).backward()
            step(model, optimizer, x, y)
        del learner
        gc.collect()
        training = run._session.training

        assert len(training.probe(Passes)._models) == 1
        assert len(training.probe(Modules)._known) == 1
        assert len(training.probe(Activations)._plans) == 1
        assert set(facts(run, "model")[-1]) == {"", "learner"}


class Cut(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.first, self.second, self.how = nn.Linear(6, 8), nn.Linear(8, 3), how

    def forward(self, x):
        if self.how == "no_grad":
            with torch.no_grad():
                return self.second(self.first(x))
        return self.second(self.first(x).detach() if self.how == "detach" else self.first(x))


@pytest.mark.parametrize(("how", "graphed", "bare"), [("", True, False), ("detach", True, True)])
def test_where_the_graph_is_cut_is_seen_by_what_the_next_layer_is_given(how, graphed, bare):
    calls = told(train(Cut(how), *data()))["calls"]

    assert calls["first"] == {"at": 1, "bare": True, "graphed": graphed}
    assert calls["second"] == {"at": 2, "bare": bare, "graphed": True}


@pytest.mark.parametrize(
    ("between", "share"), [((), 0.4), ((nn.Linear(8, 8),), None), ((nn.ReLU(),), None), ((nn.Dropout(0.0),), None)]
)
def test_a_norm_layer_that_is_given_what_a_dropout_left_is_told(between, share):
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.4), *between, nn.BatchNorm1d(8), nn.Linear(8, 3))

    calls = told(train(model, *data()))["calls"]

    assert calls[str(2 + len(between))].get("dropped") == share


def test_samples_of_one_prediction_are_told_from_an_evaluation():
    model, (x, y) = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 3)), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(4):
            step(model, optimizer, x, y)
        with torch.no_grad():
            for _ in range(5):
                model(x)

    assert [event.data["kind"] for event in events(run, "mode")] == ["training", "evaluation", "sampling"]
