"""What the rules on the first loss, and on the signal at the start, do at their edges."""

import math

import pytest

from tracker.rules import NotApplicable
from tracker.rules.preflight.cut_gradient_at_start import CutGradientAtStart
from tracker.rules.preflight.dead_at_start import DeadAtStart
from tracker.rules.preflight.exploding_signal_at_start import ExplodingSignalAtStart
from tracker.rules.preflight.first_loss_near_zero import FirstLossNearZero
from tracker.rules.preflight.first_loss_unlike_guessing import FirstLossUnlikeGuessing
from tracker.rules.preflight.loss_terms_out_of_scale import LossTermsOutOfScale
from tracker.rules.preflight.mistaken_class_scores import MistakenClassScores
from tracker.rules.preflight.negated_first_loss import NegatedFirstLoss
from tracker.rules.preflight.nonfinite_first_loss import NonfiniteFirstLoss
from tracker.rules.preflight.saturated_at_start import SaturatedAtStart
from tracker.rules.preflight.symmetric_units_at_start import SymmetricUnitsAtStart
from tracker.rules.preflight.unreached_at_start import UnreachedAtStart
from tracker.rules.preflight.vanishing_signal_at_start import VanishingSignalAtStart
from tracker.rules.preflight.zero_gradient_at_start import ZeroGradientAtStart
from tracker.rules.testing import judge


def loss(rule, *terms, total=1.0, in_loop=None):
    fact = {"loss": total, "in_loop": total if in_loop is None else in_loop, "terms": list(terms)}
    return judge(rule, facts={"drill/initial-loss": fact})


def signal(rule, **fact):
    return judge(rule, facts={"drill/signal-propagation": fact})


def classes(value, **more):
    return {"function": "cross_entropy", "value": value, "uniform": math.log(10), "factor": 1.0, **more}


def test_three_times_guessing_is_the_bar():
    assert not loss(FirstLossUnlikeGuessing(), classes(2.99 * math.log(10)), total=6.9)
    assert loss(FirstLossUnlikeGuessing(), classes(3.01 * math.log(10)), total=6.95)


def test_a_loss_below_guessing_is_not_unlike_it():
    assert not loss(FirstLossUnlikeGuessing(), classes(0.1), total=0.1)


def test_what_the_loop_computes_counts():
    assert not loss(FirstLossUnlikeGuessing(), classes(20.0), total=20.0, in_loop=2.5)


def test_a_regression_is_measured_against_the_largest_of_its_yardsticks():
    term = {"value": 9.0, "zero": 0.001, "mean": 0.001, "unit": 1.0}

    assert not loss(FirstLossUnlikeGuessing(), term, total=9.0)
    assert loss(FirstLossUnlikeGuessing(), term | {"value": 11.0}, total=11.0)


def test_a_loss_without_yardsticks_is_not_judged():
    with pytest.raises(NotApplicable):
        loss(FirstLossUnlikeGuessing(), {"value": 5.0, "zero": 1.0})


def test_one_pass_that_is_finite_leaves_it_open():
    with pytest.raises(NotApplicable):
        judge(NonfiniteFirstLoss(), facts={"drill/initial-loss": {"loss": None, "in_loop": 2.0}})


def test_only_a_single_error_can_have_the_wrong_sign():
    assert loss(NegatedFirstLoss(), classes(-2.3), total=-2.3)
    with pytest.raises(NotApplicable):
        loss(NegatedFirstLoss(), classes(-2.3), classes(2.3), total=0.0)
    with pytest.raises(NotApplicable):
        loss(NegatedFirstLoss(), classes(-0.7, function="binary_cross_entropy"), total=-0.7)


def test_a_small_term_with_a_factor_is_meant_to_be_small():
    large = {"name": "mse_loss", "value": 1000.0, "zero": 1000.0, "factor": 1.0}

    assert loss(LossTermsOutOfScale(), classes(2.3, name="ce"), large)
    assert not loss(LossTermsOutOfScale(), classes(2.3, name="ce", factor=0.1), large)
    assert not loss(LossTermsOutOfScale(), classes(0.01, name="ce"), large)


def test_a_softmax_of_a_softmax_is_told_from_log_probabilities():
    assert not loss(MistakenClassScores(), classes(2.3, mass=1.0, behind="Addmm"))
    assert loss(MistakenClassScores(), classes(2.3, mass=1.0, behind="Softmax"))
    assert loss(MistakenClassScores(), classes(2.3, mass=0.3, behind="LogSoftmax"))


def test_a_single_class_in_the_batch_is_soon_known():
    with pytest.raises(NotApplicable):
        loss(FirstLossNearZero(), classes(0.01, present=1))


def depth(layers, factor, last=0.1):
    return {"layers": layers, "factor": factor, "first": last * factor ** (layers - 1), "last": last}


def test_pytorchs_own_initialisation_with_relu_is_let_pass_and_sigmoids_are_not():
    assert not signal(VanishingSignalAtStart(), depth=depth(12, 0.41))
    assert signal(VanishingSignalAtStart(), depth=depth(5, 0.14))
    assert not signal(VanishingSignalAtStart(), depth=depth(4, 0.14))
    assert signal(VanishingSignalAtStart(), depth=depth(30, 0.41))


def test_what_is_gone_three_steps_later_has_not_vanished():
    assert not signal(VanishingSignalAtStart(), depth=depth(8, 0.1), later={"depth": depth(8, 0.9)})


def test_large_inputs_are_no_explosion():
    layers = [{"name": "a", "weighted": True, "spread": 100.0}, {"name": "b", "weighted": True, "spread": 5000.0}]

    assert not signal(ExplodingSignalAtStart(), layers=layers, input_spread=255.0)
    assert signal(ExplodingSignalAtStart(), layers=layers, input_spread=0.01)[0].subject == "b"


def test_narrow_layers_small_batches_and_the_last_layer_may_be_dead():
    layer = {"name": "relu", "hidden": True, "dead": 1.0, "units": 64, "samples": 64}

    assert signal(DeadAtStart(), layers=[layer])
    assert not signal(DeadAtStart(), layers=[layer], later={"layers": [layer | {"dead": 0.5}]})
    for other in ({"units": 4}, {"samples": 8}, {"hidden": False}):
        with pytest.raises(NotApplicable):
            signal(DeadAtStart(), layers=[layer | other])


def test_the_last_activation_may_saturate():
    with pytest.raises(NotApplicable):
        signal(SaturatedAtStart(), layers=[{"name": "out", "hidden": False, "saturated": 1.0}])


def matrix(**about):
    return {"name": "0.weight", "units": 8, "constant": True, "zero": True, "apart": 1e-7, "size": 1.0} | about


def test_zeros_are_copies_only_where_they_stay_alike():
    rule = SymmetricUnitsAtStart()

    assert not signal(rule, matrices=2, same_units=[matrix(stays=False)])
    assert not signal(rule, matrices=2, same_units=[matrix(apart=0.9)])
    assert not signal(rule, matrices=2, same_units=[matrix(apart=None, size=0.0)])
    assert signal(rule, matrices=2, same_units=[matrix(stays=True)])


def test_other_constants_are_copies_also_where_rounding_parts_them():
    assert signal(
        SymmetricUnitsAtStart(), matrices=2, same_units=[matrix(zero=False, apart=1.0, size=1e-8, stays=False)]
    )


def test_a_gradient_of_zero_counts_where_it_stays():
    rule = ZeroGradientAtStart()

    assert not signal(rule, loss=2.3, zero={"share": 0.99, "later": 0.0})
    assert signal(rule, loss=2.3, zero={"share": 0.99, "later": 0.9})
    with pytest.raises(NotApplicable):
        signal(rule, loss=0.0, zero={"share": 1.0, "later": 1.0})


def test_a_cut_is_told_once():
    cut = {"names": ["a.weight"], "n": 1, "change": 0.3}
    fact = {"loss": 2.3, "parameters": 4, "reached": 2, "n_unreached": 2, "unreached": ["a.weight"]}

    assert signal(CutGradientAtStart(), **fact, cut=cut)
    assert not signal(UnreachedAtStart(), **fact, cut=cut)
    assert signal(UnreachedAtStart(), **fact, cut=None)
