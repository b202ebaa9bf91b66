"""What a script writes for TensorBoard is in the run, and in TensorBoard as it would be without us."""

import pytest
import torch

from tests.trainings import data, fault_parts, mlp, readings, step, subjects, tracked
from tracker.rules.engine.signals import VAL_LOSS, meaning_of

tensorboard = pytest.importorskip("torch.utils.tensorboard", reason="tensorboard is not installed")


def test_scalars_are_metrics_under_their_tags(tmp_path):
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    losses = []
    with tracked() as run, tensorboard.SummaryWriter(tmp_path / "logs") as writer:
        for number in range(4):
            losses.append(step(model, optimizer, x, y))
            writer.add_scalar("Loss/train", losses[-1], number)
            writer.add_scalar("score", torch.tensor(0.5), global_step=10 * number)
            writer.add_scalar(tag="plain", scalar_value=1)
            writer.add_scalars("loss", {"train": losses[-1], "val": 2.0}, number)
            writer.add_histogram("weights", model[0].weight, number)

    assert readings(run, "metric", "Loss/train") == list(enumerate(losses))
    assert readings(run, "metric", "score") == [(0, 0.5), (10, 0.5), (20, 0.5), (30, 0.5)]
    assert readings(run, "metric", "plain") == [(1, 1), (2, 1), (3, 1), (4, 1)]
    assert subjects(run, "metric") == {"Loss/train", "score", "plain", "loss/train", "loss/val"}
    assert fault_parts(run) == []


def test_writers_for_each_part_of_the_data_do_not_mix(tmp_path):
    with tracked() as run:
        for part in ("train", "val"):
            with tensorboard.SummaryWriter(str(tmp_path / part)) as writer:
                writer.add_scalar("loss", 1.0 if part == "train" else 2.0, 3)

    assert readings(run, "metric", "train/loss") == [(3, 1.0)]
    assert readings(run, "metric", "val/loss") == [(3, 2.0)]
    assert meaning_of("val/loss") is VAL_LOSS


def test_a_number_that_was_logged_with_mlflow_too_is_there_once(tmp_path):
    with tracked() as run, tensorboard.SummaryWriter(tmp_path) as writer:
        run._session.log({"loss": 1.0}, 0, in_mlflow=True)
        writer.add_scalar("loss", 1.0, 0)
        writer.add_scalar("loss", 0.9, 1)

    assert readings(run, "metric/mlflow", "loss") == [(0, 1.0)]
    assert readings(run, "metric", "loss") == [(1, 0.9)]


def test_what_is_no_number_fails_as_it_does_without_us(tmp_path):
    with tracked() as run, tensorboard.SummaryWriter(tmp_path) as writer, pytest.raises(AssertionError):
        writer.add_scalar("loss", torch.ones(3), 0)

    assert readings(run, "metric") == []
    assert fault_parts(run) == []
