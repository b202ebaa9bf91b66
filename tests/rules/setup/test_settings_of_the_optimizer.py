import pytest

from tracker.rules import NotApplicable
from tracker.rules.setup.clipping_always_bites import ClippingAlwaysBites
from tracker.rules.setup.optimizer_settings_unusual import OptimizerSettingsUnusual
from tracker.rules.setup.weight_decay_dominates import WeightDecayDominates
from tracker.rules.testing import judge

FLAT, FALLING = [2.0] * 60, [2.0 * 0.97**i for i in range(60)]


@pytest.mark.parametrize(
    ("group", "losses", "fires"),
    [
        ({"betas": [0.9, 0.999], "eps": 1e-8}, FLAT, False),
        ({"betas": [0.999, 0.9], "eps": 1e-8}, FALLING, True),
        ({"betas": [0.0, 0.9], "eps": 1e-8}, FLAT, False),
        ({"betas": [0.9, 0.999], "eps": 1.0}, FLAT, True),
        ({"betas": [0.9, 0.999], "eps": 1.0}, FALLING, False),
        ({"momentum": 0.999}, FLAT, True),
        ({"momentum": 0.99}, FLAT, False),
        ({"momentum": 0.9, "maximize": True}, [2.0 + 0.1 * i for i in range(60)], True),
    ],
)
def test_a_setting_is_told_when_it_is_a_slip_or_the_loss_shows_it(group, losses, fires):
    facts = {"optimizer": [{"class": "Adam" if "betas" in group else "SGD", "groups": [group]}]}

    assert bool(judge(OptimizerSettingsUnusual(), loss=losses, facts=facts)) is fires


def clipping(losses=FLAT, norm=1.0, **way):
    way = {"kind": "norm", "max_norm": 1e-2, "varies": False, "before_unscale": False} | way
    facts = {"clipping": [way], "optimizer": [{"class": "SGD"}]}
    return judge(ClippingAlwaysBites(), loss=losses, clip_norm={"": [norm] * 60}, facts=facts)


def test_clipping_to_a_small_part_is_told_while_the_loss_stands():
    assert clipping()
    assert clipping(FALLING) == []
    assert clipping(norm=0.05) == []


@pytest.mark.parametrize("way", [{"kind": "value"}, {"varies": True}, {"max_norm": None}, {"before_unscale": True}])
def test_clipping_of_another_kind_is_not_judged(way):
    with pytest.raises(NotApplicable):
        clipping(**way)


def test_clipping_is_nothing_to_adam():
    with pytest.raises(NotApplicable, match="adam"):
        judge(
            ClippingAlwaysBites(),
            loss=FLAT,
            clip_norm={"": [1.0] * 60},
            facts={"clipping": [{"kind": "norm", "max_norm": 1e-3, "varies": False}], "optimizer": [{"class": "Adam"}]},
        )


def decay(value, losses=FLAT, shrink=0.95, **group):
    facts = {"optimizer": [{"class": "SGD", "groups": [{"weight_decay": value, "lr": 0.1} | group]}]}
    norms = {"a.weight": [5.0 * shrink**i for i in range(60)]}
    return judge(
        WeightDecayDominates(), loss=losses, weight_norm=norms, grad_norm={"a.weight": [0.5] * 60}, facts=facts
    )


def test_decay_dominates_when_it_outweighs_the_gradient_and_nothing_is_learned():
    assert decay(1.0)
    assert decay(0.01) == []
    assert decay(1.0, FALLING) == []
    assert decay(1.0, shrink=1.0) == []


def test_weights_that_begin_at_zero_have_nothing_to_lose():
    with pytest.raises(NotApplicable, match="begins at anything but 0"):
        judge(
            WeightDecayDominates(),
            loss=FLAT,
            weight_norm={"a.weight": [0.0] * 60},
            grad_norm={"a.weight": [0.5] * 60},
            facts={"optimizer": [{"class": "SGD", "groups": [{"weight_decay": 1.0, "lr": 0.1}]}]},
        )


@pytest.mark.parametrize(("value", "fires"), [(100.0, True), (0.1, False)])
def test_decay_beside_the_gradient_is_compared_with_the_whole_change(value, fires):
    facts = {"optimizer": [{"class": "AdamW", "groups": [{"weight_decay": value}]}]}

    found = judge(
        WeightDecayDominates(),
        loss=FLAT,
        lr={"0": [1e-3]},
        weight_norm={"a.weight": [5.0 * 0.9**i for i in range(60)]},
        update_ratio={"a.weight": [0.1] * 60},
        facts=facts,
    )

    assert bool(found) is fires
