"""What passes through an untouched model is measured; only gross faults fail."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from tracker import preflight

GENERATOR = torch.Generator().manual_seed(0)
VECTORS = torch.randn(64, 64, generator=GENERATOR)
LABELS = torch.randint(0, 10, (64,), generator=GENERATOR)
IMAGES = torch.randn(16, 1, 12, 12, generator=GENERATOR)
TOKENS = torch.randint(0, 50, (8, 12), generator=GENERATOR)
CROSS_ENTROPY = nn.CrossEntropyLoss()


def signal(model, loss=CROSS_ENTROPY, batch=(VECTORS, LABELS), **options):
    """The row of the drill, and what it measured."""
    result = preflight(model, loss, batch, only=("signal-propagation",), log=False, **options)
    facts = [one.value for one in result._judged.records if getattr(one, "name", "") == "drill/signal-propagation"]
    return result.row("signal-propagation"), facts[0] if facts else {}


def rules(row):
    return {one["rule"] for one in row.findings}


def mlp(depth, activation=nn.ReLU, norm=None, outputs=10):
    torch.manual_seed(0)
    layers = []
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), *([norm(64)] if norm else []), activation()]
    return nn.Sequential(*layers, nn.Linear(64, outputs))


def begun(model, begin):
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            begin(module)
    return model


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(30 * x)


class Residual(nn.Module):
    """Residual blocks whose last layers, and whose head, begin at zero."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(64), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)) for _ in range(6)
        )
        self.head = nn.Linear(64, 10)
        for block in self.blocks:
            nn.init.zeros_(block[-1].weight)
        nn.init.zeros_(self.head.weight)

    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return self.head(x)


class Convolutions(nn.Module):
    def __init__(self, norm):
        super().__init__()
        torch.manual_seed(0)
        layers = []
        for size in (1, 16, 16, 16, 16, 16):
            layers += [
                nn.Conv2d(size, 16, 3, padding=1),
                *([nn.BatchNorm2d(16)] if norm else []),
                nn.ReLU(inplace=True),
            ]
        self.features, self.head = nn.Sequential(*layers), nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.features(x).mean((2, 3)))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.embedding, self.encoder = nn.Embedding(50, 32), nn.TransformerEncoder(layer, 2)
        self.place, self.head = nn.Parameter(torch.zeros(1, 12, 32)), nn.Linear(32, 50)

    def forward(self, ids):
        return self.head(self.encoder(self.embedding(ids) + self.place)).transpose(1, 2)


class Recurrent(nn.Module):
    """Tied weights: the last layer is the embedding."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.recurrent = nn.Embedding(50, 16), nn.LSTM(16, 16, 2, batch_first=True)
        self.head = nn.Linear(16, 50)
        self.head.weight = self.embedding.weight

    def forward(self, ids):
        return self.head(self.recurrent(self.embedding(ids))[0]).transpose(1, 2)


class LastState(nn.Module):
    """Of the two outputs of an LSTM one is not used, and gets no gradient."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.recurrent, self.head = nn.LSTM(8, 16), nn.Linear(16, 10)

    def forward(self, x):
        return self.head(self.recurrent(x.reshape(len(x), -1, 8).transpose(0, 1))[1][0][-1])


class Adapted(nn.Module):
    """A frozen layer with a low-rank adapter, one half of which begins at zero."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.down, self.up = nn.Linear(64, 64), nn.Linear(64, 4, bias=False), nn.Linear(4, 64, bias=False)
        self.layer.requires_grad_(False)
        nn.init.zeros_(self.up.weight)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(torch.relu(self.layer(x) + self.up(self.down(x))))


class Cut(nn.Module):
    """Somewhere between its two parts the graph may end."""

    def __init__(self, how):
        super().__init__()
        self.encoder, self.head, self.how = mlp(3, outputs=32), nn.Linear(32, 10), how

    def forward(self, x):
        if self.how == "no_grad":
            with torch.no_grad():
                x = self.encoder(x)
            return self.head(x)
        if self.how == "detach":
            return self.head(self.encoder(x).detach())
        if self.how == "sign":
            return self.head(torch.sign(self.encoder(x)))
        return self.head(self.encoder(x)).detach()


def generator():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Unflatten(1, (16, 2, 2)), nn.ConvTranspose2d(16, 8, 4, 2, 1),
        nn.BatchNorm2d(8), nn.ReLU(), nn.ConvTranspose2d(8, 1, 4, 2, 1), nn.Tanh(),
    )  # fmt: skip


HEALTHY = {
    "eight layers": lambda: (mlp(8), CROSS_ENTROPY, (VECTORS, LABELS)),
    "twelve layers": lambda: (mlp(12), CROSS_ENTROPY, (VECTORS, LABELS)),
    "tanh": lambda: (mlp(8, nn.Tanh), CROSS_ENTROPY, (VECTORS, LABELS)),
    "three sigmoids": lambda: (mlp(4, nn.Sigmoid), CROSS_ENTROPY, (VECTORS, LABELS)),
    "layer norm": lambda: (mlp(16, norm=nn.LayerNorm), CROSS_ENTROPY, (VECTORS, LABELS)),
    "zero residual": lambda: (Residual(), CROSS_ENTROPY, (VECTORS, LABELS)),
    "batch norm": lambda: (Convolutions(norm=True), CROSS_ENTROPY, (IMAGES, LABELS[:16])),
    "convolutions": lambda: (Convolutions(norm=False), CROSS_ENTROPY, (IMAGES, LABELS[:16])),
    "transformer": lambda: (Transformer(), CROSS_ENTROPY, (TOKENS, TOKENS)),
    "tied recurrent": lambda: (Recurrent(), CROSS_ENTROPY, (TOKENS, TOKENS)),
    "last state": lambda: (LastState(), CROSS_ENTROPY, (VECTORS, LABELS)),
    "adapter": lambda: (Adapted(), CROSS_ENTROPY, (VECTORS, LABELS)),
    "siren": lambda: (mlp(3, Sine, outputs=1), nn.MSELoss(), (VECTORS, VECTORS[:, :1])),
    "generator": lambda: (generator(), lambda output, _: output.square().mean(), (VECTORS, LABELS)),
    "autoencoder": lambda: (nn.Sequential(mlp(3, outputs=64), nn.Sigmoid()), nn.MSELoss(), (VECTORS, VECTORS)),
    "linear at zero": lambda: (begun(mlp(1), lambda m: nn.init.zeros_(m.weight)), CROSS_ENTROPY, (VECTORS, LABELS)),
    "one sample": lambda: (mlp(3), CROSS_ENTROPY, (VECTORS[:1], LABELS[:1])),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_found_in_a_healthy_model(name):
    row, _ = signal(*HEALTHY[name]())

    assert row.findings == ()
    assert row.status == "passed"


def dead():
    model = mlp(4)
    nn.init.constant_(model[2].bias, -100)
    return model


FAULTY = {
    "weights of 1": (lambda: begun(mlp(8), lambda m: nn.init.normal_(m.weight)), "exploding-signal-at-start"),
    "weights times 100": (lambda: begun(mlp(3), lambda m: m.weight.data.mul_(100)), "exploding-signal-at-start"),
    "tiny weights": (lambda: begun(mlp(10), lambda m: m.weight.data.mul_(0.01)), "vanishing-signal-at-start"),
    "ten sigmoids": (lambda: mlp(11, nn.Sigmoid), "vanishing-signal-at-start"),
    "five sigmoids": (lambda: mlp(6, nn.Sigmoid), "vanishing-signal-at-start"),
    "thirty layers": (lambda: mlp(30), "vanishing-signal-at-start"),
    "constants": (lambda: begun(mlp(3), lambda m: nn.init.constant_(m.weight, 0.1)), "symmetric-units-at-start"),
    "dead": (dead, "dead-at-start"),
    "saturated": (lambda: begun(mlp(4, nn.Tanh), lambda m: m.weight.data.mul_(300)), "saturated-at-start"),
    "no_grad": (lambda: Cut("no_grad"), "cut-gradient-at-start"),
    "detach": (lambda: Cut("detach"), "cut-gradient-at-start"),
    "sign": (lambda: Cut("sign"), "zero-gradient-at-start"),
    "output": (lambda: Cut("output"), "unconnected-loss-at-start"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_gross_fault_is_found(name):
    make, rule = FAULTY[name]
    row, _ = signal(make())

    assert rule in rules(row)
    assert row.status == "failed"


def test_weights_and_biases_of_zero_pass_no_gradient():
    row, _ = signal(begun(mlp(4), lambda m: (nn.init.zeros_(m.weight), nn.init.zeros_(m.bias))))

    assert rules(row) >= {"zero-gradient-at-start", "dead-at-start"}


def test_copies_behind_dropout_are_still_copies():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 10))
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[:1].expand(32, 64))
        model[3].weight.fill_(0.1)
        model[0].bias.zero_()
    row, told = signal(model, lambda output, labels: output.square().mean())

    assert told["same_units"][0]["name"] == "0.weight"
    assert "symmetric-units-at-start" in rules(row)


def test_a_loss_that_was_made_anew_reaches_nothing():
    row, _ = signal(mlp(3), lambda o, y: torch.tensor(functional.cross_entropy(o, y).item(), requires_grad=True))

    assert rules(row) == {"unconnected-loss-at-start"}


def test_a_part_that_the_loss_does_not_need_is_a_note():
    model = nn.ModuleDict({"main": mlp(3), "aux": mlp(2)})
    model.forward = lambda x: (model["main"](x), model["aux"](x))
    row, told = signal(model, lambda output, y: functional.cross_entropy(output[0], y))

    assert (told["n_unreached"], told["uncalled"], told["cut"]) == (4, 0, None)
    assert rules(row) == {"unreached-at-start"}
    assert row.status == "passed"


def test_what_passes_through_is_measured_layer_by_layer():
    model = mlp(3)
    _, told = signal(model)
    with torch.no_grad():
        hidden = model[0](VECTORS)
    first, relu = told["layers"][0], told["layers"][1]

    assert [one["class"] for one in told["layers"]] == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert first["rms"] == pytest.approx(float(hidden.square().mean().sqrt()), rel=1e-5)
    assert first["spread"] == pytest.approx(float(hidden.var(0, correction=0).mean().sqrt()), rel=1e-4)
    assert relu["dead"] == pytest.approx(float((hidden.relu().amax(0) == 0).float().mean()))
    assert told["depth"] is None  # the last layer is no hidden one, and two are too few
    assert (relu["units"], relu["samples"], relu["hidden"], told["layers"][-1]["hidden"]) == (64, 64, True, False)
    assert told["input_spread"] == pytest.approx(float(VECTORS.var(0, correction=0).mean().sqrt()), rel=1e-4)


def test_the_gradient_at_a_layer_is_that_of_autograd():
    model = mlp(2)
    _, told = signal(model)
    hidden = model[0](VECTORS)
    hidden.retain_grad()
    functional.cross_entropy(model[2](model[1](hidden)), LABELS).backward()

    assert told["layers"][0]["gradient"] == pytest.approx(float(hidden.grad.norm()), rel=1e-4)


def test_everything_is_as_it_was_and_no_hook_is_left():
    model = Convolutions(norm=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    before = {name: one.clone() for name, one in model.state_dict().items()}
    state = torch.get_rng_state()
    signal(model, batch=(IMAGES, LABELS[:16]), optimizer=optimizer)

    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert all(not module._forward_hooks and not module._forward_hooks_with_kwargs for module in model.modules())
    assert all(one._backward_hooks is None and one.grad is None for one in model.parameters())
    assert not optimizer.state
    assert torch.equal(torch.get_rng_state(), state)


def test_hooks_are_gone_when_the_loop_raises():
    model = mlp(3)

    def broken(output, labels):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        signal(model, broken)

    assert all(not module._forward_hooks for module in model.modules())
    assert all(one._backward_hooks is None for one in model.parameters())


def test_a_target_network_is_no_cut():
    class WithTarget(nn.Module):
        def __init__(self):
            super().__init__()
            self.online, self.target = mlp(2), mlp(2)

        def forward(self, x):
            with torch.no_grad():
                aim = self.target(x)
            return self.online(x), aim

    row, told = signal(WithTarget(), lambda output, _: functional.mse_loss(output[0], output[1] + 1))

    assert told["n_unreached"] == 4
    assert row.status == "passed"


def test_sparse_gradients_are_gradients():
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(50, 16, sparse=True), nn.Linear(16, 10))
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    row, told = signal(model, batch=(TOKENS, LABELS[:8]), optimizer=optimizer)

    assert told["n_unreached"] == 0
    assert row.findings == ()


@pytest.mark.slow
def test_a_compiled_model_is_skipped():
    row, _ = signal(torch.compile(mlp(2), backend="eager"))

    assert row.status == "skipped"
    assert "compiled" in row.says
