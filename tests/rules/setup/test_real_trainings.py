"""Faults of the loop in small real trainings: each is the first headline, and its repaired twin has none."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from tests.trainings import events, facts, fault_parts, tracked

OURS = {
    "parameters-not-in-optimizer", "stale-optimizer-parameters", "unreached-parameters", "detached-loss",
    "optimizer-never-steps", "missing-zero-grad", "zero-grad-misplaced", "wrong-train-eval-mode", "step-does-nothing",
    "unregistered-modules", "accumulation-not-averaged",
}  # fmt: skip


class Net(nn.Module):
    def __init__(self, is_cut: bool = False) -> None:
        super().__init__()
        self.first, self.drop, self.second = nn.Linear(8, 16), nn.Dropout(0.2), nn.Linear(16, 3)
        self.is_cut = is_cut

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.first(x))
        return self.second(self.drop(hidden.detach() if self.is_cut else hidden))


def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(96, 8, generator=generator)
    return list(zip(x.split(16), x[:, :3].argmax(1).split(16), strict=True))


def usual(fault: str) -> None:
    """Eight epochs of six steps, with one fault or none."""
    model = Net(fault == "detach")
    parameters = model.second.parameters() if fault == "forgotten" else model.parameters()
    optimizer = torch.optim.SGD(parameters, 0.1)
    if fault == "copied":
        model = copy.deepcopy(model)
    model.train()
    for _ in range(8):
        if fault != "mode":
            model.train()
        for x, y in batches():
            if fault not in ("kept", "early"):
                optimizer.zero_grad()
            loss = functional.cross_entropy(model(x), y)
            if fault == "leaf":
                loss = torch.tensor(loss.item(), requires_grad=True)
            loss.backward()
            if fault == "early":
                optimizer.zero_grad()
            if fault != "never":
                optimizer.step()
        model.eval()
        with torch.no_grad():
            functional.cross_entropy(model(x), y)


def headlines(fault: str) -> list[str]:
    """The rules that are headlines of WARNING or worse, the first one first."""
    torch.manual_seed(0)
    with tracked() as run:
        usual(fault)
    assert fault_parts(run) == []
    findings = events(run, "verdict")[-1].data["findings"]
    assert isinstance(findings, list)
    return [str(one["rule"]) for one in findings if isinstance(one, dict) and one["severity"] != "info"]


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("forgotten", "parameters-not-in-optimizer"),
        ("copied", "stale-optimizer-parameters"),
        ("detach", "unreached-parameters"),
        ("leaf", "detached-loss"),
        ("never", "optimizer-never-steps"),
        ("kept", "missing-zero-grad"),
        ("early", "zero-grad-misplaced"),
        ("mode", "wrong-train-eval-mode"),
    ],
)
def test_a_fault_of_the_loop_is_the_first_headline(fault, rule):
    assert headlines(fault)[0] == rule


def test_a_usual_loop_has_none_of_these_faults():
    assert OURS.isdisjoint(headlines(""))


def test_what_was_compiled_before_the_run_hides_no_optimizer_that_never_steps():
    torch.compile(torch.relu, backend="eager")(torch.ones(3))

    assert headlines("never")[0] == "optimizer-never-steps"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, when it compiles an optimizer
def test_steps_that_were_compiled_before_the_run_are_not_taken_for_none():
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    step = torch.compile(optimizer.step, backend="eager")

    def train() -> None:
        for _ in range(8):
            for x, y in batches():
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                step()

    train()
    with tracked() as run:
        train()
    torch.compiler.reset()

    assert fault_parts(run) == []
    assert "optimizer-never-steps" not in str(events(run, "verdict")[-1].data["findings"])


@pytest.mark.parametrize(("divisor", "fires"), [(1, True), (8, False)])
def test_samples_that_come_one_by_one_are_accumulated_into_a_mean(divisor, fires):
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.02)
    with tracked() as run:
        for _ in range(3):
            for number, (x, y) in enumerate(
                [(x, y) for xs, ys in batches() for x, y in zip(xs, ys.tolist(), strict=True)]
            ):
                loss = functional.cross_entropy(model(x)[None], torch.tensor([y]))
                (loss / divisor).backward()
                if number % 8 == 7:
                    optimizer.step()
                    optimizer.zero_grad()

    assert fault_parts(run) == []
    found = {one["rule"] for one in events(run, "verdict")[-1].data["findings"]}
    assert ("accumulation-not-averaged" in found) is fires


class BuiltInForward(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.Linear(16, 3)(torch.relu(self.first(x)))


def test_layers_that_are_made_in_each_pass_stay_known_when_they_are_gone():
    torch.manual_seed(0)
    model = BuiltInForward()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(8):
            for x, y in batches():
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
        torch.optim.SGD(model.first.parameters(), 0.1).step()
    told = facts(run, "graph")

    assert fault_parts(run) == []
    assert told[-1]["unowned"] == ["[3, 16]", "[3]"]
