import pytest

from tracker.rules import NotApplicable
from tracker.rules.data.class_imbalance_unweighted import ClassImbalanceUnweighted
from tracker.rules.testing import judge


def counts(common, rare):
    return {"class_count": {"no": [common / 4, common / 2, common], "yes": [rare / 4, rare / 2, rare]}, "epoch_len": 1}


@pytest.mark.parametrize(("common", "rare", "fires"), [(900, 100, False), (1000, 99, True), (990, 0, True)])
def test_more_than_ten_to_one_is_imbalance(common, rare, fires):
    found = judge(ClassImbalanceUnweighted(), **counts(common, rare))

    assert [finding.subject for finding in found] == (["yes"] if fires else [])


@pytest.mark.parametrize(
    "facts",
    [
        {"class_weights": {"no": 1.0, "yes": 20.0}},
        {"class_weights": [1.0, 20.0]},
        {"sampler_weights": {"n": 1000}},
        {"loss": {"function": "cross_entropy", "weighted": True}},
    ],
)
def test_weights_or_a_sampler_make_up_for_it(facts):
    assert judge(ClassImbalanceUnweighted(), **counts(2000, 40), facts=facts) == []


def test_equal_weights_make_up_for_nothing():
    assert judge(ClassImbalanceUnweighted(), **counts(2000, 40), facts={"class_weights": [1.0, 1.0]})


@pytest.mark.parametrize(("accuracy", "fires"), [(0.98, True), (0.995, False)])
def test_a_rare_class_that_is_learned_needs_no_weights(accuracy, fires):
    found = judge(ClassImbalanceUnweighted(), **counts(2000, 40), val_accuracy=[accuracy] * 3)

    assert bool(found) is fires


def test_with_an_accuracy_the_end_of_learning_is_waited_for():
    with pytest.raises(NotApplicable, match="still falls"):
        judge(ClassImbalanceUnweighted(), **counts(2000, 40), val_accuracy=[0.98] * 3, loss=[0.3, 0.2, 0.1])


def test_declared_counts_are_enough():
    facts = {"class_counts": {"no": 2000, "yes": 40}}

    assert judge(ClassImbalanceUnweighted(), facts=facts, loss=[1.0, 1.0, 1.0])


@pytest.mark.parametrize("facts", [{}, {"class_counts": {"a": 300, "b": 3}}, {"class_counts": {"a": 9000}}])
def test_few_labels_or_classes_are_not_judged(facts):
    with pytest.raises(NotApplicable):
        judge(ClassImbalanceUnweighted(), facts=facts, loss=[1.0, 1.0, 1.0])


def test_a_vocabulary_is_not_judged():
    with pytest.raises(NotApplicable):
        judge(
            ClassImbalanceUnweighted(),
            facts={"class_counts": {str(n): 10 + 9000 * (n < 5) for n in range(5000)}},
            loss=[1.0] * 3,
        )
