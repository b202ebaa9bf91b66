"""Layers that run along the batch: at the edges of the rule, and in real trainings."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from tests.trainings import fault_parts, tracked
from tracker.rules import NotApplicable, Severity
from tracker.rules.setup.recurrence_over_batch import RecurrenceOverBatch
from tracker.rules.testing import judge

GIVEN = {"x": {"shape": [40, 24, 1], "dtype": "float32"}}


def seen(output=(40, 24, 32), outputs=(40, 4), targets=(40,), inputs=None, **about):
    """Facts of a model with one layer, unless `layers` are given."""
    layer = {"class": "LSTM", "batch_first": False, "output": list(output), **about}
    loss = {"function": "cross_entropy", "outputs_shape": list(outputs), "targets_shape": list(targets)}
    return {"model": {"": {"sequences": {"lstm": layer}}}, "loss": loss, "inputs": GIVEN if inputs is None else inputs}


@pytest.mark.parametrize(
    ("facts", "fires"),
    [
        (seen(), True),
        (seen(outputs=[40, 1], targets=[40, 1]), True),
        (seen(outputs=[40], targets=[40]), True),
        (seen(batch_first=True), False),
        (seen(output=[24, 40, 32]), False),  # time first, as it is wanted
        (seen(output=[40, 1, 32]), False),  # one sequence
        (seen(output=[40, 40, 32], inputs={"x": {"shape": [40, 40, 1]}}), False),  # as many steps as samples
        (seen(output=[40, 32]), False),  # no batch at all
        (seen(outputs=[40, 24], targets=[40, 24]), False),  # a target for each step, in order of time
        (seen(outputs=[40, 24, 3], targets=[40, 24]), False),
        (seen(outputs=[960, 4], targets=[960]), False),
        (seen(outputs=[40, 24], targets=[]), False),
        (seen(outputs=[40, 3, 5], targets=[]), False),
        (seen(outputs=[40, 1], targets=[7]), False),
        (seen(output=[40, 40 * 8, 32]), False),  # rows of images that are as high as the batch is long
        (seen(output=[40, 80, 32], inputs={"x": {"shape": [40, 80], "dtype": "int64"}}), True),
    ],
)
def test_what_has_a_target_for_each_of_its_first_dimension_are_samples(facts, fires):
    found = judge(RecurrenceOverBatch(), facts=facts)

    assert [finding.subject for finding in found] == (["lstm"] if fires else [])


def test_attention_along_both_dimensions_in_turn_is_meant():
    facts = seen(**{"class": "MultiheadAttention"})
    assert judge(RecurrenceOverBatch(), facts=facts)

    layers = facts["model"][""]["sequences"]
    layers["columns"] = {"class": "MultiheadAttention", "batch_first": True, "output": [40, 24, 32]}
    assert judge(RecurrenceOverBatch(), facts=facts) == []


@pytest.mark.parametrize(
    "facts", [{"model": {"": {}}, "loss": {"function": "mse_loss"}}, seen() | {"loss": {"function": "unknown"}}]
)
def test_without_layers_or_shapes_nothing_is_judged(facts):
    with pytest.raises(NotApplicable):
        judge(RecurrenceOverBatch(), facts=facts)


class Reader(nn.Module):
    """Answers for each sample from its last step."""

    def __init__(self, kind, batch_first, is_turned):
        super().__init__()
        self.is_turned = is_turned
        self.embed = nn.Linear(2, 8)
        if kind == "attention":
            layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, dropout=0.0, batch_first=batch_first)
            self.body = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        else:
            self.body = nn.GRU(8, 8, batch_first=batch_first)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        x = self.embed(x)
        out = self.body(x.transpose(0, 1) if self.is_turned else x)
        out = out[0] if isinstance(out, tuple) else out
        return self.head(out[-1] if self.is_turned else out[:, -1])


@pytest.mark.parametrize("kind", ["recurrence", "attention"])
@pytest.mark.parametrize(
    ("batch_first", "is_turned", "fires"), [(False, False, True), (True, False, False), (False, True, False)]
)
def test_a_training_along_the_batch_is_told(kind, batch_first, is_turned, fires):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        x = torch.randn(200, 6, 2)
        model = Reader(kind, batch_first, is_turned)
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        with tracked() as run:
            for _ in range(3):
                loader = DataLoader(TensorDataset(x, (x[:, 0, 0] > 0).long()), batch_size=20, shuffle=True)
                for batch, labels in loader:
                    optimizer.zero_grad()
                    functional.cross_entropy(model(batch), labels).backward()
                    optimizer.step()
    found = [one.rule for one in run.findings if one.severity >= Severity.WARNING]

    assert fault_parts(run) == []
    assert ("recurrence-over-batch" in found) is fires
