"""The proving ground's problems, the truth about every step, its tokenizer, and its models without a server."""

import os
import random
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.montecarlo import Count
from training.provingground.blank import make_blank, tokenizer
from training.provingground.policy import Policy, begun
from training.provingground.problems import (
    SEPARATOR,
    Problem,
    apply,
    demonstrate,
    draw_problems,
    within,
    written,
)
from training.provingground.truth import answer_of, judge, split
from training.recipes.chat import Chat
from training.search import search
from training.search_draw import Scored, Settings

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is imported: threads that spin are far slower
seeds = st.integers(0, 10**6)


def problem_of(seed, shortest=3, longest=7):
    return next(draw_problems(seed, shortest, longest))


def by_python(problem):
    """The answer by running the problem's own lines."""
    *lines, asked = problem.text.splitlines()
    known = {}
    for line in lines:
        exec(line, {}, known)
    return known[asked.removesuffix("?")]


@given(seeds)
def test_the_right_solution_is_what_the_problem_says(seed):
    problem = problem_of(seed)
    truth = judge(problem, problem.solution)
    assert problem.answer == by_python(problem) == answer_of(problem.solution)
    assert truth.labels == [True] * problem.steps and truth.solved and truth.first_error is None
    assert all(map(within, problem.values)) and 3 <= len(problem.operations) <= 7


@given(seeds, st.data())
def test_a_wrong_result_is_the_first_error_and_what_follows_from_it_is_inherited(seed, data):
    problem = problem_of(seed)
    at = data.draw(st.integers(0, len(problem.operations) - 1))
    wrong = data.draw(st.integers(1, 29).filter(lambda value: value != problem.values[at + 1]))
    values = [*problem.values[: at + 1], wrong]
    for operation in problem.operations[at + 1 :]:
        values.append(apply(values[-1], operation))
    steps = written(problem, values)[: at + 2] if min(values) >= 0 else written(problem, values)[: at + 1]
    truth = judge(problem, steps)
    assert truth.first_error == at and truth.kinds[:at] == ["right"] * at and truth.kinds[at] == "slip"
    assert truth.labels == [True] * at + [False] * (len(steps) - at)
    assert truth.kinds[at + 1 :] in ([], ["inherited"])


@given(seeds, st.sampled_from(["swap", "skip", "foreign", "broken"]))
def test_a_step_that_does_not_follow_from_the_problem_is_an_error_however_right_its_sum(seed, how):
    problem = problem_of(seed)
    steps = list(problem.solution)
    if how == "swap":
        steps[0], steps[1] = steps[1], steps[0]
    elif how == "skip":
        del steps[0]
    elif how == "foreign":
        steps[0] = f"b = {problem.start} + 1 = {problem.start + 1}"
    else:
        steps[0] = "b is easy"
    truth = judge(problem, steps)
    assert truth.first_error == 0 and truth.kinds[0] == ("malformed" if how == "broken" else "misread")


def test_two_wrongs_that_make_a_right_solve_the_problem_and_stay_wrong():
    problem = Problem(17, (("+", 5), ("-", 5)))
    truth = judge(problem, ["b = 17 + 5 = 12", "c = 12 + 5 = 17", "Answer: 17"])
    assert truth.solved and truth.labels == [False] * 3 and truth.first_error == 0


@pytest.mark.parametrize("steps", [[], ["Answer"], ["b = 37 + 5 = 42"]])
def test_a_solution_without_an_answer_is_neither_complete_nor_solved(steps):
    truth = judge(Problem(37, (("+", 5),)), steps)
    assert (truth.complete, truth.solved) == (False, False)


@given(seeds)
def test_the_teacher_computes_well_and_only_takes_signs_for_a_plus(seed):
    problem = problem_of(seed)
    steps = demonstrate(problem, random.Random(seed))
    assert set(judge(problem, steps).kinds) <= {"right", "misread", "inherited"}
    for step, (sign, number) in zip(steps, problem.operations, strict=False):
        _, _, before, said, value, _, after = step.split()
        assert said in (sign, "+") and int(value) == number and within(int(after))
        assert int(after) == apply(int(before), (said, number))


def test_the_teacher_is_right_about_as_often_as_a_policy_should_be():
    chance = random.Random(0)
    shown = [(problem, demonstrate(problem, chance)) for problem in islice(draw_problems("share"), 2000)]
    truths = [judge(*each) for each in shown]
    assert 0.5 <= sum(truth.solved for truth in truths) / len(truths) <= 0.75
    first = [truth.first_error for truth in truths if truth.first_error is not None]
    assert all(first.count(step) > 0.05 * len(first) for step in range(5))


def test_problems_are_all_different_and_the_same_for_a_seed():
    drawn = list(islice(draw_problems(4), 500))
    assert len(set(drawn)) == 500 and drawn == list(islice(draw_problems(4), 500))


@given(seeds)
def test_every_problem_and_solution_survives_the_tokenizer(seed):
    words = tokenizer()
    problem = problem_of(seed)
    text = problem.text + SEPARATOR + SEPARATOR.join(demonstrate(problem, random.Random(seed)))
    ids = words(text, add_special_tokens=False)["input_ids"]
    assert words.decode(ids) == text and words.unk_token_id not in ids


@pytest.fixture(scope="module")
def blank(tmp_path_factory):
    return make_blank(tmp_path_factory.mktemp("ground") / "blank", num_hidden_layers=2, hidden_size=64)


def test_training_and_the_server_see_the_same_chat(blank):
    policy, problem = Policy(blank), problem_of(1)
    steps = problem.solution
    whole = [*problem.messages, {"role": "assistant", "content": SEPARATOR.join(steps)}]
    begins = policy.encode(problem, [steps[:2]])[0]
    assert Chat(str(blank)).tokens(whole)[: len(begins)] == begins
    assert policy.model.tokenizer.decode(begins).endswith(begun(steps[:2]))


class Told(Policy):
    """A policy whose words are told instead of made: it goes on rightly from a right beginning, else wrongly."""

    def __init__(self):
        self.tokens = 0

    def continue_from(self, items, n, seed=0):
        return [[[self.rest(problem, steps)] * n for steps in beginnings] for problem, beginnings in items]

    def rest(self, problem, steps):
        going = problem.solution[len(steps) :]
        return SEPARATOR.join(going if judge(problem, steps).first_error is None else [*going[:-1], "Answer: 0"])


def test_labels_by_completions_agree_with_the_truth_where_the_policy_never_slips():
    problems = [problem_of(seed) for seed in range(8)]
    traces = [(problem, demonstrate(problem, random.Random(at))) for at, problem in enumerate(problems)]
    swept, found = Told().label(traces, 2), Told().find_errors(traces, 2)
    for (problem, steps), counts, one in zip(traces, swept, found, strict=True):
        truth = judge(problem, steps)
        assert [counts[at + 1].hard for at in range(len(steps) - 1)] == truth.labels[:-1]
        assert counts[len(steps)] == Count(int(truth.solved), 1)
        assert one.first_error == (None if truth.solved else truth.first_error)


def test_a_policy_continues_many_beginnings_at_once_and_counts_its_tokens(blank):
    policy, problem = Policy(blank), problem_of(3)
    texts = policy.continue_from([(problem, [[], problem.solution[:1]]), (problem_of(4), [[]])], n=3, seed=2)
    assert [[len(several) for several in item] for item in texts] == [[3, 3], [3]]
    assert policy.tokens > 9 and texts == Policy(blank).continue_from(
        [(problem, [[], problem.solution[:1]]), (problem_of(4), [[]])], n=3, seed=2
    )


def test_it_is_a_policy_that_search_can_use(blank):
    problem = problem_of(5)
    knobs = Settings(n=4, max_tokens=40, step_tokens=10, depth=3, separator=SEPARATOR)
    found = search("beam", Policy(blank).moves(problem), lambda traces: [Scored([0.5] * len(t)) for t in traces], knobs)
    assert found.policy_tokens > 0 and len(found.nodes) > 4


def test_lines_are_steps():
    assert split("b = 1 + 1 = 2\n\n c = 2 + 2 = 4\n") == ["b = 1 + 1 = 2", "c = 2 + 2 = 4"]
