"""Which states of the model a user takes and puts back."""

import copy

import torch

from tests.trainings import data, facts, fault_parts, mlp, step, tracked


def test_the_steps_at_which_the_model_is_saved_and_put_back_are_told():
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = data()
    with tracked() as run:
        for at in range(6):
            step(model, optimizer, x, y)
            if at in (1, 3):
                best = copy.deepcopy(model.state_dict())
        model.load_state_dict(best)

    assert facts(run, "kept")[-1] == {"saved": [1, 3], "loaded": [5]}
    assert fault_parts(run) == []


def test_a_part_of_the_model_counts_once_and_another_model_does_not():
    model, other = mlp(), mlp(seed=1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    x, y = data()
    with tracked() as run:
        model.load_state_dict(other.state_dict())  # ahead of the first step: no state of this training
        for _ in range(3):
            step(model, optimizer, x, y)
        other.state_dict()
        model[0].state_dict()

    assert facts(run, "kept") == [{"saved": [2], "loaded": []}]
