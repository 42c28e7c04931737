"""Search strategies on a policy whose truth is known."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training import puzzles
from tests.training.puzzles import Digits, EveryDigit
from training.search import STRATEGIES, search
from training.search_draw import Move, Scored, Settings
from training.search_tree import STATES, Result

SCORED = [name for name, way in STRATEGIES.items() if way.needs_scorer]


def run(strategy, policy=None, scorer=puzzles.perfect, **knobs) -> Result:
    return search(strategy, policy or Digits(), scorer, Settings(**knobs), extract=puzzles.answer, same=str.__eq__)


def finished(result: Result) -> list[tuple[str, ...]]:
    """The steps of every finished path."""
    paths = []
    for node in result.nodes:
        if node.state == "finished":
            steps, at = [], node
            while at.id:
                steps, at = [at.step, *steps], result.nodes[at.parent]
            paths.append(tuple(steps))
    return paths


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5, 16]))
def test_best_of_n_with_a_perfect_scorer_finds_a_right_solution_when_there_is_one(seed, n):
    result = run("best_of_n", seed=seed, n=n)
    assert len(finished(result)) == n
    assert puzzles.right(result.steps) == any(map(puzzles.right, finished(result)))


@given(st.integers(0, 10**6), st.integers(1, 20))
def test_weighted_with_equal_scores_is_majority(seed, n):
    voted, weighted = (
        run("majority", scorer=None, seed=seed, n=n),
        run("weighted", None, puzzles.indifferent, seed=seed, n=n),
    )
    assert (voted.answer, voted.chosen) == (weighted.answer, weighted.chosen)
    assert [vote.votes for vote in voted.answers] == [vote.votes for vote in weighted.answers]


@given(st.integers(0, 10**6))
def test_with_one_way_every_strategy_says_the_same(seed):
    results = [run(name, seed=seed, n=1, ahead=0) for name in STRATEGIES]
    assert {tuple(result.steps) for result in results} == {tuple(results[0].steps)}
    assert {result.answer for result in results} == {results[0].answer}
    assert {result.policy_tokens for result in results} == {15}


@pytest.mark.parametrize("strategy", ["beam", "lookahead"])
def test_a_beam_as_wide_as_the_tree_sees_every_solution(strategy):
    result = run(strategy, EveryDigit(3), puzzles.outcome, n=9, width=9, pick="best")
    wide = run(strategy, EveryDigit(3), puzzles.outcome, n=27 * 3, width=27, pick="best")
    assert sorted(finished(wide)) == sorted({(a, b, c) for a in "012" for b in "012" for c in "012"})
    assert wide.answer == "6" and len(finished(result)) < 27


@given(st.sampled_from(SCORED), st.integers(0, 10**6))
def test_step_searches_prefer_right_steps(strategy, seed):
    result = run(strategy, seed=seed, n=16)
    if any(map(puzzles.right, finished(result))):
        assert puzzles.right(result.steps) or strategy == "weighted"  # equal answers may outvote it


@given(
    st.sampled_from(list(STRATEGIES)),
    st.integers(1, 24),
    st.integers(1, 400),
    st.integers(0, 1000),
    st.integers(1, 6),
)
@settings(max_examples=200)
def test_no_search_spends_more_than_its_budget(strategy, n, budget, seed, tokens):
    policy = Digits(tokens=tokens)
    result = run(strategy, policy, n=n, budget=budget, seed=seed, max_tokens=20, step_tokens=6)
    assert result.policy_tokens <= budget
    free = run(strategy, Digits(tokens=tokens), n=n, seed=seed, max_tokens=20, step_tokens=6)
    if free.policy_tokens > budget:
        assert result.stopped == "budget"


@given(st.sampled_from(list(STRATEGIES)), st.integers(1, 24), st.integers(0, 1000), st.none() | st.integers(1, 200))
def test_the_same_seed_gives_the_same_tree_and_it_survives_json(strategy, n, seed, budget):
    one, again = (run(strategy, n=n, seed=seed, budget=budget) for _ in range(2))
    assert one == again
    assert Result.from_json(json.loads(json.dumps(one.as_json()))) == one
    assert all(node.parent < node.id for node in one.nodes[1:]) and {node.state for node in one.nodes} <= set(STATES)
    assert one.chosen == [] or one.nodes[one.chosen[0]].parent == 0


def test_a_way_that_several_wrote_weighs_as_often_as_free_samples_would_have_gone_it():
    def policy(asks):  # three of four begin with a, all of them end
        begins = ["a", "a", "a", "b"]
        return [[Move([f"So {len(a.steps)}."] if a.steps else [begins[i % 4]], 1, "finished" if a.steps else "step")
                 for i in range(a.count)] for a in asks]  # fmt: skip

    def scorer(traces):
        return [Scored([0.5] * len(trace)) for trace in traces]

    result = search("beam", policy, scorer, Settings(n=4, width=2), extract=lambda text: text[0])
    assert {node.step: node.times for node in result.nodes if node.parent == 0} == {"a": 3, "b": 1}
    assert [(vote.answer, vote.votes, vote.weight) for vote in result.answers] == [("a", 1, 1.5), ("b", 1, 0.5)]


@given(st.integers(0, 10**6), st.integers(1, 20))
def test_the_weight_of_solutions_sampled_whole_is_the_sum_of_their_values(seed, n):
    result = run("weighted", scorer=puzzles.outcome, seed=seed, n=n)
    for vote in result.answers:
        assert vote.weight == pytest.approx(sum(result.nodes[leaf].value for leaf in vote.leaves))


def test_a_beam_draws_n_ways_on_every_level():
    policy = Digits(digits=9)
    run("beam", policy, n=16, width=4)
    levels = {len(ask.steps): 0 for ask in policy.asks}
    for ask in policy.asks:
        levels[len(ask.steps)] += ask.count
    assert levels == {0: 16, 1: 16, 2: 16}


def test_ways_on_from_one_state_never_share_their_chance():
    policy = Digits()
    run("dvts", policy, n=16, width=4)
    used = [(ask.steps, ask.seed + way) for ask in policy.asks for way in range(ask.count)]
    assert len(used) == len(set(used))


def test_dvts_follows_as_many_subtrees_as_it_keeps():
    result = run("dvts", EveryDigit(4), n=16, width=4)
    assert len(result.answers) and sum(vote.votes for vote in result.answers) == 4


def test_lookahead_sees_past_a_step_that_only_looks_good():
    def policy(asks):
        ways = {(): ["trap", "plain"], ("trap",): ["dead end"], ("plain",): ["way out"]}
        return [[Move([ways[a.steps][(a.seed + i) % len(ways[a.steps])]], 1, "finished" if a.steps else "step")
                 for i in range(a.count)] for a in asks]  # fmt: skip

    worth = {"trap": 0.9, "plain": 0.6, "dead end": 0.1, "way out": 0.8}

    def scorer(traces):
        return [Scored([worth[step] for step in trace]) for trace in traces]

    knobs = {"n": 2, "width": 1}
    assert search("beam", policy, scorer, Settings(**knobs)).steps == ["trap", "dead end"]
    looked = search("lookahead", policy, scorer, Settings(**knobs, ahead=1))
    assert looked.steps == ["plain", "way out"]


def test_equal_mathematical_answers_are_one_vote():
    said = ["The answer is 0.5", "The answer is 1/2", "The answer is 3", "I do not know"]
    result = search("majority", lambda asks: [[Move([text], 4, "finished") for text in said]], settings=Settings(n=4))
    assert [(vote.answer, vote.votes) for vote in result.answers] == [("0.5", 2), ("3", 1)]


class TestModelsThatMisbehave:
    """What they do ends in a defined result or a clear message."""

    def never_ends(self, asks):
        return [
            [Move([f"and {ask.seed + i}"], ask.max_tokens, "cut" if ask.whole else "step") for i in range(ask.count)]
            for ask in asks
        ]

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_policy_that_never_finishes_is_cut_and_gives_no_answer(self, strategy):
        result = run(
            strategy,
            self.never_ends,
            lambda traces: [Scored([0.5] * len(t)) for t in traces],
            n=4,
            max_tokens=60,
            step_tokens=9,
        )
        assert (result.answer, result.answers, result.finished) == (None, [], False)
        assert result.steps

    def test_a_tree_as_deep_as_allowed_says_so(self):
        result = run("beam", self.never_ends, puzzles.indifferent, n=4, depth=2, step_tokens=9)
        assert result.stopped == "depth" and len(result.steps) == 2

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_policy_that_says_nothing_ends_at_once(self, strategy):
        silent = lambda asks: [[Move([], 1, "finished") for _ in range(ask.count)] for ask in asks]  # noqa: E731
        result = search(strategy, silent, puzzles.indifferent, Settings(n=4))
        assert (result.answer, result.steps) == (None, [])

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_a_policy_that_has_no_way_on_leaves_an_empty_tree(self, strategy):
        result = search(strategy, lambda asks: [[] for _ in asks], puzzles.indifferent, Settings(n=4))
        assert (result.chosen, result.answer, len(result.nodes)) == ([], None, 1)

    def test_a_policy_that_falls_silent_leaves_the_best_path_so_far(self):
        def policy(asks):
            return [[] if ask.steps else [Move(["well"], 3)] for ask in asks]

        result = search("beam", policy, puzzles.indifferent, Settings(n=4))
        assert (result.steps, result.answer, result.finished) == (["well"], None, False)

    def test_paths_the_scorer_cannot_score_come_last(self):
        def scorer(traces):
            return [Scored([None if trace[0] == "2" else 0.1] * len(trace)) for trace in traces]

        assert run("beam", EveryDigit(3), scorer, n=3, width=1).steps[0] == "0"

    @pytest.mark.parametrize("strategy", SCORED)
    def test_what_needs_a_scorer_says_so(self, strategy):
        with pytest.raises(ValueError, match="needs a scorer"):
            run(strategy, scorer=None)

    @pytest.mark.parametrize(
        ("knobs", "message"),
        [
            ({"n": 0}, "n is 0"),
            ({"n": 4, "width": 8}, "width is 8; it must be from 1 to n, which is 4"),
            ({"budget": 0}, "budget is 0"),
            ({"aggregate": "median"}, "one of min, prod, last"),
            ({"pick": "any"}, "one of best, weighted, majority"),
        ],
    )
    def test_settings_that_make_no_sense_name_the_knob(self, knobs, message):
        with pytest.raises(ValueError, match=message):
            Settings(**knobs)

    def test_an_unknown_strategy_lists_the_known_ones(self):
        with pytest.raises(ValueError, match="majority, best_of_n"):
            run("guess")
