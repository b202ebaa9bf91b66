"""Edges of the rule about a column that is the label."""

import pytest

from tracker.rules import NotApplicable
from tracker.rules.data.feature_label_leak import FeatureLabelLeak
from tracker.rules.testing import judge


def features(score, others, kind="labels", telling=1, columns=12, samples=320):
    about = {"columns": columns, "samples": samples, "kind": kind, "column": 5}
    return {"features": about | {"score": score, "others": others, "telling": telling}}


@pytest.mark.parametrize(("score", "fires"), [(5.0, False), (14.9, False), (15.1, True), (1e9, True)])
def test_what_nature_measures_lies_closer(score, fires):
    assert bool(judge(FeatureLabelLeak(), facts=features(score, 2.0))) is fires


@pytest.mark.parametrize(("telling", "fires"), [(1, True), (4, True), (5, False)])
def test_many_telling_columns_are_a_pattern(telling, fires):
    assert bool(judge(FeatureLabelLeak(), facts=features(1e9, 1e9, telling=telling))) is fires


@pytest.mark.parametrize(("telling", "fires"), [(1, True), (2, False)])
def test_features_that_were_learned_tell_classes_apart_together(telling, fires):
    assert bool(judge(FeatureLabelLeak(), facts=features(20.0, 15.0, telling=telling))) is fires


@pytest.mark.parametrize(("score", "others", "fires"), [(0.99, 0.5, False), (0.999, 0.5, True), (0.999, 0.97, False)])
def test_lagged_values_of_a_slow_series_all_follow_it(score, others, fires):
    assert bool(judge(FeatureLabelLeak(), facts=features(score, others, "quantity"))) is fires


def test_a_few_rows_prove_nothing():
    with pytest.raises(NotApplicable, match="63 rows"):
        judge(FeatureLabelLeak(), facts=features(1e9, 2.0, samples=63))


@pytest.mark.parametrize("missing", ["score", "others", "columns"])
def test_without_columns_that_were_compared_nothing_is_known(missing):
    facts = features(1e9, 2.0)
    del facts["features"][missing]

    with pytest.raises(NotApplicable, match="no column of the inputs was compared"):
        judge(FeatureLabelLeak(), facts=facts)
