"""Each drill begins from the same state, and one that does not leave it so is told as our fault."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tracker.drilling.calling import subject_of
from tracker.drilling.drill import Drill, Drive, Notes, Skip
from tracker.drilling.measuring import drive, measuring
from tracker.drilling.preserved import NotRestored, changed, fingerprint
from tracker.drilling.subject import Subject
from tracker.rules.engine.records import Fact

X, Y = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)), torch.arange(8) % 3


class Training(Drill):
    name, title, in_loop = "training", "trains", True

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        losses = []
        for _ in range(3):
            losses.append((yield))
        notes.fact(losses=losses)


class Changing(Drill):
    name, title = "changing", "changes the weights"

    def measure(self, subject: Subject, notes: Notes) -> None:
        with torch.no_grad():
            for parameter in subject.model.parameters():
                parameter.mul_(2)
        subject.args[0].zero_()
        subject.model.register_forward_hook(lambda *_: None)
        notes.fact(done=True)


class Failing(Changing):
    name = "failing"

    def measure(self, subject: Subject, notes: Notes) -> None:
        super().measure(subject, notes)
        raise RuntimeError("broken")


class Skipping(Training):
    name = "skipping"

    def drive(self, subject: Subject, notes: Notes) -> Drive:
        yield
        raise Skip("not today")


class Escaping(Drill):
    """Changes a weight after everything was put back: as a background thread of a drill would."""

    name, title = "escaping", "breaks the promise"

    def measure(self, subject: Subject, notes: Notes) -> None:
        notes.fact(done=True)


def told(subject: Subject, *drills: Drill) -> dict[str, Any]:
    records: list[Any] = []
    drive(measuring(subject, drills, records.extend, lambda: False, 60.0), subject)
    return {one.name: one.value for one in records if isinstance(one, Fact)}


def a_subject() -> Subject:
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))
    return subject_of(model, nn.CrossEntropyLoss(), (X, Y))


def test_each_drill_begins_from_the_same_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRACKER_STRICT")
    subject = a_subject()
    before = fingerprint(subject.modules, subject.optimizers, subject.others)
    one, other = Training(), Training()
    other.name = "again"  # type: ignore[misc]
    found = told(subject, one, Changing(), Failing(), Skipping(), other)

    assert found["drill/training"] == found["drill/again"]
    assert found["drills/failing"]["status"] == "crashed"
    assert found["drills/failing"]["reason"] == "RuntimeError: broken"
    assert "drill/failing" not in found
    assert found["drills/skipping"]["reason"] == "not today"
    assert changed(before, fingerprint(subject.modules, subject.optimizers, subject.others)) == []


@pytest.mark.parametrize("slow", [-1.0, 1e9])
def test_a_drill_that_breaks_the_promise_is_told_as_our_fault(monkeypatch: pytest.MonkeyPatch, slow: float) -> None:
    from tracker.drilling import checking, measuring

    subject = a_subject()

    class Leaking(measuring.preserved):
        def __exit__(self, *error: Any) -> None:
            super().__exit__(*error)
            subject.model[0].weight.data.add_(1)  # type: ignore[union-attr, operator]

    monkeypatch.setattr(measuring, "preserved", Leaking)
    monkeypatch.setattr(checking, "SLOW", slow)
    with pytest.raises(NotRestored, match=r"model\.0\.weight values differ"):
        told(subject, Escaping())

    monkeypatch.delenv("TRACKER_STRICT")
    found = told(subject, Escaping())
    assert found["drills/escaping"]["status"] == "crashed"
    assert "model.0.weight values differ; please report this as a bug" in found["drills/escaping"]["reason"]


def test_a_loss_that_nothing_leads_to_skips_the_drills_that_train() -> None:
    subject = subject_of(nn.Linear(4, 3), lambda output, targets: output.detach().mean(), (X, Y))
    found = told(subject, Training())

    assert "the loss has no gradient" in found["drills/training"]["reason"]


def test_an_interruption_in_the_loop_ends_all_drills_and_puts_everything_back() -> None:
    subject = a_subject()
    calls = []

    def interrupt(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt

    handle = subject.model.register_forward_hook(interrupt)
    before = fingerprint(subject.modules, subject.optimizers)
    with pytest.raises(KeyboardInterrupt):
        told(subject, Training(), Changing())

    handle.remove()
    after = fingerprint(subject.modules, subject.optimizers)
    assert {name for name in changed(before, after) if "hook" not in name} == set()
    assert not subject.model._forward_hooks
