"""Evaluations of search: many problems, several strategies, points with intervals; kept and gone on with."""

import pytest

from training import search_evaluating, searching, tasks
from training.models import SearchEvaluation
from training.search_curves import Point, Sample
from training.search_draw import Move, Settings
from training.searching import BadSearch

pytestmark = pytest.mark.django_db(transaction=True)
PROBLEMS = [{"messages": [{"role": "user", "content": f"What is {k} + 1?"}], "reference": str(k + 1)} for k in range(3)]
KNOBS = {"width": 1, "depth": 3, "max_tokens": 12, "step_tokens": 6, "separator": "e", "seed": 5}


@pytest.fixture
def make(registered, alice):
    def make(strategies=("majority", "best_of_n", "beam"), ns=(1, 2), problems=PROBLEMS, **knobs):
        models = (registered["small"], registered["steps"])
        return search_evaluating.make_evaluation(alice, "Sums", problems, *models, strategies, ns, KNOBS | knobs)

    return make


def run(evaluation) -> SearchEvaluation:
    search_evaluating.run_evaluation(evaluation)
    evaluation.refresh_from_db()
    return evaluation


def test_every_strategy_has_a_point_at_every_n(make):
    evaluation = run(make())
    assert (evaluation.status, evaluation.done) == ("succeeded", 3), evaluation.message
    points = [Point(**point) for point in evaluation.points]
    wanted = {(name, n) for name in ("majority", "best_of_n", "beam") for n in (1, 2)}
    assert {(point.strategy, point.n) for point in points} == wanted
    for point in points:
        assert 0 <= point.low <= point.accuracy <= point.high <= 1 and point.problems == 3 and point.tokens > 0
    by_n = [point.tokens for point in points if point.strategy == "majority"]
    assert by_n == pytest.approx([by_n[0], 2 * by_n[0]])


def test_a_width_above_the_smallest_n_is_no_more_than_it_there(make):
    evaluation = run(make(strategies=["beam"], ns=[1, 4], problems=PROBLEMS[:1], width=4))
    assert evaluation.status == "succeeded" and evaluation.settings["width"] == 4
    assert [point["n"] for point in evaluation.points] == [1, 4]


def test_a_worker_takes_an_evaluation_by_its_number(make):
    evaluation = make(strategies=["majority"], ns=[1], problems=PROBLEMS[:1])
    tasks.evaluate_search(evaluation.pk)
    evaluation.refresh_from_db()
    assert evaluation.status == "succeeded"


def test_one_that_lost_its_worker_goes_on_after_the_problems_it_has(make, monkeypatch):
    whole = run(make(strategies=["majority"]))
    part = make(strategies=["majority"])
    part.outcomes = whole.outcomes[:1]
    part.save()
    asked = []
    search_one = search_evaluating.search_one
    monkeypatch.setattr(search_evaluating, "search_one", lambda *a, **k: asked.append(1) or search_one(*a, **k))
    assert run(part).status == "succeeded" and len(asked) == 2
    assert sorted(outcome["problem"] for outcome in part.outcomes) == [0, 1, 2]
    assert part.points == whole.points


def test_a_server_that_is_away_fails_it_and_says_so(make, settings):
    evaluation = make()
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    assert run(evaluation).status == "failed" and "does not answer" in evaluation.message


def test_problems_of_a_project_come_once_each_with_their_references(project, make_prompt):
    for k in range(4):
        make_prompt(f"What is {k} + 1?", completions=(), reference=str(k + 1))
    make_prompt("No reference here?", completions=())
    found = search_evaluating.problems_of(project, 2)
    assert [problem["reference"] for problem in found] == ["1", "3"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("nonsense", "Line 2 is not a JSON object"),
        ("[1]", "Line 2 is not a JSON object"),
        ('{"answer": "4"}', "Line 2 has no problem"),
        ('{"problem": "2 + 2?"}', "Line 2 has no reference answer"),
        ('{"problem": "2 + 2?", "reference": ""}', "Line 2 has no reference answer"),
    ],
)
def test_a_bad_line_of_a_file_is_named(line, message):
    with pytest.raises(BadSearch, match=message):
        search_evaluating.problems_in(['{"problem": "1 + 1?", "reference": 2}', line])


def test_a_pool_spells_equal_answers_alike_and_gives_what_was_cut_no_say():
    said = ["So 0.5", "So 1/2", "So 3", "So 7"]

    def policy(asks):
        return [[Move([text], 4, "cut" if "7" in text else "finished") for text in said]]

    result = searching.search.search("majority", policy, settings=Settings(n=4))
    pool = search_evaluating.pool(result, "1/2")
    assert [(sample.answer, sample.right) for sample in pool] == [
        ("1/2", True),
        ("1/2", True),
        ("3", False),
        (None, False),
    ]
    assert pool[3] == Sample(None, False, None, 4)
