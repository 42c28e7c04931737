"""Monte-Carlo estimates and the search for the first error, on success curves that are known."""

import random
from math import ceil, log2, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.montecarlo import (
    Count,
    any_right,
    bisect,
    completions_tried,
    drive,
    first_bad,
    lasting,
    pooled,
    sweep,
    together,
)


def answering(first_error, n=8, chance=1.0, seed=0, asked=None):
    """Completions of a solution whose step `first_error` is wrong: right with this chance before it, never after."""
    draw = random.Random(seed)

    def answer(prefixes):
        if asked is not None:
            asked.extend(prefixes)
        good = {at: first_error is None or at <= first_error for at in prefixes}
        return {at: Count(sum(good[at] and draw.random() < chance for _ in range(n)), n) for at in prefixes}

    return answer


@given(st.integers(1, 200).flatmap(lambda steps: st.tuples(st.just(steps), st.integers(0, steps - 1))))
def test_the_search_finds_any_first_error_in_a_logarithm_of_the_steps(case):
    steps, first_error = case
    asked = []
    found = drive(bisect(steps), answering(first_error, asked=asked))
    assert (found.first_error, found.decided) == (first_error, True)
    assert len(asked) == len(set(asked)) <= ceil(log2(steps)) + 2  # the whole solution; the prompt, for step 0


def test_a_right_solution_costs_no_completion():
    found = drive(bisect(8), answering(None))
    assert found.first_error is None and found.ratings == [1] * 8
    assert completions_tried(found.counts, 8) == 0


def test_failures_of_a_policy_that_cannot_solve_the_prompt_say_nothing_of_the_steps():
    found = drive(bisect(8), answering(-1))
    assert not found.decided and found.ratings == [None] * 8


@pytest.mark.parametrize("first_error", range(8))
def test_on_eight_steps_it_costs_at_most_half_of_a_sweep_and_finds_the_same(first_error):
    swept = drive(sweep(8), answering(first_error))
    found = drive(bisect(8), answering(first_error))
    assert first_bad(swept, 8) == found.first_error
    assert completions_tried(found.counts, 8) <= completions_tried(swept, 8) / 2 + 8 * (first_error == 0)


def test_a_search_goes_on_from_counts_already_known():
    asked = []
    whole = drive(bisect(32), answering(20, asked=asked))
    again = []
    known = {at: whole.counts[at] for at in asked[:3]}
    resumed = drive(bisect(32, known), answering(20, asked=again))
    assert resumed == whole and again == asked[3:]
    assert drive(bisect(32, whole.counts), None) == whole


def test_a_sweep_asks_only_for_what_is_missing():
    asked = []
    drive(sweep(5, {2: Count(1, 4), 9: Count(1, 4)}), answering(3, asked=asked))
    assert asked == [1, 3, 4, 5]


def test_many_solutions_are_searched_in_lockstep():
    truth = {"a": 0, "b": 5, "c": None, "d": 7}
    rounds = []

    def answer(wanted):
        rounds.append(wanted)
        return {key: answering(truth[key])(prefixes) for key, prefixes in wanted.items()}

    found = drive(together({key: bisect(8) for key in truth}), answer)
    assert {key: result.first_error for key, result in found.items()} == truth
    assert len(rounds) <= 5 and set(rounds[0]) == set(truth)


def test_a_rule_may_ask_for_more_than_one_right_completion():
    lucky = {1: Count(8, 8), 2: Count(1, 8), 3: Count(0, 8)}
    assert (first_bad(lucky, 3, any_right), first_bad(lucky, 3, lasting(0.2))) == (2, 1)


@given(st.integers(1, 400), st.data())
def test_the_standard_error_is_the_textbooks_where_there_are_many_completions(tried, data):
    count = Count(data.draw(st.integers(0, tried)), tried)
    p = count.soft
    assert 0 < count.error < 0.3
    if 0.1 < p < 0.9 and tried > 100:
        assert count.error == pytest.approx(sqrt(p * (1 - p) / tried), rel=0.05)


def test_soft_estimates_scatter_by_their_standard_error():
    draw = random.Random(1)
    counts = [Count(sum(draw.random() < 0.3 for _ in range(16)), 16) for _ in range(2000)]
    scatter = sqrt(sum((count.soft - 0.3) ** 2 for count in counts) / len(counts))
    assert scatter == pytest.approx(sum(count.error for count in counts) / len(counts), rel=0.1)


def test_lots_of_completions_add_up():
    assert pooled([{1: Count(1, 4)}, {1: Count(3, 4), 2: Count(0, 4)}]) == {1: Count(4, 8), 2: Count(0, 4)}


@pytest.mark.parametrize("right, tried", [(1, 0), (5, 4), (-1, 4), (0, 0)])
def test_what_is_no_count_is_refused(right, tried):
    with pytest.raises(ValueError, match="is not a count"):
        Count(right, tried)


@pytest.mark.parametrize("walk", [sweep, bisect])
def test_a_solution_without_steps_is_refused(walk):
    with pytest.raises(ValueError, match="without steps"):
        drive(walk(0), None)
