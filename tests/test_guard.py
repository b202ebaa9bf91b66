"""A fault of ours is noted once, switches its part off, and never reaches the training."""

from __future__ import annotations

import random
import traceback
from unittest import mock

import pytest
import torch

from tests.trainings import events, fault_parts, loader, mlp, readings, step, tracked
from tracker.guard import Guard, clean_traceback
from tracker.on_import import when_imported


def train(run=None):
    """A usual training; weights, losses and random states."""
    random.seed(5)
    torch.manual_seed(5)
    model = mlp()
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    losses = []
    for _ in range(3):
        for x, y in loader(24, 8, shuffle=True):
            losses.append(step(model, optimizer, x, y))
        loss = torch.nn.functional.cross_entropy(model(x), y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        if run is not None:
            run.log(val_loss=0.5)
            run.epoch()
    return [p.tolist() for p in model.parameters()], losses, random.random(), torch.rand(2).tolist()


def broken(*_args, **_kwargs):
    raise RuntimeError("a fault of ours")


FAULTS = {
    "loss": ["tracker.probes.losses.Losses.backward"],
    "loss-node": ["tracker.probes.losses.terms_of"],
    "gradients": ["tracker.probes.gradients.norm_vectors"],
    "schedule": ["tracker.probes.rates.Rates.after_step"],
    "optimizer": ["tracker.probes.optimizers.Owned"],
    "precision": ["tracker.probes.precision.Precision.before_update"],
    "loop": ["tracker.probes.loop._without_repeats"],
    "backward": ["tracker.probes.manual.ManualLoop.has_changed"],
    "loader": ["tracker.session.Session.note_loader"],
    "hyperparameters": ["tracker.capture.process.ProcessFacts.at_first_step"],
    "weights": ["tracker.probes.weights.digest"],
    "engine": ["tracker.rules.engine.trace.Trace.feed"],
    "capture": ["tracker.capture.process.ProcessFacts.at_end"],
    "log": ["tracker.session.Session.log"],
    "epoch": ["tracker.session.Session.end_epoch_as_told"],
    "end": ["tracker.probes.training.Training.finish"],
    "signals": ["tracker.signals.Termination.install"],
    "torch": ["tracker.probes.hooks.install"],
    "none, the closing line": ["tracker.report.console.terminal.Terminal.closing"],
}


@pytest.mark.parametrize("part", FAULTS)
def test_a_fault_in_a_part_leaves_the_training_as_it_is(part, monkeypatch):
    monkeypatch.delenv("TRACKER_STRICT")
    bare = train()
    target = FAULTS[part][-1]
    with mock.patch(target, broken), tracked() as run:
        observed = train(run)
    off = run._session.guard.off

    assert observed == bare
    if not part.startswith("none"):
        assert part in off
        assert "a fault of ours" in off[part]
        assert fault_parts(run).count(part) == 1
    assert len(fault_parts(run)) == len(set(fault_parts(run)))
    assert len(events(run, "end")) == 1


def test_a_part_that_is_off_leaves_the_others_on(monkeypatch):
    monkeypatch.delenv("TRACKER_STRICT")
    with mock.patch("tracker.probes.gradients.norm_vectors", broken), tracked() as run:
        train(run)

    assert fault_parts(run) == ["gradients"]
    assert len(readings(run, "loss")) == 12
    assert readings(run, "lr", "0") == [(0, 1e-2)]
    assert readings(run, "grad_norm") == []
    assert run.verdict is not None


def test_in_strict_mode_our_fault_is_raised():
    with (
        pytest.raises(RuntimeError, match="a fault of ours"),
        mock.patch("tracker.probes.gradients.norm_vectors", broken),
        tracked() as run,
    ):
        train(run)


def test_a_fault_is_recorded_once_and_names_its_place(monkeypatch):
    monkeypatch.delenv("TRACKER_STRICT")
    told = []
    guard = Guard(lambda part, reason: told.append((part, reason)))
    for _ in range(3):
        with guard.part("loss"):
            broken()

    assert [part for part, _ in told] == ["loss"]
    assert told[0][1].startswith("RuntimeError: a fault of ours (test_guard.py:")


def test_a_recorder_that_fails_itself_is_survived(monkeypatch, capsys):
    monkeypatch.delenv("TRACKER_STRICT")
    with Guard(broken).part("loss"):
        broken()

    assert "loss is off" in capsys.readouterr().err


def test_ctrl_c_is_no_fault(monkeypatch):
    monkeypatch.delenv("TRACKER_STRICT")
    guard = Guard(lambda *_: None)
    with pytest.raises(KeyboardInterrupt), guard.part("loss"):
        raise KeyboardInterrupt

    assert guard.off == {}


def test_our_frames_are_taken_out_of_an_exception_and_of_its_cause():
    try:
        try:
            when_imported("sys", broken)  # called by a frame of ours
        except RuntimeError as error:
            raise KeyError("second") from error
    except KeyError as error:
        caught = error
    before = files(caught.__cause__)
    clean_traceback(caught)

    assert [name for name in before if "tracker/on_import.py" in name]
    assert not [name for name in files(caught.__cause__) if "/tracker/" in name]
    assert len(files(caught.__cause__)) == len(before) - 1
    assert files(caught) == [__file__]


def files(error):
    found, at = [], error.__traceback__
    while at is not None:
        found.append(at.tb_frame.f_code.co_filename)
        at = at.tb_next
    return found


class Broken(torch.utils.data.Dataset):
    """A data set with a fault."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        raise ValueError("no such sample")


@pytest.mark.parametrize("fault", ["in the data", "in backward", "in clipping"])
def test_a_traceback_that_the_user_prints_in_the_block_has_no_frame_of_ours(fault):
    def caught():
        model = torch.nn.Linear(2, 1)
        try:
            if fault == "in the data":
                next(iter(torch.utils.data.DataLoader(Broken())))
            elif fault == "in backward":
                loss = model(torch.ones(1, 2)).sum()
                loss.backward()
                loss.backward()
                loss.exp().backward(torch.ones(3))
            else:
                model(torch.ones(1, 2)).sum().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), "one")
        except Exception:
            return traceback.format_exc()

    bare = caught()
    with tracked():
        observed = caught()

    assert "Error" in bare
    assert observed == bare
