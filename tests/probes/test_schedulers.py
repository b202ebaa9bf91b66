"""How often schedulers step, and what they step with."""

import warnings

import pytest
import torch
from torch.optim import lr_scheduler as schedules

from tests.trainings import data, facts, fault_parts, loader, mlp, readings, step, tracked

MAKERS = {
    "LambdaLR": lambda o: schedules.LambdaLR(o, lambda n: 0.9**n),
    "MultiplicativeLR": lambda o: schedules.MultiplicativeLR(o, lambda n: 0.9),
    "StepLR": lambda o: schedules.StepLR(o, 2),
    "MultiStepLR": lambda o: schedules.MultiStepLR(o, [2, 4]),
    "ConstantLR": lambda o: schedules.ConstantLR(o),
    "LinearLR": lambda o: schedules.LinearLR(o),
    "ExponentialLR": lambda o: schedules.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: schedules.PolynomialLR(o),
    "CosineAnnealingLR": lambda o: schedules.CosineAnnealingLR(o, 10),
    "CosineAnnealingWarmRestarts": lambda o: schedules.CosineAnnealingWarmRestarts(o, 4),
    "CyclicLR": lambda o: schedules.CyclicLR(o, 0.01, 0.1),
    "OneCycleLR": lambda o: schedules.OneCycleLR(o, 0.1, total_steps=50),
    "ReduceLROnPlateau": lambda o: schedules.ReduceLROnPlateau(o),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.05),
    "SequentialLR": lambda o: schedules.SequentialLR(
        o, [schedules.ConstantLR(o, 0.1, 2), schedules.ExponentialLR(o, 0.9)], [3]
    ),
    "ChainedScheduler": lambda o: schedules.ChainedScheduler(
        [schedules.ConstantLR(o, 0.1, 2), schedules.ExponentialLR(o, 0.9)]
    ),
    "Warmup": lambda o: Warmup(o),
    "Stubborn": lambda o: Stubborn(o),
}


class Warmup(schedules.LRScheduler):
    def get_lr(self):
        return [base * min(1.0, (self.last_epoch + 1) / 5) for base in self.base_lrs]


class Stubborn(schedules.LRScheduler):
    """Its `step` calls nothing of torch's."""

    def step(self, epoch=None):
        self.last_epoch += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.1 / (self.last_epoch + 1)


def train(make, per="step", epochs=3, before=False):
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        schedule = make(optimizer)
        arguments = (0.5,) if isinstance(schedule, schedules.ReduceLROnPlateau) else ()
        for _ in range(epochs):
            for x, y in loader(32, 8):
                if before:
                    schedule.step(*arguments)
                step(model, optimizer, x, y)
                if per == "step" and not before:
                    schedule.step(*arguments)
            if per == "epoch":
                schedule.step(*arguments)
    return run


@pytest.mark.parametrize("name", MAKERS)
def test_every_kind_of_scheduler_is_counted_once_a_step(name):
    run = train(MAKERS[name])
    (row,) = facts(run, "schedulers")[-1]

    assert row["class"] == name
    assert (row["steps"], row["optimizer_steps"], row["epochs"], row["per"]) == (12, 12, 3, "step")
    assert row["before_optimizer"] is False
    assert readings(run, "scheduler_steps", "0") == [(3, 4), (7, 4), (11, 4)]
    assert fault_parts(run) == []


@pytest.mark.parametrize("name", ["StepLR", "ReduceLROnPlateau", "SequentialLR", "Stubborn"])
def test_a_scheduler_that_steps_with_the_epochs_is_told_from_one_that_steps_with_the_batches(name):
    run = train(MAKERS[name], per="epoch")
    (row,) = facts(run, "schedulers")[-1]

    assert (row["steps"], row["per"]) == (3, "epoch")
    assert [value for _, value in readings(run, "scheduler_steps")] == [1, 1, 1]


def test_what_a_plateau_is_looked_for_in_is_told_in_short():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        schedule = schedules.ReduceLROnPlateau(optimizer, mode="max")
        for value in (2.0, torch.tensor(1.0), 1.5, float("nan"), 0.5, 2.5, 0.75):
            step(model, optimizer, x, y)
            schedule.step(value)

    (row,) = facts(run, "schedulers")[-1]
    assert row["watched"] == {"first": 2.0, "last": 0.75, "lows": 2, "highs": 1}
    assert "watched" not in facts(train(MAKERS["StepLR"]), "schedulers")[-1][0]


def test_a_scheduler_that_steps_ahead_of_its_optimizer_is_told():
    run = train(MAKERS["ExponentialLR"], before=True)

    assert facts(run, "schedulers")[-1][0]["before_optimizer"] is True


def test_a_scheduler_that_steps_with_each_micro_batch_is_told():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        schedule = schedules.CosineAnnealingLR(optimizer, 100)
        for number in range(40):
            torch.nn.functional.cross_entropy(model(x), y).backward()
            if number % 4 == 3:
                optimizer.step()
                optimizer.zero_grad()
            if number > 2:
                schedule.step()

    (row,) = facts(run, "schedulers")[-1]
    assert (row["steps"], row["optimizer_steps"], row["backwards"], row["per"]) == (37, 10, 40, "other")


def test_a_scheduler_that_never_steps_is_told():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        schedule = schedules.StepLR(optimizer, 2)
        for _ in range(3):
            step(model, optimizer, x, y)

    assert schedule.last_epoch == 0
    assert facts(run, "schedulers")[-1][0]["per"] == "never"


def test_a_schedule_that_is_used_up_raises_as_without_us():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        schedule = schedules.OneCycleLR(optimizer, 0.1, total_steps=4)
        for _ in range(4):
            step(model, optimizer, x, y)
            schedule.step()
        step(model, optimizer, x, y)
        with pytest.raises(ValueError, match="number of total steps"):
            schedule.step()

    assert facts(run, "schedulers")[-1][0]["steps"] == 4
    assert fault_parts(run) == []


def test_schedulers_that_are_made_anew_continue_each_other():
    model, (x, y) = mlp(), data()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked() as run:
        for _ in range(40):
            schedule = schedules.ConstantLR(optimizer)
            step(model, optimizer, x, y)
            schedule.step()
            del schedule

    assert [row["steps"] for row in facts(run, "schedulers")[-1]] == [40]


def test_the_warnings_of_a_scheduler_name_the_line_that_called_it():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with tracked(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        schedule = schedules.StepLR(optimizer, 2)
        schedule.step()

    assert [warning.filename for warning in caught] == [__file__]


class Wrapped(torch.optim.Optimizer):
    """An optimizer around another one, as Accelerate makes it: the base class never hears of it."""

    def __init__(self, optimizer):
        self.optimizer = optimizer

    @property
    def param_groups(self):
        return self.optimizer.param_groups

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def zero_grad(self, set_to_none=True):
        self.optimizer.zero_grad(set_to_none)


@pytest.mark.filterwarnings("ignore:Seems like")  # torch's, of the wrapper
def test_a_scheduler_of_a_wrapped_optimizer_is_that_of_the_one_inside():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        optimizer = Wrapped(torch.optim.SGD(model.parameters(), 0.1))
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer.optimizer, lambda step: 0.9**step)
        scheduler.optimizer = optimizer
        for _ in range(6):
            step(model, optimizer, x, y)
            scheduler.step()
    told = facts(run, "schedulers")[-1][0]

    assert (told["optimizer"], told["optimizer_steps"], told["before_optimizer"]) == (0, 6, False)
