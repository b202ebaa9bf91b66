"""What the autograd node of a loss tells of the loss function."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from tests.trainings import data, events, facts, fault_parts, mlp, readings, step, subjects, tracked
from tracker.probes import training as probes
from tracker.probes.graph import Graph
from tracker.probes.loss_terms import LossTerms
from tracker.probes.losses import Losses, LossFunction

LOGITS = torch.randn(8, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
LABELS = torch.tensor([0, 1, 2, 0, 1, 2, 0, 0])
WEIGHT = torch.tensor([0.5, 1.0, 2.0])
BINARY = (LABELS > 0).float()
SHARES = torch.rand(8, 3, generator=torch.Generator().manual_seed(1))
ROWS = torch.arange(8)


def fact_of(make):
    """The fact that a run writes about the loss that `make(parameter)` computes."""
    parameter = LOGITS.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked() as run:
        make(parameter).backward()
        optimizer.step()
    assert fault_parts(run) == []
    fact = facts(run, "loss")[0]
    return run, fact[0] if isinstance(fact, list) else fact


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (
            lambda p: functional.cross_entropy(p, LABELS),
            {"function": "cross_entropy", "reduction": "mean", "n_classes": 3},
        ),
        (lambda p: functional.cross_entropy(p, LABELS, reduction="sum"), {"reduction": "sum", "weighted": False}),
        (lambda p: functional.cross_entropy(p, LABELS, weight=WEIGHT), {"weighted": True, "label_smoothing": False}),
        (
            lambda p: functional.cross_entropy(p, LABELS, label_smoothing=0.1),
            {"function": "cross_entropy", "label_smoothing": True, "terms": 1, "scaled": False},
        ),
        (lambda p: functional.nll_loss(p.log_softmax(1), LABELS), {"function": "cross_entropy", "n_classes": 3}),
        (lambda p: functional.cross_entropy(p, LABELS, reduction="none").mean(), {"function": "cross_entropy"}),
        (lambda p: functional.cross_entropy(p, LABELS) / 4, {"function": "cross_entropy", "scaled": True}),
        (
            lambda p: functional.cross_entropy(p, LABELS) + 0.1 * p.pow(2).sum(),
            {"function": "cross_entropy", "terms": 2},
        ),
        (lambda p: functional.mse_loss(p, torch.zeros(8, 3)), {"function": "mse_loss", "n_classes": None}),
        (
            lambda p: functional.binary_cross_entropy_with_logits(p[:, 0], BINARY),
            {"function": "binary_cross_entropy_with_logits", "n_classes": 2},
        ),
        (lambda p: functional.binary_cross_entropy(p[:, 0].sigmoid(), BINARY), {"function": "binary_cross_entropy"}),
        (lambda p: functional.smooth_l1_loss(p, torch.zeros(8, 3)), {"function": "smooth_l1_loss"}),
        (lambda p: functional.huber_loss(p, torch.zeros(8, 3)), {"function": "huber_loss"}),
        (lambda p: (p - 1).abs().exp().mean(), {"function": "unknown", "ops": ["mean", "exp", "abs", "sub"]}),
    ],
)
def test_a_loss_function_is_recognised(make, expected):
    _, fact = fact_of(make)

    assert {key: fact[key] for key in expected} == expected


def sequence_loss(p, **options):
    logs = p.log_softmax(1).reshape(8, 1, 3)
    return functional.ctc_loss(logs, torch.tensor([[1, 2]]), torch.tensor([8]), torch.tensor([2]), **options)


def triplet(p):
    return functional.triplet_margin_loss(p, SHARES, SHARES + 1)


def soft_margin(p):
    return functional.multilabel_soft_margin_loss(p, SHARES.round())


def weighted_squares(p):
    return functional.mse_loss(p, SHARES, weight=torch.ones(8, 3))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda p: functional.l1_loss(p, SHARES), {"function": "l1_loss", "reduction": "mean", "terms": 1}),
        (lambda p: functional.l1_loss(p, SHARES, reduction="sum"), {"function": "l1_loss", "reduction": "sum"}),
        (lambda p: functional.smooth_l1_loss(p, SHARES, beta=0.5), {"settings": {"beta": 0.5}}),
        (lambda p: functional.huber_loss(p, SHARES, delta=2.0), {"settings": {"delta": 2.0}}),
        (lambda p: functional.kl_div(p.log_softmax(1), SHARES, reduction="batchmean"),
         {"function": "kl_div", "reduction": "batchmean", "scaled": False}),
        (lambda p: functional.kl_div(p.log_softmax(1), SHARES.log(), reduction="sum", log_target=True),
         {"function": "kl_div", "reduction": "sum"}),
        (sequence_loss, {"function": "ctc_loss", "settings": {"blank": 0, "zero_infinity": False}}),
        (lambda p: functional.multi_margin_loss(p, LABELS, margin=0.5),
         {"function": "multi_margin_loss", "settings": {"margin": 0.5, "p": 1}}),
        (lambda p: functional.multilabel_margin_loss(p, torch.tensor([[0, -1, 1]] * 8)),
         {"function": "multilabel_margin_loss"}),
        (soft_margin, {"function": "multilabel_soft_margin_loss"}),
        (lambda p: functional.hinge_embedding_loss(p, SHARES.round() * 2 - 1), {"function": "hinge_embedding_loss"}),
        (lambda p: functional.margin_ranking_loss(p[:, 0], p[:, 1], BINARY * 2 - 1),
         {"function": "margin_ranking_loss"}),
        (lambda p: functional.cosine_embedding_loss(p, SHARES, torch.ones(8)), {"function": "cosine_embedding_loss"}),
        (triplet, {"function": "triplet_margin_loss"}),
        (lambda p: functional.poisson_nll_loss(p, SHARES), {"function": "poisson_nll_loss"}),
        (lambda p: functional.poisson_nll_loss(p.exp(), SHARES, log_input=False), {"function": "poisson_nll_loss"}),
        (lambda p: functional.gaussian_nll_loss(p, SHARES, p.exp()), {"function": "gaussian_nll_loss"}),
        (weighted_squares, {"function": "mse_loss", "weighted": True}),
        (lambda p: functional.cross_entropy(p, SHARES.softmax(1)),
         {"function": "cross_entropy", "soft_targets": True, "reduction": "mean", "scaled": False, "n_classes": 3}),
        (lambda p: functional.cross_entropy(p, LABELS, label_smoothing=0.1), {"smoothing": 0.1}),
        (lambda p: functional.cross_entropy(p, LABELS, ignore_index=1), {"settings": {"ignore_index": 1}}),
        (lambda p: functional.cross_entropy(p, LABELS, reduction="sum") / 8, {"reduction": "mean", "scaled": False}),
        (lambda p: functional.nll_loss(p, LABELS), {"function": "nll_loss", "logarithms": False, "n_classes": 3}),
        (lambda p: functional.nll_loss(p.softmax(1), LABELS), {"function": "nll_loss", "logarithms": False}),
        (lambda p: functional.nll_loss(p.softmax(1).log(), LABELS), {"function": "cross_entropy", "logarithms": True}),
        (lambda p: functional.mse_loss(p, SHARES).sqrt(), {"function": "mse_loss", "scaled": True}),
    ],
)  # fmt: skip
def test_further_functions_of_torch_are_recognised(make, expected):
    _, fact = fact_of(make)

    assert {key: fact[key] for key in expected} == expected


@pytest.mark.parametrize(
    "make",
    [
        lambda p: -p.log_softmax(1)[ROWS, LABELS].mean(),
        lambda p: -p.log_softmax(1).gather(1, LABELS[:, None]).mean(),
        lambda p: -torch.log(p.softmax(1)[ROWS, LABELS] + 1e-8).mean(),
        lambda p: -torch.log(p.softmax(1))[ROWS, LABELS].sum() / 8,
        lambda p: (p.logsumexp(1) - p.gather(1, LABELS[:, None]).squeeze(1)).mean(),
        lambda p: -(functional.one_hot(LABELS, 3) * p.log_softmax(1)).sum(1).mean(),
    ],
)
def test_a_cross_entropy_written_by_hand_is_one(make):
    run, fact = fact_of(make)

    assert (fact["function"], fact["n_classes"], fact["terms"]) == ("cross_entropy", 3, 1)
    assert subjects(run, "class_count") == {"0", "1", "2"}
    assert readings(run, "accuracy/train")[0][1] == pytest.approx((LOGITS.argmax(1) == LABELS).float().mean().item())


@pytest.mark.parametrize(
    ("make", "function"),
    [
        (lambda p: ((p - SHARES) ** 2).mean(), "mse_loss"),
        (lambda p: ((p - SHARES) * (p - SHARES)).mean(), "unknown"),  # two differences: they may be of two things
        (lambda p: -(SHARES * p.sigmoid().log() + (1 - SHARES) * (1 - p.sigmoid()).log()).mean(),
         "binary_cross_entropy"),
        (lambda p: p.log_softmax(1)[ROWS, LABELS].mean(), "unknown"),  # the likelihood is made small
        (lambda p: p.mean(), "unknown"),
    ],
)  # fmt: skip
def test_other_losses_written_by_hand(make, function):
    _, fact = fact_of(make)

    assert fact["function"] == function


def test_losses_of_several_kinds_are_a_list():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for number in range(4):
            optimizer.zero_grad()
            out = model(x)
            (functional.mse_loss(out, out.detach() + 1) if number % 2 else functional.cross_entropy(out, y)).backward()
            optimizer.step()

    told = facts(run, "loss")
    assert told[0]["function"] == "cross_entropy"
    assert [one["function"] for one in told[1]] == ["cross_entropy", "mse_loss"]
    assert len(told) == 2


def test_terms_are_named_by_variables_and_have_their_values():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    expected = []
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            outputs = model(x)
            ce = functional.cross_entropy(outputs, y)
            losses = {"spread": outputs.pow(2).mean()}
            penalty = sum(p.pow(2).sum() for p in model.parameters())
            loss = ce + 0.5 * losses["spread"] - 0.01 * penalty
            (loss / 2).backward()
            optimizer.step()
            expected.append([ce.item() / 2, losses["spread"].item() / 4, penalty.item() / -200])

    assert facts(run, "loss_terms") == [
        [
            {"name": "ce", "function": "cross_entropy", "factor": 0.5},
            {"name": "losses.spread", "function": "code_penalty", "factor": 0.25},
            {"name": "penalty", "function": "l2_penalty", "factor": pytest.approx(-0.005)},
        ]
    ]
    found = [[v for s, v in readings(run, "loss/term", name)] for name in ("ce", "losses.spread", "penalty")]
    assert [list(row) for row in zip(*found, strict=True)] == [pytest.approx(row, rel=1e-5) for row in expected]


def test_what_has_no_variable_is_the_rest_of_the_loss():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        alone = functional.cross_entropy(model(x), y).item()
        (functional.cross_entropy(model(x), y) + 0.1 * sum(p.norm() for p in model.parameters())).backward()
        optimizer.step()

    assert [(t["name"], t.get("count")) for t in facts(run, "loss_terms")[0]] == [
        ("cross_entropy", None),
        ("weight_norm", 4),
    ]
    assert readings(run, "loss/term", "cross_entropy") == [(0, pytest.approx(alone, rel=1e-5))]


def test_a_penalty_that_changes_its_factor_is_told_once_more():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for number in range(6):
            optimizer.zero_grad()
            ce, size = functional.cross_entropy(model(x), y), model[0].weight.abs().sum()
            (ce + number * size).backward()
            optimizer.step()

    told = facts(run, "loss_terms")
    assert [terms[1] for terms in told] == [
        {"name": "size", "function": "l1_penalty", "factor": 0.0},
        {"name": "size", "function": "l1_penalty", "factor": None},
    ]


def test_the_regulariser_of_an_autoencoder_is_a_term():
    weight = LOGITS.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([weight], 0.1)
    with tracked() as run:
        mu, logvar = weight[:, 0], weight[:, 1]
        recon = functional.mse_loss(weight[:, 2], SHARES[:, 2], reduction="sum")
        (recon - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())).backward()
        optimizer.step()

    assert [t["function"] for t in facts(run, "loss_terms")[0]] == ["mse_loss", "gaussian_kl"]


@pytest.mark.parametrize(
    ("size", "function"),
    [
        (lambda code, weight: code.abs().sum(), "code_penalty"),
        (lambda code, weight: 0.1 * code.pow(2).sum(1).mean(), "code_penalty"),
        (lambda code, weight: (code * code).mean() / 2, "code_penalty"),
        (lambda code, weight: torch.relu(weight @ weight).sum(), "unknown"),  # the data does not go through it
        (lambda code, weight: (code - 0.1).abs().mean(), "l1_loss"),
        (lambda code, weight: weight.abs().sum(), "l1_penalty"),
    ],
)
def test_the_size_of_what_is_inside_a_model_is_a_term_of_its_own_kind(size, function):
    weight = torch.eye(3, requires_grad=True)
    optimizer = torch.optim.SGD([weight], 0.1)
    with tracked() as run:
        code = torch.relu(torch.ones(4, 3) @ weight)
        (functional.mse_loss(code @ torch.ones(3, 2), torch.zeros(4, 2)) + size(code, weight)).backward()
        optimizer.step()

    assert [term["function"] for term in facts(run, "loss_terms")[0]] == ["mse_loss", function]


def test_a_plain_loss_has_no_terms():
    run, _ = fact_of(lambda p: functional.cross_entropy(p, LABELS, label_smoothing=0.1) / 4)

    assert facts(run, "loss_terms") == []
    assert subjects(run, "loss/term") == set()


def refused(run, loss):
    with pytest.raises(RuntimeError, match="does not require grad"):
        loss.backward()
    return [(event.step, event.data) for event in events(run, "loss_detached")]


def test_a_loss_without_a_graph_is_told_and_raises_as_ever():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(12):  # behind the steps that are all looked at closely
            step(model, optimizer, x, y)
        told = refused(run, functional.cross_entropy(model(x).detach(), y))
        again = refused(run, functional.cross_entropy(model(x).detach(), y))

    assert told == again == [(12, {"kind": "detached", "raises": True})]


def test_why_a_loss_has_no_graph():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        step(model, optimizer, x, y)
        with torch.no_grad():
            refused(run, functional.cross_entropy(model(x), y))
        with torch.inference_mode():
            loss = functional.cross_entropy(model(x), y)
        refused(run, loss)
        model.requires_grad_(False)
        refused(run, functional.cross_entropy(model(x), y))
        torch.tensor(loss.item(), requires_grad=True).backward()

    kinds = [event.data["kind"] for event in events(run, "loss_detached")]
    assert kinds == ["no_grad", "inference_mode", "frozen", "leaf"]


def test_a_graph_that_is_used_up_or_written_to_raises_as_ever():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        step(model, optimizer, x, y)
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        with pytest.raises(RuntimeError, match="second time") as used_up:
            loss.backward()
        targets = torch.zeros(24, 3)
        loss = functional.mse_loss(model(x), targets)
        targets += 1
        with pytest.raises(RuntimeError, match="inplace operation") as written_to:
            loss.backward()

    assert [Path(error.traceback[-1].path).parent.name for error in (used_up, written_to)] == ["autograd", "autograd"]
    assert fault_parts(run) == []


def flops(run):
    with FlopCounterMode(display=False) as listener:
        run()
    return listener.get_flop_counts()


def operations(run):
    with torch.profiler.profile() as listener:
        run()
    return sorted(event.name for event in listener.events() if event.name.startswith("aten::"))


@pytest.mark.parametrize("listen", [flops, operations])
def test_who_listens_to_operations_hears_none_of_ours(listen, monkeypatch):
    monkeypatch.setattr(probes, "PROBES", (Losses, LossFunction, LossTerms, Graph))

    def heard():
        model, (x, y) = mlp(), data()
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        step(model, optimizer, x, y)
        loss = functional.cross_entropy(model(x), y) + model(x).pow(2).mean()
        return listen(loss.backward)

    bare = heard()
    with tracked() as run:
        observed = heard()

    assert observed == bare
    assert len(readings(run, "loss")) == 2


def test_an_image_loss_has_the_classes_of_its_second_dimension():
    parameter = torch.zeros(2, 4, 5, 5, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked() as run:
        functional.cross_entropy(parameter, torch.full((2, 5, 5), 3)).backward()
        optimizer.step()

    assert facts(run, "loss")[0]["n_classes"] == 4
    assert subjects(run, "class_count") == {"3"}


def test_class_weights_on_the_loss_are_found():
    run, _ = fact_of(lambda p: functional.cross_entropy(p, LABELS, weight=WEIGHT))

    assert (
        facts(run, "class_weights")
        == [{"0": 0.5, "1": 1.0, "2": 2.0}, {"0": 0.5, "1": 1.0, "2": 2.0}][: len(facts(run, "class_weights"))]
    )
    assert facts(run, "class_weights")


def test_given_class_weights_stand_before_those_of_the_loss():
    parameter = LOGITS.detach().clone().requires_grad_()
    optimizer = torch.optim.SGD([parameter], 0.1)
    with tracked(class_weights=[1.0, 2.0, 3.0]) as run:
        functional.cross_entropy(parameter, LABELS, weight=WEIGHT).backward()
        optimizer.step()

    assert facts(run, "class_weights")[-1] == {"0": 1.0, "1": 2.0, "2": 3.0}


@pytest.mark.parametrize("when", ["inside", "outside"])
def test_tensors_saved_under_hooks_are_not_read(when):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    unpacked = []

    def unpack(tensor):
        unpacked.append(1)
        return tensor

    def train():
        with torch.autograd.graph.saved_tensors_hooks(lambda tensor: tensor, unpack):
            loss = functional.cross_entropy(model(x), y)
            if when == "inside":
                loss.backward()
        if when == "outside":
            loss.backward()
        optimizer.step()
        return len(unpacked)

    bare = train()
    unpacked.clear()
    with tracked() as run:
        observed = train()

    assert observed == bare > 0
    assert facts(run, "loss")[0]["function"] == "unknown"


@pytest.mark.parametrize(
    ("add", "expected"),
    [
        (lambda ce, spread: spread + ce.item(), [False, True]),
        (lambda ce, spread: 0.5 * (ce.detach() + spread), [False, True]),
        (lambda ce, spread: spread + 3.0, [False]),
        (lambda ce, spread: sum([ce, spread]), []),
        (lambda ce, spread: ce + 0.5 * spread, []),
    ],
)
def test_a_number_that_is_added_to_a_loss_is_told_and_whether_it_is_computed(add, expected):
    model, (x, _) = mlp(), data()
    labels = torch.arange(len(x)) % 3
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    with tracked() as run:
        for _ in range(4):
            optimizer.zero_grad()
            outputs = model(x)
            ce, spread = (
                functional.cross_entropy(outputs, labels),
                functional.mse_loss(outputs, torch.ones_like(outputs)),
            )
            add(ce, spread).backward()
            optimizer.step()

    assert [fact["varies"] for fact in facts(run, "addend")] == expected
    assert fault_parts(run) == []


def test_a_loss_far_above_the_others_is_told_with_the_samples_of_its_batch():
    model, seen = mlp(), []
    x, y = torch.randn(240, 6), torch.randint(3, (240,))
    x[77] *= 1e4
    y[77] = model(x[77:78]).argmin()  # as wrong as can be
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    optimizer = torch.optim.SGD(model.parameters(), 1e-6)
    with tracked() as run:
        for _ in range(2):
            for batch in loader:
                optimizer.zero_grad()
                loss = functional.cross_entropy(model(batch[0]), batch[1])
                seen.append(loss.item())
                loss.backward()
                optimizer.step()
    spikes = events(run, "loss_spiked")

    assert [event.step for event in spikes] == [79]  # the first epoch is too short to know what is usual
    assert spikes[0].data["batch_indices"] == [76, 77, 78, 79]
    assert spikes[0].data["loss"] == seen[79]
