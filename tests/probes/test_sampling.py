"""How often a step is looked at closely, by a clock that the tests turn."""

import pytest

from tracker.probes import sampling
from tracker.probes.sampling import DENSE, FEW, FIRST_EVERY, MAX_EVERY, MOST_ANEW, Governor


class Loop:
    """A training whose steps take as long as is said, observed at costs that are said."""

    def __init__(self, monkeypatch, step, look, plain=20e-6, observe="standard"):
        self.now = 1000.0
        monkeypatch.setattr(sampling, "perf_counter", lambda: self.now)
        self.governor = Governor(observe)
        self.governor.begin(0)
        self.done = 0
        self.step, self.look, self.plain = step, look, plain
        self.looks = []
        self.changes = []

    def spend(self, seconds):
        self.now += seconds
        self.governor.spent += seconds

    def train(self, steps):
        for _ in range(steps):
            self.now += self.step
            close = self.governor.is_close(self.done)
            self.spend(self.look if close else self.plain)
            if close:
                self.looks.append(self.done)
            self.done += 1
            if close or self.governor.is_close(self.done):
                self.governor.is_over(self.governor.spent, close)
                if self.governor.adjust(self.done):
                    self.changes.append((self.done, self.governor.every))

    def share(self, steps):
        """What is spent in the next steps, in shares of what they take by themselves."""
        before, began = self.governor.spent, self.now
        self.train(steps)
        spent = self.governor.spent - before
        return spent / (self.now - began - spent)


@pytest.mark.parametrize(
    ("step", "look", "budget"),
    [(0.3, 0.1, 0.01), (0.045, 0.03, 0.01), (0.01, 0.005, 0.02), (0.0015, 0.003, 0.05), (0.0002, 0.002, 0.25)],
)
def test_a_long_training_stays_within_the_budget_and_uses_it(monkeypatch, step, look, budget):
    loop = Loop(monkeypatch, step, look)
    loop.train(int(600 / step) if step > 0.001 else 300_000)
    later = loop.share(20_000)

    assert budget / 4 < later < budget
    assert loop.governor.share < budget


def test_steps_that_cost_too_much_by_themselves_are_looked_at_as_rarely_as_can_be(monkeypatch):
    loop = Loop(monkeypatch, 0.001, 0.003, plain=80e-6)
    loop.train(100_000)

    assert loop.governor.every == MAX_EVERY


@pytest.mark.parametrize(("observe", "more"), [("full", 1), ("standard", 0), ("light", -1)])
def test_full_observation_looks_more_often_and_light_less(monkeypatch, observe, more):
    usual = Loop(monkeypatch, 0.01, 0.005)
    usual.train(60_000)
    usual_every = usual.governor.every
    loop = Loop(monkeypatch, 0.01, 0.005, observe=observe)
    loop.train(60_000)

    assert (usual_every > loop.governor.every) - (usual_every < loop.governor.every) == more


def test_the_beginning_is_observed_densely_whatever_it_costs(monkeypatch):
    loop = Loop(monkeypatch, 0.01, 0.02)
    loop.train(500)

    assert loop.looks == [*range(DENSE), *range(DENSE, 500, FIRST_EVERY)]


def test_a_beginning_that_costs_more_than_may_be_spent_ends_early(monkeypatch):
    loop = Loop(monkeypatch, 0.001, 0.1)
    loop.train(2_000)

    assert loop.governor.every > FIRST_EVERY
    assert loop.governor.spent < sampling.ALLOWANCE + 0.6  # a few looks more, and the other steps


def test_looks_that_have_become_cheap_are_made_more_often_at_once(monkeypatch):
    loop = Loop(monkeypatch, 0.0019, 0.03)
    loop.train(200_000)
    rare = loop.governor.every
    loop.look = 0.0005
    loop.train(20_000)

    assert rare == MAX_EVERY
    assert loop.governor.every <= 80


def test_ends_of_epochs_count_against_the_looks(monkeypatch):
    found = []
    for epoch in (0.0, 0.008):
        loop = Loop(monkeypatch, 0.01, 0.005)
        for _ in range(600):
            loop.train(100)
            loop.spend(epoch)
        found.append(loop.governor.every)
        assert loop.governor.share < 0.02

    assert found[1] >= 2 * found[0]


def test_the_sampling_does_not_go_back_and_forth(monkeypatch):
    loop = Loop(monkeypatch, 0.01, 0.005)
    loop.train(30_000)
    settled = len(loop.changes)
    room = sampling.RESERVE * 0.02 * 0.01 - loop.plain - sampling.BESIDE
    for number in range(100):
        loop.look = 40 * room * (1.05 if number % 2 else 0.95)  # looking at one step in forty is just within the budget
        loop.train(400)

    assert len(loop.changes) - settled <= 2
    assert loop.governor.every in (40, 80)


def test_a_thinner_sampling_goes_on_with_steps_of_the_denser_one(monkeypatch):
    loop = Loop(monkeypatch, 0.001, 0.004)
    loop.train(100_000)

    assert loop.changes
    assert all(every == MAX_EVERY or (every // FIRST_EVERY).bit_count() == 1 for _, every in loop.changes)
    assert all(step % FIRST_EVERY == 0 for step in loop.looks[DENSE:])


def test_one_look_that_took_very_long_changes_little(monkeypatch):
    loop = Loop(monkeypatch, 0.01, 0.005)
    loop.train(60_000)
    usual = loop.governor.every
    loop.look = 0.5
    loop.train(usual)
    loop.look = 0.005
    loop.train(4 * usual)

    assert loop.governor.every <= 2 * usual


def test_what_was_spent_ahead_of_the_first_step_does_not_count(monkeypatch):
    loop = Loop(monkeypatch, 0.01, 0.005)
    loop.spend(30.0)
    loop.governor.begin(0)
    loop.train(60_000)
    usual = Loop(monkeypatch, 0.01, 0.005)
    usual.train(60_000)

    assert loop.governor.every == usual.governor.every


def test_each_further_training_is_looked_at_from_its_first_steps_though_nothing_is_left_to_spend(monkeypatch):
    loop = Loop(monkeypatch, 0.001, 0.5)
    loop.train(2000)
    first = []
    for _ in range(MOST_ANEW + 1):
        begun = loop.done + 7 - loop.done % 10  # none of those that are looked at anyway
        loop.train(begun - loop.done)
        loop.governor.look_again(begun)
        first.append([loop.governor.is_close(step) for step in range(begun, begun + FEW)])
        loop.train(90)

    assert not loop.governor.has_room
    assert first[:-1] == [[True] * FEW] * MOST_ANEW
    assert first[-1] == [False] * FEW
