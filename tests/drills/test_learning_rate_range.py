"""A sweep of the learning rate: where the loss falls, where it breaks, and what is said of the user's own rate."""

import math
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from tracker.drilling.drill import Notes, Skip
from tracker.drilling.preflight import Preflight, preflight
from tracker.drilling.subject import Subject
from tracker.drills.learning_rate_range import LearningRateRange, Sweep
from tracker.rules.engine.records import Reading

NAME = LearningRateRange.name


def _batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(32, 10, generator=generator), torch.randint(0, 4, (32,), generator=generator)


def _model():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 4))


def _drilled(model, optimizer) -> Preflight:
    return preflight(model, nn.CrossEntropyLoss(), _batch(), optimizer=optimizer, only=(NAME,), log=False)


def _fact(found: Preflight):
    return next(one.value for one in found._judged.records if getattr(one, "name", "") == f"drill/{NAME}")


def _driven(model, optimizer, step):
    """What the drill measures with `step` as the user's own iteration, which gives its loss."""
    notes = Notes(NAME)
    drive = LearningRateRange().drive(Subject(model, _batch()[:1], optimizers=[optimizer]), notes)
    next(drive)
    with suppress(StopIteration):
        while True:
            try:
                loss = step()
            except ValueError as error:
                drive.throw(error)
            else:
                drive.send(loss)
    return notes


def _step(model, optimizer):
    inputs, labels = _batch()
    optimizer.zero_grad()
    loss = cross_entropy(model(inputs), labels)
    loss.backward()
    optimizer.step()
    return float(loss.detach())


@pytest.mark.parametrize(
    ("rate", "rule"),
    [
        (1e-9, "learning-rate-far-below-range"),
        (1e-3, ""),
        (0.3, ""),
        (30.0, "learning-rate-beyond-divergence"),
    ],
)
def test_a_rate_at_which_nothing_is_learnt_fails_and_others_pass(rate, rule):
    model = _model()
    found = _drilled(model, torch.optim.SGD(model.parameters(), rate, momentum=0.9))
    row = found.row(NAME)

    assert [one["rule"] for one in row.findings] == ([rule] if rule else [])
    assert row.status == ("failed" if rule else "passed")
    assert f"at yours, {rate:.3g}, it goes from" in row.says


def test_the_loss_falls_fastest_far_below_where_it_breaks():
    model = _model()
    found = _drilled(model, torch.optim.Adam(model.parameters(), 1e-3))
    fact = _fact(found)
    sweep = [one for one in found._judged.records if isinstance(one, Reading) and one.subject == NAME]

    assert 1e-3 < fact["steepest"] < 0.3
    assert fact["breaks_at"] is None or fact["breaks_at"] > 3 * fact["steepest"]
    assert len(sweep) == 2 * fact["iterations"] >= 80
    assert all(math.isfinite(one.value) for one in sweep)


def test_everything_is_as_before_even_a_rate_that_is_a_tensor():
    model = _model()
    rate = torch.tensor(1e-3)
    optimizer = torch.optim.Adam([{"params": model[0].parameters(), "lr": rate}, {"params": model[2].parameters()}])
    before = [one.detach().clone() for one in model.parameters()]
    groups = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    _drilled(model, optimizer)

    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert optimizer.param_groups[0]["lr"] is rate
    assert rate.item() == torch.tensor(1e-3).item()
    assert [
        {key: group[key] for key in known} for group, known in zip(optimizer.param_groups, groups, strict=True)
    ] == (groups)
    assert not optimizer.state
    assert not optimizer._optimizer_step_pre_hooks


def test_a_loop_that_sets_the_rate_by_hand_does_not_defeat_the_sweep():
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    used = []

    def step():
        for group in optimizer.param_groups:
            group["lr"] = 0.1
        loss = _step(model, optimizer)
        used.append(optimizer.param_groups[0]["lr"])
        return loss

    _driven(model, optimizer, step)

    assert not optimizer._optimizer_step_pre_hooks
    assert min(used) == pytest.approx(1e-7)
    assert max(used) > 1


def test_groups_keep_the_ratio_of_their_rates():
    model = _model()
    optimizer = torch.optim.SGD([{"params": model[0].parameters(), "lr": 0.1}, {"params": model[2].parameters()}], 0.01)
    ratios = set()

    def step():
        ratios.add(round(optimizer.param_groups[0]["lr"] / optimizer.param_groups[1]["lr"], 6))
        return _step(model, optimizer)

    _driven(model, optimizer, step)

    assert ratios == {10.0}


def test_a_loop_that_stops_at_a_loss_that_is_no_number_ends_the_sweep():
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)

    def step():
        if optimizer.param_groups[0]["lr"] > 1:
            raise ValueError("the loss explodes")
        return _step(model, optimizer)

    notes = _driven(model, optimizer, step)

    assert 0.5 < notes.value["breaks_at"] < 1
    assert notes.value["own_finite"] is True


def test_a_loss_that_is_known_by_heart_and_wobbles_is_not_broken():
    sweep = Sweep()
    for loss in [2.3] * 5 + [1.0, 0.1, 0.01] + [1e-4] * 20 + [0.2, 1.9, 0.3, 1e-4]:
        sweep.add(loss)

    assert sweep.broken is None
    for _ in range(10):
        sweep.add(9.0)
    assert sweep.broken == 31  # the step behind the last good loss


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda model: torch.optim.LBFGS(model.parameters()), "LBFGS chooses the size of its steps itself"),
        (lambda model: torch.optim.Rprop(model.parameters()), "Rprop chooses"),
        (lambda model: torch.optim.SGD(model.parameters(), 0.0), "the learning rate is 0"),
    ],
)
def test_an_optimizer_whose_rate_cannot_be_swept_is_skipped_with_the_reason(make, reason):
    model = _model()
    row = _drilled(model, make(model)).row(NAME)

    assert row.status == "skipped"
    assert reason in row.says


def test_steps_that_do_not_follow_the_rate_of_the_groups_are_told_apart():
    class Stubborn(torch.optim.SGD):
        def step(self, closure=None):
            with torch.no_grad():
                for one in self.param_groups[0]["params"]:
                    one -= 0.1 * one.grad

    model = _model()
    row = _drilled(model, Stubborn(model.parameters(), 0.1)).row(NAME)

    assert row.status == "skipped"
    assert "do not follow the learning rate" in row.says


def test_a_loop_that_is_too_slow_for_a_sweep_is_asked_for_two_iterations():
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    drive = LearningRateRange(seconds=1e-6).drive(Subject(model, _batch()[:1], optimizers=[optimizer]), Notes(NAME))
    next(drive)
    drive.send(_step(model, optimizer))
    with pytest.raises(Skip, match="an iteration takes"):
        drive.send(_step(model, optimizer))

    assert optimizer.param_groups[0]["lr"] == 0.1


def test_a_warm_up_is_judged_by_the_rate_it_begins_with():
    model = _model()
    optimizer = torch.optim.SGD(model.parameters(), 30.0)
    torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-3 * (step + 1))
    found = _drilled(model, optimizer)

    assert found.row(NAME).status == "passed"
    assert _fact(found)["own"] == pytest.approx(0.03)
    assert _fact(found)["peak"] == 30.0
