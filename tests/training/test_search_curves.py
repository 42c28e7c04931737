"""Curves from a pool are what many searches of that size would show."""

import random
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training import search_curves
from training.search_curves import FROM_POOL, Run, Sample, pool_curve, run_point
from training.step_metrics import mean

samples = st.builds(
    Sample,
    answer=st.sampled_from(["4", "5", "6", None]),
    right=st.just(False),
    score=st.sampled_from([0.1, 0.5, 0.9]),
    tokens=st.integers(1, 9),
).map(lambda sample: sample._replace(right=sample.answer == "4"))
pools = st.lists(samples, min_size=6, max_size=7)


def best_is_right(subset) -> float:
    top = max(sample.score for sample in subset)
    return mean([float(sample.right) for sample in subset if sample.score == top])


@given(pools, st.integers(1, 6))
def test_best_of_n_is_the_mean_over_every_subset(pool, n):
    every = mean([best_is_right(subset) for subset in combinations(pool, n)])
    assert search_curves.best_of(pool, n) == pytest.approx(every)


@given(pools, st.integers(1, 6))
def test_any_right_is_the_mean_over_every_subset(pool, n):
    every = mean([float(any(sample.right for sample in subset)) for subset in combinations(pool, n)])
    assert search_curves.any_right(pool, n) == pytest.approx(every)


@given(pools)
def test_at_one_sample_every_strategy_is_the_share_of_right_ones(pool):
    share = mean([float(sample.right) for sample in pool])
    assert search_curves.best_of(pool, 1) == pytest.approx(share)
    for vote in (search_curves.majority, search_curves.weighted):
        assert vote(pool, 1) == pytest.approx(share)


@given(pools, st.integers(1, 6), st.sampled_from(list(FROM_POOL)))
def test_nothing_beats_a_perfect_scorer(pool, n, strategy):
    assert FROM_POOL[strategy](pool, n) <= search_curves.any_right(pool, n) + 1e-9


def test_a_vote_over_the_pool_is_close_to_the_mean_over_every_subset():
    chance = random.Random(3)
    answers = [chance.choice(["4", "4", "4", "5", "5", "6"]) for _ in range(12)]
    pool = [Sample(answer, answer == "4", chance.random(), 1) for answer in answers]
    every = [search_curves.winner_is_right(subset, lambda sample: 1.0) for subset in combinations(pool, 5)]
    assert search_curves.majority(pool, 5) == pytest.approx(mean([float(x) for x in every]), abs=0.1)


def test_a_curve_leaves_out_what_its_pools_cannot_show():
    pool = [Sample("4", True, 0.9, 10), Sample("5", False, 0.2, 20)]
    points = pool_curve("best_of_n", [pool, pool], (1, 2, 4), name="best of N by PRM v1")
    assert [(point.n, point.accuracy, point.tokens) for point in points] == [(1, 0.5, 15), (2, 1.0, 30)]
    assert {point.strategy for point in points} == {"best of N by PRM v1"}
    assert all(point.low <= point.accuracy <= point.high and point.problems == 2 for point in points)


def test_runs_of_one_problem_are_one_unit():
    point = run_point("beam", 4, [[Run(True, 10), Run(False, 30)], [Run(True, 20)]])
    assert (point.accuracy, point.tokens, point.problems) == (0.75, 20, 2)
    assert (point.low, point.high) == (0.5, 1.0)
