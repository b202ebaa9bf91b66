"""What the source of a model says of its dropout."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.trainings import facts, tracked

torch.set_num_threads(1)


class Net(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.drop = getattr(self, how)

    def forward(self, x):
        return self.drop(self.fc(x))

    def told(self, x):
        return F.dropout(x, 0.5, self.training)

    def keyword(self, x):
        return F.dropout(x, p=0.5, training=self.training)


class Always(Net):
    def forward(self, x):
        return F.dropout(self.fc(x), p=0.5)


def said(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 6)).sum().backward()
            optimizer.step()
    return facts(run, "always_dropout")


def test_a_dropout_that_is_not_told_of_the_mode_is_said_with_its_line():
    ((found,),) = said(Always("told"))

    assert (found["class"], found["call"]) == ("Always", "F.dropout(self.fc(x), p=0.5)")
    with open(__file__) as file:
        assert "F.dropout(self.fc(x), p=0.5)" in file.readlines()[found["line"] - 1]


@pytest.mark.parametrize("how", ["told", "keyword"])
def test_one_that_is_told_is_not_said(how):
    assert said(Net(how)) == []
