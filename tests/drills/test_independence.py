"""Drills about what an output may depend on: other samples, later steps, and the inputs at all."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tracker import preflight
from tracker.drilling.calling import subject_of
from tracker.drilling.drill import Notes, Skip
from tracker.drilling.preserved import changed, fingerprint
from tracker.drills import inputs_matter
from tracker.drills.batch_mixing import BatchMixing
from tracker.drills.causality import Causality
from tracker.drills.inputs_matter import InputsMatter
from tracker.drills.inputs_reach import InputsReach

N, T, VOCAB = 12, 9, 16
CROSS_ENTROPY = nn.CrossEntropyLoss()


class Net(nn.Module):
    """A forward in one line, over layers given by name."""

    def __init__(self, run, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


class OwnNorm(nn.Module):
    """Batch normalisation by hand, with statistics of its own for evaluation."""

    def __init__(self, width):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))

    def forward(self, x):
        mean = x.mean(0) if self.training else self.mean
        if self.training:
            self.mean.lerp_(mean.detach(), 0.1)
        return x - mean


class Slope(nn.Module):
    """The gradient of an energy, which needs gradients in evaluation too."""

    def __init__(self):
        super().__init__()
        self.energy = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        x = x.detach().requires_grad_(True)
        return torch.autograd.grad(self.energy(x).sum(), x, create_graph=True)[0]


class OwnAttention(nn.Module):
    """Attention by hand, with and without a mask."""

    def __init__(self, masked):
        super().__init__()
        self.qkv, self.masked = nn.Linear(8, 24), masked

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        scores = q @ k.transpose(1, 2)
        if self.masked:
            scores = scores.masked_fill(torch.ones_like(scores[0]).triu(1).bool(), float("-inf"))
        return x + scores.softmax(-1) @ v


def row(drill, model, loss, batch):
    return preflight(model, loss, batch, only=(drill,), log=False).row(drill)


def measured(drill, model, loss, batch, **given):
    notes = Notes(drill.name)
    drill().measure(subject_of(model, loss, batch, **given), notes)
    return notes.value


def labels(classes=3, *shape):
    return torch.randint(classes, shape or (N,))


def lstm(run, batch_first):
    return Net(run, lstm=nn.LSTM(4, 8, batch_first=batch_first), out=nn.Linear(8, 3))


def mlp():
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 3))


def graph(width):
    net = Net(
        lambda net, x: net.out(F.relu(net.near @ net.first(x))), first=nn.Linear(4, width), out=nn.Linear(width, 3)
    )
    net.register_buffer("near", (torch.rand(N, N) < 0.3).float() + torch.eye(N))
    return net


def reader(middle):
    """A language model around a layer in the middle."""
    return Net(
        lambda net, x: net.out(net.middle(net.embed(x))),
        embed=nn.Embedding(VOCAB, 8),
        middle=middle,
        out=nn.Linear(8, VOCAB),
    )


class First(nn.Module):
    """The first output of a recurrent layer."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class Along(nn.Module):
    """A layer over the last dimension, for (samples, steps, features)."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(1, 2)).transpose(1, 2)


def flat_cross_entropy(output, targets):
    return CROSS_ENTROPY(output.flatten(0, 1), targets.flatten())


def text(shift=1):
    tokens = torch.randint(VOCAB, (N, T + 1))
    return tokens[:, :T].contiguous(), tokens[:, shift : T + shift].contiguous()


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (mlp, (N, 6)),
        (lambda: nn.Sequential(nn.Linear(N, 8), nn.ReLU(), nn.Linear(8, 3)), (N, N)),
        (lambda: nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(64, 3)), (N, 2, 6, 6)),
        (lambda: nn.Sequential(nn.Linear(6, 8), OwnNorm(8), nn.Linear(8, 3)), (N, 6)),
        (lambda: Slope(), (N, 3)),
        (lambda: lstm(lambda net, x: net.out(net.lstm(x)[0][:, -1]), True), (N, T, 4)),
        (lambda: lstm(lambda net, x: net.out(net.lstm(x)[0][-1]), False), (T, N, 4)),
    ],
    ids=[
        "mlp",
        "as-many-features-as-samples",
        "batch-norm",
        "own-norm",
        "takes-gradients",
        "samples-first",
        "steps-first",
    ],
)
def test_samples_that_are_told_apart_pass(model, shape):
    found = row("batch-mixing", model(), CROSS_ENTROPY, (torch.randn(shape), labels()))

    assert found.status == "passed", found
    assert f"({N} samples)" in found.says


def _attend(net, x):
    return net.out(net.attend(x, x, x)[0].mean(1))


def _view(net, x):
    n, t, d = x.shape
    return net.out(net.lstm(x.view(t, n, d))[1][0][-1])


@pytest.mark.parametrize(
    ("model", "shape", "where"),
    [
        (lambda: lstm(lambda net, x: net.out(net.lstm(x)[0][:, -1]), False), (N, T, 4), "lstm (LSTM)"),
        (lambda: lstm(_view, False), (N, T, 4), "before lstm"),
        (lambda: nn.Sequential(nn.Linear(6, 3), nn.Softmax(0)), (N, 6), "1 (Softmax)"),
        (lambda: Net(lambda net, x: net.out(x).softmax(0), out=nn.Linear(6, 3)), (N, 6), "the model (Net), after out"),
        (lambda: Net(lambda net, x: net.out(x - x.mean(0)), out=mlp()), (N, 6), "before out.0"),
        (
            lambda: Net(_attend, attend=nn.MultiheadAttention(4, 2), out=nn.Linear(4, 3)),
            (N, T, 4),
            "attend (MultiheadAttention)",
        ),
    ],
    ids=[
        "batch-first-forgotten",
        "view-for-transpose",
        "softmax-over-the-batch",
        "softmax-by-hand",
        "mean-of-the-batch",
        "attention",
    ],
)
def test_samples_that_are_mixed_fail_with_the_place(model, shape, where):
    found = row("batch-mixing", model(), CROSS_ENTROPY, (torch.randn(shape), labels()))

    assert found.status == "failed", found
    assert where in found.findings[0]["message"]


def _one_sequence(net, x):
    return net.out(net.lstm(x.unsqueeze(1))[0].squeeze(1))


def _all_with_all(net, x):
    return net.out(x + (net.query(x) @ net.key(x).T).softmax(-1) @ x)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (lambda: graph(8), "this number of samples only"),
        (lambda: Net(_all_with_all, query=nn.Linear(4, 4), key=nn.Linear(4, 4), out=nn.Linear(4, 3)), "all with all"),
        (lambda: lstm(_one_sequence, False), "one sequence"),
    ],
    ids=["nodes-of-a-graph", "attention-between-samples", "one-sequence"],
)
def test_samples_that_may_be_meant_to_mix_are_skipped(model, says):
    found = row("batch-mixing", model(), CROSS_ENTROPY, (torch.randn(N, 4), labels()))

    assert found.status == "skipped", found
    assert says in found.says


def test_a_matrix_of_all_pairs_is_no_output_per_sample():
    model = Net(lambda net, x: net.out(x) @ net.out(x).T, out=nn.Linear(6, 4))

    with pytest.raises(Skip, match="compare samples"):
        measured(BatchMixing, model, CROSS_ENTROPY, (torch.randn(N, 6), torch.arange(N)))


def test_a_loader_tells_samples_from_steps():
    def per_step(net, x):
        return net.out(net.lstm(x)[0])

    batch, loader = (torch.randn(N, T, 4), labels(3, N, T)), torch.utils.data.DataLoader(range(50), batch_size=N)
    model = lstm(per_step, False)
    without = measured(BatchMixing, model, flat_cross_entropy, batch)
    told = measured(BatchMixing, model, flat_cross_entropy, batch, loaders={"train": loader})

    assert (without["along"], without["mixed"]) == (1, 0.0)
    assert (told["along"], told["kind"]) == (0, "LSTM")
    assert told["mixed"] > 0.1


@pytest.mark.parametrize(
    ("model", "status"),
    [
        (lambda: reader(First(nn.GRU(8, 8, batch_first=True))), "passed"),
        (lambda: reader(OwnAttention(masked=True)), "passed"),
        (lambda: reader(OwnAttention(masked=False)), "failed"),
        (lambda: reader(First(nn.GRU(8, 4, batch_first=True, bidirectional=True))), "failed"),
        (lambda: reader(Along(nn.Conv1d(8, 8, 3, padding=1))), "failed"),
    ],
    ids=["gru", "masked", "mask-forgotten", "both-directions", "centred-convolution"],
)
def test_a_model_of_what_comes_next_may_not_see_it(model, status):
    found = row("causality", model(), flat_cross_entropy, text())

    assert found.status == status, found
    assert [one["rule"] for one in found.findings] == ["sees-the-future"] * (status == "failed")


def test_a_forecast_of_numbers_is_asked_too():
    series = torch.randn(N, T + 1, 8)
    batch = (series[:, :-1].contiguous(), series[:, 1:].contiguous())
    back, both = First(nn.GRU(8, 8, batch_first=True)), First(nn.GRU(8, 4, batch_first=True, bidirectional=True))

    assert row("causality", back, nn.MSELoss(), batch).status == "passed"
    assert row("causality", both, nn.MSELoss(), batch).status == "failed"


def test_a_model_with_its_own_loss_is_asked_through_that_loss():
    class WithLoss(nn.Module):
        def __init__(self):
            super().__init__()
            self.reader = reader(OwnAttention(masked=False))

        def forward(self, tokens, labels):
            return flat_cross_entropy(self.reader(tokens), labels)

    tokens, following = text()
    found = row("causality", WithLoss(), None, {"tokens": tokens, "labels": following})

    assert found.status == "failed", found
    assert found.findings[0]["subject"] == "reader.middle"


def test_a_summary_of_the_whole_sequence_is_an_autoencoders():
    def decode(net, x):
        return net.out(net.decoder(net.embed(x), net.encoder(net.embed(x))[1])[0])

    layers = {name: nn.GRU(8, T, batch_first=True) for name in ("encoder", "decoder")}
    found = row(
        "causality",
        Net(decode, embed=nn.Embedding(VOCAB, 8), out=nn.Linear(T, VOCAB), **layers),
        flat_cross_entropy,
        text(),
    )

    assert found.status == "skipped", found
    assert "summary" in found.says


def test_targets_that_were_not_shifted_are_told_where_the_model_looks_back_only():
    back = row("causality", reader(First(nn.GRU(8, 8, batch_first=True))), flat_cross_entropy, text(shift=0))
    both = row("causality", reader(OwnAttention(masked=False)), flat_cross_entropy, text(shift=0))

    assert [one["rule"] for one in back.findings] == ["predicts-what-it-sees"]
    assert both.status == "skipped"


def test_targets_of_another_kind_say_nothing_of_the_future():
    with pytest.raises(Skip, match="nothing says"):
        measured(Causality, reader(OwnAttention(masked=False)), flat_cross_entropy, (text()[0], labels(VOCAB, N, T)))


def test_an_input_that_changes_nothing_is_noted_and_nothing_fails():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4, 3)

        def forward(self, x, age):
            return self.out(x[:, :4])

    found = row(
        "inputs-reach", Two(), lambda output, _: output.pow(2).mean(), {"x": torch.randn(N, 6), "age": torch.rand(N)}
    )

    assert found.status == "passed", found
    assert [(one["rule"], one["subject"]) for one in found.findings] == [
        ("input-without-effect", "age"),
        ("input-without-effect", "x features"),
    ]
    assert "2 of 6 features" in found.findings[1]["message"]


@pytest.mark.parametrize("fault", ["dead units", "softmax over one value"])
def test_an_output_that_ignores_the_inputs_fails(fault):
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 1), nn.Softmax(1))
    if fault == "dead units":
        del model[3]
        nn.init.constant_(model[0].bias, -20.0)
    found = row("inputs-reach", model, nn.MSELoss(), (torch.randn(N, 6), torch.rand(N, 1)))

    assert [one["rule"] for one in found.findings] == ["output-ignores-inputs"]


def test_a_single_number_is_no_input_of_samples():
    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(6, 3)

        def forward(self, x, count):
            return self.out(x)

    given = {"x": torch.randn(N, 6), "count": torch.tensor(16.0)}
    found = row("inputs-reach", Counted(), lambda output, _: output.pow(2).mean(), given)

    assert (found.status, found.findings) == ("passed", ()), found


def test_words_that_are_ignored_have_no_gradient_to_go_by():
    class Ignored(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.out = nn.Embedding(10, 4), nn.Linear(4, 3)

        def forward(self, ids):
            return self.out(0.0 * self.words(ids).mean(1))

    found = row("inputs-reach", Ignored(), CROSS_ENTROPY, (torch.randint(0, 10, (N, 5)), torch.arange(N) % 3))

    assert [one["rule"] for one in found.findings] == ["output-ignores-inputs"]


def test_a_code_that_all_samples_get_at_first_is_no_fault_where_gradients_go_past_it():
    class Coded(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.codes, self.decoder = nn.Linear(6, 4), nn.Embedding(8, 4), nn.Linear(4, 2)
            self.codes.weight.data += 100.0
            self.codes.weight.data[3] = 0.0

        def forward(self, x):
            z = self.encoder(x)
            code = self.codes(torch.cdist(z, self.codes.weight).argmin(1))
            return self.decoder(z + (code - z).detach())

    found = row("inputs-reach", Coded(), nn.MSELoss(), (torch.randn(N, 6), torch.rand(N, 2)))

    assert found.status == "skipped", found
    assert "a choice or a rounding" in found.says


def test_an_output_layer_that_starts_at_zero_lets_nothing_through_yet():
    model = mlp()
    nn.init.zeros_(model[3].weight)
    before = model[3].weight.detach().clone()
    found = row("inputs-reach", model, CROSS_ENTROPY, (torch.randn(N, 6), labels()))

    assert found.status == "passed", found
    assert "all zero" in found.says
    assert torch.equal(model[3].weight, before)


def test_training_without_inputs_does_worse():
    model = mlp()
    adam = torch.optim.Adam(model.parameters(), lr=0.03)
    found = preflight(
        model, CROSS_ENTROPY, (torch.randn(N, 6), labels()), optimizer=adam, only=("inputs-matter",), log=False
    )

    assert found.passed
    assert found.row("inputs-matter").status == "passed"


def test_training_that_never_looks_at_the_inputs_fails():
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    nn.init.constant_(model[0].bias, -20.0)
    found = row("inputs-matter", model, CROSS_ENTROPY, (torch.randn(N, 6), (torch.arange(N) > 1).long()))

    assert [one["rule"] for one in found.findings] == ["inputs-do-not-matter"]


@pytest.mark.parametrize("drill", [BatchMixing, Causality, InputsReach, InputsMatter], ids=lambda drill: drill.name)
def test_everything_is_as_it_was_afterwards(drill, monkeypatch):
    monkeypatch.setattr(inputs_matter, "_LONG", 6)
    monkeypatch.setattr(inputs_matter, "_SHORT", 6)
    model = nn.Sequential(reader(First(nn.GRU(8, 8, batch_first=True))), nn.Dropout(0.5), nn.BatchNorm1d(T))
    optimizer = torch.optim.Adam(model.parameters())
    batch = text()
    before = fingerprint([model], [optimizer], [batch])
    fast = torch.backends.mha.get_fastpath_enabled()
    preflight(model, flat_cross_entropy, batch, optimizer=optimizer, only=(drill.name,), log=False)

    assert changed(before, fingerprint([model], [optimizer], [batch])) == []
    assert torch.backends.mha.get_fastpath_enabled() is fast
