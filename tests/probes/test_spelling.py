"""What the source of a model says of its dropout and of its normalisation."""

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


def said(model, fact="always_dropout"):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with tracked() as run:
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(4, 6)).sum().backward()
            optimizer.step()
    return facts(run, fact)


def test_a_dropout_that_is_not_told_of_the_mode_is_said_with_its_line():
    ((found,),) = said(Always("told"))

    assert (found["class"], found["call"]) == ("Always", "F.dropout(self.fc(x), p=0.5)")
    with open(__file__) as file:
        assert "F.dropout(self.fc(x), p=0.5)" in file.readlines()[found["line"] - 1]


@pytest.mark.parametrize("how", ["told", "keyword"])
def test_one_that_is_told_is_not_said(how):
    assert said(Net(how)) == []


class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 3)
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("var", torch.ones(3))


class AlwaysOfTheBatch(Normed):
    def forward(self, x):
        return F.batch_norm(self.fc(x), self.mean, self.var, training=True)


class AlwaysByPlace(Normed):
    def forward(self, x):
        return F.batch_norm(self.fc(x), self.mean, self.var, None, None, True, 0.1)


class Told(Normed):
    def forward(self, x):
        return F.batch_norm(self.fc(x), self.mean, self.var, training=self.training)


class Forked(Normed):
    def forward(self, x):
        if not self.training:
            return F.batch_norm(self.fc(x), self.mean, self.var)
        return F.batch_norm(self.fc(x), self.mean, self.var, training=True)


class OnDemand(Normed):
    def forward(self, x, adapts=False):
        if adapts:
            return F.batch_norm(self.fc(x), self.mean, self.var, training=True)
        return F.batch_norm(self.fc(x), self.mean, self.var)


class KeepsNone(Normed):
    def forward(self, x):
        return F.batch_norm(self.fc(x), None, None, training=True)


class OfEachSample(Normed):
    def forward(self, x):
        mean, var = self.mean.repeat(1), self.var.repeat(1)
        return F.batch_norm(self.fc(x), mean, var, training=True)


@pytest.mark.parametrize("kind", [AlwaysOfTheBatch, AlwaysByPlace])
def test_a_batch_norm_that_keeps_statistics_and_never_uses_them_is_said(kind):
    ((found,),) = said(kind(), "always_batch_norm")

    assert found["class"] == kind.__name__
    with open(__file__) as file:
        assert found["call"] in file.readlines()[found["line"] - 1]


@pytest.mark.parametrize("kind", [Told, Forked, OnDemand, KeepsNone, OfEachSample])
def test_a_batch_norm_that_follows_the_mode_or_keeps_nothing_is_not_said(kind):
    assert said(kind(), "always_batch_norm") == []
