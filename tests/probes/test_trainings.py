"""A run that trains one model after another: each training is told apart, and judged for itself."""

import torch
from torch.nn import functional

from tests.trainings import data, events, facts, fault_parts, mlp, readings, step, tracked


def train(model: torch.nn.Module, steps: int = 15, lr: float = 0.1) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr)
    x, y = data()
    for _ in range(steps):
        step(model, optimizer, x, y)


def test_the_folds_of_a_cross_validation_are_trainings_of_their_own():
    with tracked() as run:
        for fold in range(3):
            train(mlp(seed=fold))
    begun = [(event.step, event.data["number"]) for event in events(run, "training")]
    ends = [event.data["last_step"] for event in events(run, "epoch")]
    judged = [event.data["phase"] for event in events(run, "judge")]

    assert begun == [(15, 1), (30, 2)]
    assert [at for at in ends if at in (14, 29, 44)] == [14, 29, 44]
    assert judged.count("run") == 3
    assert len(readings(run, "loss")) == 45
    assert len(facts(run, "loss")) == 1
    assert fault_parts(run) == []


def test_the_loss_of_another_training_is_told_for_itself():
    x, y = data()
    with tracked() as run:
        for classes in (3, 2):
            model = mlp(n_out=classes)
            optimizer = torch.optim.SGD(model.parameters(), 0.1)
            for _ in range(15):
                step(model, optimizer, x, y % classes)

    assert [one["n_classes"] for one in facts(run, "loss")] == [3, 2]


def test_the_first_loss_of_a_training_is_written_behind_its_beginning():
    from tests.trainings import records

    with tracked() as run:
        train(mlp(seed=0))
        train(mlp(seed=1))
    order = [
        (r.step if r.signal == "loss" else None) if hasattr(r, "signal") else r.name
        for r in records(run)
        if getattr(r, "name", "") == "training" or getattr(r, "signal", "") == "loss"
    ]

    assert order[14:17] == [14, "training", 15]


def test_a_new_optimizer_for_the_same_model_goes_on():
    model = mlp()
    with tracked() as run:
        train(model, 12)
        train(model, 12, lr=0.01)

    assert events(run, "training") == []


def test_a_head_that_is_trained_before_the_whole_is_one_training():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        for parameters in (model[2].parameters(), model.parameters()):
            optimizer = torch.optim.SGD(parameters, 0.1)
            for _ in range(12):
                step(model, optimizer, x, y)

    assert events(run, "training") == []


def test_the_two_models_of_a_gan_are_one_training():
    maker, critic = mlp(4, 6), mlp(6, 1)
    with tracked() as run:
        first, second = torch.optim.Adam(maker.parameters(), 0.01), torch.optim.Adam(critic.parameters(), 0.01)
        for _ in range(12):
            second.zero_grad()
            (critic(maker(torch.randn(8, 4)).detach()).mean() - critic(torch.randn(8, 6)).mean()).backward()
            second.step()
            first.zero_grad()
            (-critic(maker(torch.randn(8, 4))).mean()).backward()
            first.step()

    assert events(run, "training") == []


def test_a_pretrained_body_with_a_new_head_is_another_training():
    model, (x, y) = mlp(), data()
    with tracked() as run:
        train(model)
        model[2] = torch.nn.Linear(8, 2)
        optimizer = torch.optim.Adam(model.parameters(), 0.01)
        for _ in range(15):
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y % 2).backward()
            optimizer.step()

    assert [event.step for event in events(run, "training")] == [15]
