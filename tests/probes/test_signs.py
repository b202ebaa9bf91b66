"""What tells kinds of training apart: targets, drawn actions, weights of before."""

import copy

import pytest
import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional

from tests.trainings import facts, fault_parts, mlp, tracked


def signs(train):
    """What was told last of a training, a function."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        with tracked() as run:
            train()
    assert fault_parts(run) == []
    return facts(run, "signs")[-1]


def fit(model, make_loss, steps=6):
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        make_loss().backward()
        optimizer.step()


def test_an_ordinary_training_shows_none_of_them():
    model, labels = mlp(), torch.arange(8) % 3

    assert signs(lambda: fit(model, lambda: functional.cross_entropy(model(torch.randn(8, 6)), labels))) == {
        "targets": None, "picked": False, "credit": False, "acting": 0.0, "samples": 0, "scored": 0, "crossed": None,
        "reloads": 0, "pretrained": False,
    }  # fmt: skip


def test_a_forecast_of_the_next_value_is_not_made_of_the_inputs():
    model = nn.Linear(1, 1)

    def make_loss():
        wave = torch.sin(torch.arange(33) / 8 + torch.rand(4, 1)).unsqueeze(-1)
        return functional.mse_loss(model(wave[:, :-1]), wave[:, 1:])

    assert signs(lambda: fit(model, make_loss))["targets"] is None


class WithTime(nn.Module):
    """A denoiser that is told how much noise there is."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(17, 16)

    def forward(self, x, t):
        return self.net(torch.cat([x, t[:, None]], 1))


@pytest.mark.parametrize(
    ("make_targets", "expected"),
    [
        (lambda x: x, "input"),
        (lambda x: x.clone(), "input"),
        (lambda x: x + 0.3 * torch.randn_like(x), "like input"),
        (lambda x: torch.randn_like(x), None),
        (lambda x: x.mean(1, keepdim=True), None),
        (lambda x: torch.zeros_like(x), None),
    ],
)
def test_targets_made_of_the_inputs_are_known(make_targets, expected):
    model = mlp(16, 16)

    def make_loss():
        x = torch.rand(8, 16)
        y = make_targets(x)
        return functional.mse_loss(model(x)[:, : y.shape[1]], y)

    assert signs(lambda: fit(model, make_loss))["targets"] == expected


@pytest.mark.parametrize(("scale", "expected"), [(1.0, "noise"), (3.0, "like input")])
def test_standard_normal_targets_beside_a_time_are_those_of_diffusion(scale, expected):
    model = WithTime()

    def make_loss():
        noise, t = scale * torch.randn(64, 16), torch.rand(64)
        return functional.mse_loss(model(noise + 0.5 * torch.rand(64, 16), t), noise)

    assert signs(lambda: fit(model, make_loss))["targets"] == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([torch.randperm(8) for _ in range(6)], "place"),
        ([torch.arange(8) // 2] * 6, None),
        ([torch.arange(8), torch.arange(8) // 2, *[torch.arange(8)] * 4], None),
    ],
    ids=["permutations", "labels", "labels that were all different once"],
)
def test_targets_that_are_places_in_the_batch_are_known(labels, expected):
    model, batches = mlp(), iter(labels)

    def make_loss():
        a, b = model(torch.randn(8, 6)), model(torch.randn(8, 6))
        return functional.cross_entropy(a @ b.t(), next(batches))

    assert signs(lambda: fit(model, make_loss))["targets"] == expected


def test_actions_that_are_drawn_and_scored_are_counted():
    policy = mlp()

    def make_loss():
        chances = Categorical(logits=policy(torch.randn(8, 6)))
        action = chances.sample()
        return -(chances.log_prob(action) * torch.randn(8)).mean()

    found = signs(lambda: fit(policy, make_loss))

    # The first draw comes ahead of the first step of the run.
    assert found["samples"] >= 5
    assert found["scored"] >= 5


ACTIONS = torch.tensor([0, 2, 1, 1, 0, 2, 2, 0])


@pytest.mark.parametrize(
    ("pick", "expected"),
    [
        (lambda values: values.gather(1, ACTIONS[:, None]).squeeze(1), True),
        (lambda values: values[range(8), ACTIONS], True),
        (lambda values: values[torch.arange(8), ACTIONS], True),
        (lambda values: values[torch.arange(8) > 2, 0], False),
        (lambda values: values[:, 0], False),
    ],
)
def test_values_of_actions_are_told_from_masks_and_columns(pick, expected):
    model = mlp()

    def make_loss():
        values = pick(model(torch.randn(8, 6)))
        return ((values - torch.randn(len(values))) ** 2).mean()

    assert signs(lambda: fit(model, make_loss))["picked"] is expected


@pytest.mark.parametrize(
    ("low", "make_scores", "expected"),
    [
        (-1.0, lambda out: out.log_softmax(1)[torch.arange(8), ACTIONS], True),
        (-1.0, lambda out: torch.stack([out.softmax(1).gather(1, ACTIONS[:, None]).squeeze(1).log()]), True),
        (0.1, lambda out: out.log_softmax(1)[torch.arange(8), ACTIONS], False),
        (-1.0, lambda out: out[:, 0], False),
    ],
)
def test_rewards_on_log_probabilities_are_told_from_weights(low, make_scores, expected):
    model = mlp()

    def make_loss():
        return -(make_scores(model(torch.randn(8, 6))) * torch.linspace(low, 1.0, 8)).mean()

    assert signs(lambda: fit(model, make_loss))["credit"] is expected


def test_scores_of_what_the_model_made_by_itself_do_not_count():
    model = mlp()
    base = torch.distributions.Normal(0.0, 1.0)

    assert signs(lambda: fit(model, lambda: -base.log_prob(model(torch.randn(8, 6))).mean()))["scored"] == 0


def test_a_model_that_is_asked_without_gradients_in_each_step_acts():
    model = mlp()

    def make_loss():
        with torch.no_grad():
            following = model(torch.randn(8, 6)).max(1).values
        return functional.mse_loss(model(torch.randn(8, 6))[:, 0], following)

    assert signs(lambda: fit(model, make_loss))["acting"] > 0.8


def in_turn(first_loss, second_loss, first, second):
    optimizers = [torch.optim.SGD(model.parameters(), 0.01) for model in (first, second)]
    for _ in range(6):
        for optimizer, make_loss in zip(optimizers, (first_loss, second_loss), strict=True):
            optimizer.zero_grad()
            make_loss().backward()
            optimizer.step()


def test_the_losses_of_a_gan_cross_and_those_of_two_models_side_by_side_do_not():
    critic, generator = mlp(6, 1), mlp(4, 6)
    other = mlp(6, 1, seed=1)

    def judged():
        return critic(generator(torch.randn(8, 4)).detach()).mean()

    gan = signs(lambda: in_turn(judged, lambda: -critic(generator(torch.randn(8, 4))).mean(), critic, generator))
    both = signs(
        lambda: in_turn(
            lambda: critic(torch.randn(8, 6)).mean(), lambda: other(torch.randn(8, 6)).mean(), critic, other
        )
    )

    assert gan["crossed"] is True
    assert both["crossed"] is False


def test_weights_that_are_replaced_and_trained_on_are_counted_and_those_put_back_at_the_end_are_not():
    model = mlp()
    start = copy.deepcopy(model.state_dict())

    def train(again):
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        for _ in range(5):
            optimizer.zero_grad()
            model(torch.randn(8, 6)).square().mean().backward()
            optimizer.step()
            if again:
                model.load_state_dict(start)
        model.load_state_dict(start)

    assert signs(lambda: train(again=False))["reloads"] == 0
    assert signs(lambda: train(again=True))["reloads"] == 4


def body_then_head(make_features, head, body):
    fit(body, lambda: body(torch.randn(8, 6)).square().mean())
    fit(head, lambda: functional.cross_entropy(head(make_features()), torch.arange(8) % 2))


def test_a_head_on_a_body_that_was_trained_before_is_known():
    body, head = mlp(6, 4), nn.Linear(4, 2)

    def features():
        with torch.no_grad():
            return body(torch.randn(8, 6))

    assert signs(lambda: body_then_head(features, head, body))["pretrained"] is True


def test_a_second_model_beside_one_that_was_trained_before_is_new():
    body, head = mlp(6, 4), nn.Linear(4, 2)

    assert signs(lambda: body_then_head(lambda: torch.randn(8, 4), head, body))["pretrained"] is False


def test_a_copy_of_trained_weights_that_goes_on_is_known():
    first, second = mlp(), mlp(seed=1)

    def train():
        fit(first, lambda: first(torch.randn(8, 6)).square().mean())
        second.load_state_dict(first.state_dict())
        fit(second, lambda: second(torch.randn(8, 6)).square().mean())

    assert signs(train)["pretrained"] is True
