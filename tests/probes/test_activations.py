"""What is read of the outputs of modules, against slow references computed beside them."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import data, events, facts, fault_parts, mlp, readings, step, subjects, tracked
from tracker.probes import activations
from tracker.probes.activations import MOST_MODULES


def train(model, x, y, steps=1):
    """Trains in a run of its own; the run."""
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        for _ in range(steps):
            step(model, optimizer, x, y)
    assert fault_parts(run) == []
    return run


def value(run, signal, subject):
    """The first reading of a signal."""
    return readings(run, signal, subject)[0][1]


class Recorded:
    """The outputs of each module in the passes since, by name, computed without a run."""

    def __init__(self, model, x):
        self.outputs = {}
        handles = [
            module.register_forward_hook(
                lambda m, a, out, name=name: self.outputs.__setitem__(name, out.detach().clone())
            )
            for name, module in model.named_modules()
        ]
        with torch.no_grad():
            model(x)
        for handle in handles:
            handle.remove()


def test_scale_and_variance_are_those_of_the_output():
    model, (x, y) = mlp(), data()
    outputs = Recorded(model, x).outputs
    run = train(model, x, y)

    assert subjects(run, "output/rms") == {"0", "1", "2"}
    for name in ("0", "1", "2"):
        wide = outputs[name].double()
        assert value(run, "output/rms", name) == pytest.approx(wide.square().mean().sqrt().item(), rel=1e-5)
        assert value(run, "output/variance", name) == pytest.approx(wide.var(0).mean().item(), rel=1e-5)


def test_a_small_variance_beside_a_large_mean_is_not_lost():
    model, (x, y) = nn.Linear(6, 3), data()
    with torch.no_grad():
        model.weight.mul_(1e-3)
        model.bias.fill_(100.0)
        expected = model(x).double().var(0).mean().item()
    run = train(model, x, y)

    assert expected < 1e-5
    assert value(run, "output/variance", "") == pytest.approx(expected, rel=0.02)


def conv_net(activation, units_dead=0, bias=-100.0):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), activation, nn.Flatten(), nn.Linear(8 * 36, 3))
    with torch.no_grad():
        model[0].bias[:units_dead] = bias
    return model


@pytest.mark.parametrize(
    ("activation", "bias"),
    [
        (nn.ReLU(), -5.0), (nn.ReLU(inplace=True), -5.0), (nn.Hardswish(), -9.0), (nn.GELU(), -8.0), (nn.SiLU(), -20.0),
        (nn.Mish(), -20.0),
    ],
)  # fmt: skip
def test_the_dead_share_counts_channels_that_are_zero_for_every_sample_and_place(activation, bias):
    x, y = torch.randn(12, 1, 8, 8), torch.randint(0, 3, (12,))
    run = train(conv_net(activation, 3, bias), x, y)

    assert value(run, "output/dead", "1") == 3 / 8
    assert subjects(run, "output/dead") == {"1"}
    assert subjects(run, "output/saturated") == set()


def test_a_sparse_activation_is_not_dead():
    model = conv_net(nn.ReLU())
    x, y = torch.randn(12, 1, 8, 8), torch.randint(0, 3, (12,))
    with torch.no_grad():
        model[0].bias.fill_(-0.8)
        zeros = (model[:2](x) == 0).float().mean().item()
    run = train(model, x, y)

    assert zeros > 0.85
    assert value(run, "output/dead", "1") == 0


def test_the_scale_in_front_of_an_activation_in_place_is_read_before_it_is_overwritten():
    model = conv_net(nn.ReLU(inplace=True), units_dead=3)
    x, y = torch.randn(12, 1, 8, 8), torch.randint(0, 3, (12,))
    run = train(model, x, y)

    assert value(run, "output/rms", "0") > 50
    assert value(run, "output/rms", "1") < 5


@pytest.mark.parametrize(
    ("activation", "scale"), [(nn.Tanh(), 2.5), (nn.Sigmoid(), 5.0), (nn.Softsign(), 5.0), (nn.Hardtanh(), 0.9)]
)
def test_the_saturated_share_counts_units_on_the_flat_part_for_every_sample(activation, scale):
    model = nn.Sequential(nn.Linear(6, 8), activation, nn.Linear(8, 3))
    x, y = data()
    with torch.no_grad():
        model[0].weight.zero_()
        model[0].bias[:3] = 1.5 * scale
        model[0].bias[3:] = scale
        model[0].bias[7] = -3 * scale
    run = train(model, x, y)

    assert value(run, "output/saturated", "1") == 4 / 8
    assert subjects(run, "output/dead") == set()


def test_the_saturation_is_the_share_of_values_on_the_flat_part():
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = torch.full((24, 1), 100.0), data()[1]
    x[:6] = 0.0
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].weight[:4] = 0.0
        model[0].bias.zero_()
    run = train(model, x, y)

    assert value(run, "output/saturation", "1") == pytest.approx(0.5 * 18 / 24)
    assert value(run, "output/saturated", "1") == 0


def test_one_sample_off_the_flat_part_is_enough():
    model = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 3))
    x, y = torch.full((24, 1), 100.0), data()[1]
    x[3] = 0.0
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.zero_()
    run = train(model, x, y)

    assert value(run, "output/saturated", "1") == 0


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 3)
        self.fc1, self.fc2 = nn.Linear(4, 6), nn.Linear(6, 3)
        with torch.no_grad():
            self.conv1.bias[:2] = -100.0
            self.fc1.bias[:3] = 100.0

    def forward(self, x):
        x = functional.max_pool2d(functional.relu(self.conv1(x)), 2)
        x = torch.tanh(self.fc1(self.conv2(x).mean((2, 3))))
        return self.fc2(functional.dropout(x, 0.5, self.training))


def test_activations_that_are_functions_are_seen_at_the_layer_they_are_given_to():
    run = train(Functional(), torch.randn(20, 1, 12, 12), torch.randint(0, 3, (20,)), steps=3)

    assert value(run, "output/dead", "conv1.relu()") == 2 / 8
    assert subjects(run, "output/dead") == {"conv1.relu()"}
    assert subjects(run, "output/saturated") == {"fc1.tanh()"}
    assert facts(run, "unseen") == [] or "activations" not in facts(run, "unseen")[-1]


def test_an_activation_module_is_not_taken_for_a_function():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 4, 3), nn.Tanh(), nn.Dropout(), nn.Flatten(),
        nn.Linear(4, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3)
    )  # fmt: skip
    run = train(model, torch.randn(20, 1, 8, 8), torch.randint(0, 3, (20,)))

    assert subjects(run, "output/dead") == {"1", "8"}
    assert subjects(run, "output/saturated") == {"4"}


def test_a_model_without_activations_says_so():
    run = train(nn.Linear(6, 3), *data(), steps=3)

    assert "fewer than 16 samples" in facts(run, "unseen")[-1]["activations"]


def test_a_small_last_batch_hides_nothing():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for number in range(6):
            step(model, optimizer, *((x[:3], y[:3]) if number == 4 else (x, y)))

    assert len(readings(run, "output/dead", "1")) == 5
    assert all("activations" not in fact for fact in facts(run, "unseen"))


def test_few_samples_say_nothing_of_dead_units():
    x, y = data(15)
    run = train(mlp(), x, y)

    assert readings(run, "output/dead") == []
    assert len(readings(run, "output/rms", "1")) == 1


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.recur = nn.Embedding(10, 8), nn.LSTM(8, 8, batch_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.wide, self.act, self.norm = nn.Linear(8, 16), nn.ReLU(), nn.LayerNorm(16)
        self.head = nn.Linear(16, 3)
        with torch.no_grad():
            self.wide.weight[:4] = 0
            self.wide.bias[:4] = -1
            self.wide.bias[4:] = 1

    def forward(self, ids):
        h = self.recur(self.embed(ids))[0]
        h = h + self.attend(h, h, h)[0]
        return {"logits": self.head(self.norm(self.act(self.wide(h))).mean(1))}


def test_recurrent_and_attention_layers_are_read_and_features_are_the_last_dimension():
    model = Tokens()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    with tracked() as run:
        functional.cross_entropy(model(torch.randint(0, 10, (6, 5)))["logits"], torch.randint(0, 3, (6,))).backward()
        optimizer.step()

    assert value(run, "output/dead", "act") == 4 / 16
    assert subjects(run, "output/rms") == {"embed", "recur", "wide", "act", "norm", "head"}


def test_a_module_that_is_called_again_in_a_pass_has_its_number():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.act = nn.Linear(6, 8), nn.Linear(8, 4), nn.ReLU()
            self.head = nn.Linear(4, 3)
            with torch.no_grad():
                self.b.bias[:] = -100.0

        def forward(self, x):
            return self.head(self.act(self.b(self.act(self.a(x)))))

    run = train(Shared(), *data())

    assert value(run, "output/dead", "act") < 1
    assert value(run, "output/dead", "act#2") == 1


def test_only_passes_that_go_backward_are_read_and_of_those_the_first():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        model.eval()
        model(torch.zeros(24, 6))
        model.train()
        functional.cross_entropy(model(x), y).backward()
        functional.cross_entropy(model(100 * x), y).backward()
        with torch.no_grad():
            model(torch.ones(24, 6))
            expected = model[0](x).square().mean().sqrt().item()
        optimizer.step()

    assert readings(run, "output/rms", "0") == [(0, pytest.approx(expected, rel=1e-5))]


def test_steps_that_are_not_looked_at_closely_are_not_read():
    run = train(mlp(), *data(), steps=25)

    assert [at for at, _ in readings(run, "output/rms", "0")] == [*range(10), 10, 20]


class Divides(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.scale, self.head = nn.Linear(6, 6), Ratio(), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.scale(self.first(x)))


class Ratio(nn.Module):
    def __init__(self):
        super().__init__()
        self.by = nn.Parameter(torch.zeros(6))

    def forward(self, x):
        return x / self.by


@pytest.mark.filterwarnings("ignore")
def test_the_first_module_that_puts_out_no_number_is_named():
    run = train(Divides(), *data(), steps=4)
    first, *others = events(run, "nonfinite_output")

    assert first.data == {"module": "scale", "class": "Ratio", "input_finite": True, "model": ""}
    assert first.step == 0
    assert len(others) <= 4


def test_a_nan_in_the_input_is_told_as_such():
    x, y = data()
    x[2, 3] = float("nan")
    run = train(mlp(), x, y)

    assert [event.data["module"] for event in events(run, "nonfinite_output")] == ["0"]
    assert events(run, "nonfinite_output")[0].data["input_finite"] is False


def test_large_numbers_that_overflow_in_the_square_are_finite():
    model, (x, y) = mlp(), data()
    with torch.no_grad():
        model[0].weight.mul_(1e30)
        model[2].weight.mul_(1e-30)
    run = train(model, x, y)

    assert events(run, "nonfinite_output") == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_precisions_are_read(dtype):
    torch.manual_seed(0)
    model, (x, y) = mlp().to(dtype), data()
    outputs = Recorded(model, x.to(dtype)).outputs
    run = train(model, x.to(dtype), y)

    assert value(run, "output/rms", "0") == pytest.approx(outputs["0"].double().square().mean().sqrt().item(), rel=1e-2)
    assert len(readings(run, "output/dead", "1")) == 1


def test_what_cannot_be_measured_is_passed_over():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList(Gives() for _ in range(6))
            self.head = nn.Linear(6, 3)

        def forward(self, x):
            for part, given in zip(
                self.parts,
                (x[:0], x.to(torch.complex64), x.to_sparse(), None, x.sum(), {"a": [x.long()]}),
                strict=True,
            ):
                part(given)
            return self.head(x)

    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))

        def forward(self, x):
            return x

    run = train(Odd(), *data())

    assert subjects(run, "output/rms") == {"head"}


def test_a_large_batch_is_thinned_by_samples_and_never_by_units(monkeypatch):
    monkeypatch.setattr(activations, "STEP_ELEMENTS", 1 << 14)
    model = nn.Sequential(nn.Linear(6, 64), nn.ReLU(), nn.Linear(64, 3))
    with torch.no_grad():
        model[0].bias[:20] = -1000.0
    x, y = data(4096)
    outputs = Recorded(model, x).outputs
    run = train(model, x, y)

    assert value(run, "output/dead", "1") == 20 / 64
    assert value(run, "output/rms", "0") == pytest.approx(outputs["0"].square().mean().sqrt().item(), rel=0.05)


def test_of_a_deep_model_some_modules_are_read_from_first_to_last():
    layers = [layer for _ in range(100) for layer in (nn.Linear(6, 6), nn.ReLU())]
    run = train(nn.Sequential(*layers, nn.Linear(6, 3)), *data())
    found = subjects(run, "output/rms")

    assert len(found) == MOST_MODULES
    assert {"0", "200"} <= found


def test_nothing_is_read_while_a_profiler_looks():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        with torch.profiler.profile():
            functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    assert readings(run, "output/rms") == []


def test_the_default_device_and_autocast_change_nothing():
    model, (x, y) = mlp(), data()
    expected = Recorded(model, x).outputs["0"].square().mean().sqrt().item()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run, torch.device("meta"), torch.autocast("cpu", torch.bfloat16):
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    assert value(run, "output/rms", "0") == pytest.approx(expected, rel=1e-2)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_gpu_the_same_is_read_and_the_first_bad_module_is_named():
    model, (x, y) = Divides(), data()
    expected = Recorded(model.first, x).outputs[""].square().mean().sqrt().item()
    run = train(model.cuda(), x.cuda(), y.cuda(), steps=2)

    assert value(run, "output/rms", "first") == pytest.approx(expected, rel=1e-4)
    assert events(run, "nonfinite_output")[0].data == {
        "module": "scale", "class": "Ratio", "input_finite": None, "model": ""
    }  # fmt: skip
