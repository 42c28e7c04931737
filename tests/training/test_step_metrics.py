"""Scores of steps against the truth: published definitions, edges, and other people's numbers."""

import math
import random

import pytest

from training import step_metrics as metrics


def test_an_error_is_below_the_threshold_and_a_missing_label_is_none():
    assert metrics.first_error([1, 1, 0, 0]) == 2
    assert metrics.first_error([None, None]) is None
    assert metrics.first_error([0.5, 0.49]) == 1
    assert metrics.first_error([0.5, 0.49], threshold=0.3) is None


def test_processbench_is_the_harmonic_mean_of_its_two_accuracies():
    """Qwen2.5-Math-7B-PRM800K on GSM8K in the paper's table 3: error 53.1, correct 95.3, F1 68.2."""
    wrong = [1] * 1000
    said = [1] * 531 + [0] * 469
    right = [None] * 1000
    said_right = [None] * 953 + [0] * 47
    found = metrics.processbench(wrong + right, said + said_right)
    assert found["error_acc"] == 0.531
    assert found["correct_acc"] == 0.953
    assert round(100 * found["f1"], 1) == 68.2


def test_always_naming_no_step_has_no_f1_and_naming_near_is_not_naming():
    assert metrics.first_error_f1([1, None], [None, None]) == 0
    assert metrics.first_error_f1([1, None], [2, None]) == 0
    assert metrics.first_error_f1([1, None], [1, None]) == 1
    assert metrics.first_error_f1([1, 2], [1, 2]) is None  # no right trace: nothing says how often it cries wolf


def test_lists_that_do_not_run_along_are_refused():
    for call in (metrics.processbench, metrics.first_error_accuracy):
        with pytest.raises(ValueError, match="zip"):
            call([1, None], [1])
    for call in (metrics.step_accuracy, metrics.calibration, metrics.auc):
        with pytest.raises(ValueError, match="zip"):
            call([0.5, 0.5], [True])


def test_a_step_counts_by_its_side_and_one_on_the_fence_does_not():
    assert metrics.step_accuracy([0.6, 0.6, 0.6], [1.0, 0.5, None]) == 1
    assert metrics.step_accuracy([], []) is None


def test_scores_that_are_true_chances_are_calibrated_and_certain_ones_are_not():
    draw = random.Random(1)
    probs = [draw.random() for _ in range(20_000)]
    labels = [draw.random() < p for p in probs]
    assert metrics.calibration(probs, labels)["ece"] < 0.02
    certain = [float(p > 0.5) for p in probs]
    assert metrics.calibration(certain, labels)["ece"] == pytest.approx(0.25, abs=0.02)
    assert metrics.calibration(certain, labels)["bins"][-1]["high"] == 1.0
    assert metrics.calibration([0.5], [None]) == {"ece": None, "bins": []}


def test_soft_labels_are_met_by_their_fraction():
    assert metrics.calibration([0.25, 0.75], [0.25, 0.75])["ece"] == 0


def test_the_area_under_the_curve_is_that_of_scikit_learns_example_and_ties_count_half():
    assert metrics.auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]) == 0.75
    assert metrics.auc([0.5, 0.5], [True, False]) == 0.5
    assert metrics.auc([0.5], [True]) is None


def test_the_threshold_that_parts_right_from_wrong_is_found():
    scores = [[0.95, 0.9], [0.95, 0.8], [0.97, 0.92]]
    at = metrics.best_threshold(scores, [None, 1, None])
    assert 0.8 < at < 0.9


def test_an_interval_covers_the_mean_it_was_drawn_from():
    draw, covered = random.Random(3), 0
    for seed in range(100):
        values = [draw.gauss(1, 1) for _ in range(50)]
        value, low, high = metrics.bootstrap(values, seed=seed, draws=300)
        assert low <= value <= high
        covered += low <= 1 <= high
    assert covered >= 88


def test_an_interval_of_a_statistic_leaves_out_draws_it_is_not_defined_on():
    pairs = [(1, 1), (None, None), (2, 1), (None, 0)]
    value, low, high = metrics.bootstrap(pairs, lambda drawn: metrics.first_error_f1(*zip(*drawn, strict=True)))
    assert math.isclose(value, 0.5)
    assert 0 <= low <= value <= high <= 1
    with pytest.raises(ValueError, match="defined"):
        metrics.bootstrap([])
