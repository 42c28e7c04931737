"""Searches of models that are served: the tree grows in the background, and every end has a clear outcome."""

import threading
import time

import pytest

from training import background, searching, tasks
from training.models import ModelVersion, SearchRun, Strategy
from training.search import STRATEGIES
from training.search_tree import Result
from training.searching import BadSearch

pytestmark = pytest.mark.django_db(transaction=True)
PROBLEM = [{"role": "user", "content": "What is 2 + 2?"}]
KNOBS = {"n": 4, "width": 2, "depth": 2, "max_tokens": 12, "step_tokens": 6, "separator": "e", "seed": 5}


@pytest.fixture
def searched(registered, alice):
    """A search done here and now."""

    def search(strategy="weighted", scorer="answers", reference="", **knobs):
        judge = registered[scorer] if scorer else None
        run = searching.queue_search(alice, PROBLEM, registered["small"], judge, strategy, KNOBS | knobs, reference)
        searching.run_search(run)
        run.refresh_from_db()
        return run

    return search


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_searches_with_served_models(searched, strategy):
    run = searched(strategy, scorer="steps")
    result = Result.from_json(run.result)
    assert (run.status, run.done) == ("succeeded", run.total), run.message
    assert len(result.nodes) > 4 and result.chosen and result.policy_tokens > 0
    if strategy != "majority":
        assert result.scorer_tokens > 0 and any(node.value is not None for node in result.nodes)


@pytest.mark.parametrize(("scorer", "scored"), [("steps", "every"), ("answers", "last"), ("taste", "last")])
def test_a_process_reward_model_scores_every_step_and_others_the_last(searched, scorer, scored):
    result = Result.from_json(searched("best_of_n", scorer).result)
    steps = [result.nodes[id] for id in result.chosen if result.nodes[id].step]
    assert all(0 <= node.score <= 1 for node in (steps if scored == "every" else steps[-1:]))
    assert scored == "every" or all(node.score is None for node in steps[:-1])


def test_a_worker_takes_a_search_by_its_number(registered, alice):
    run = searching.queue_search(alice, PROBLEM, registered["small"], registered["answers"], "best_of_n", KNOBS)
    tasks.search(run.pk)
    run.refresh_from_db()
    assert run.status == "succeeded"


def test_a_fault_of_ours_ends_the_search_and_says_so(registered, alice, monkeypatch):
    monkeypatch.setattr(searching, "search_one", lambda *args: 1 / 0)
    run = searching.queue_search(alice, PROBLEM, registered["small"], None, "majority", KNOBS)
    with pytest.raises(ZeroDivisionError):
        searching.run_search(run)
    run.refresh_from_db()
    assert run.status == "failed" and "ZeroDivisionError" in run.message


def test_the_same_seed_grows_the_same_tree(searched):
    one, again = searched("beam"), searched("beam")
    assert one.result == again.result


def test_steps_go_on_from_the_steps_before_them(searched, registered):
    """What is written step by step without chance is what the model writes in one go."""
    knobs = {"n": 1, "width": 1, "temperature": 0, "depth": 40, "step_tokens": 24}
    whole, stepwise = searched("best_of_n", **knobs), searched("beam", **knobs)
    texts = ["e".join(Result.from_json(run.result).steps) for run in (whole, stepwise)]
    assert texts[0].startswith(texts[1][:8]) and texts[1]


def test_a_budget_is_kept_and_said(searched):
    run = searched("beam", budget=10)
    assert run.result["policy_tokens"] <= 10
    assert run.result["stopped"] == "budget" and "budget of 10 tokens" in run.message


def test_a_policy_that_never_ends_has_its_best_path_shown(searched):
    run = searched("majority", scorer=None, max_tokens=3)
    assert run.status == "succeeded" and "No path came to its own end within 3 tokens" in run.message
    assert run.result["answer"] is None and run.result["chosen"]


def test_an_answer_is_held_against_the_reference(searched):
    assert searched("majority", None, reference="4").result["right"] is False
    assert searched("majority", None).result["right"] is None


def test_a_scorer_that_refuses_fails_the_search_and_keeps_its_tree(searched, registered):
    ModelVersion.objects.filter(pk=registered["taste"].pk).update(makes="process_reward_model")
    registered["taste"].refresh_from_db()
    run = searched("weighted", "taste")
    assert run.status == "failed" and "does not score steps" in run.message and "so far is kept" in run.message
    assert len(run.result["nodes"]) > 4


def test_a_server_that_is_away_fails_the_search_with_advice(searched, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    run = searched()
    assert run.status == "failed" and "does not answer" in run.message and run.result is None


def test_a_search_that_is_cancelled_keeps_what_it_has(registered, alice, monkeypatch):
    monkeypatch.setattr(background, "LOOK", 0.05)
    knobs = KNOBS | {"n": 64, "max_tokens": 1500, "step_tokens": 1500, "separator": "never", "temperature": 2.0}
    run = searching.queue_search(alice, PROBLEM, registered["wide"], None, "majority", knobs)
    worker = threading.Thread(target=searching.run_search, args=[run])
    worker.start()
    while not SearchRun.objects.filter(pk=run.pk, status="running").exists():
        time.sleep(0.02)
    time.sleep(0.2)
    background.cancel(run)
    worker.join(20)
    run.refresh_from_db()
    assert not worker.is_alive() and run.status == "cancelled"


def test_a_queued_search_that_is_cancelled_never_starts(registered, alice):
    run = searching.queue_search(alice, PROBLEM, registered["small"], None, "majority", KNOBS)
    background.cancel(run)
    searching.run_search(run)
    run.refresh_from_db()
    assert run.status == "cancelled" and run.result is None


@pytest.mark.parametrize(
    ("strategy", "scorer", "knobs", "message"),
    [
        ("beam", None, {}, "Beam search needs a scorer"),
        ("guess", None, {}, "'guess' is not a strategy"),
        ("majority", None, {"n": 0}, "n is 0"),
        ("majority", None, {"beams": 3}, "beams: no such setting"),
        ("weighted", "wide", {}, "wide v1 is a policy"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(registered, alice, strategy, scorer, knobs, message):
    with pytest.raises(BadSearch, match=message):
        searching.queue_search(alice, PROBLEM, registered["small"], registered.get(scorer), strategy, knobs)
    assert not SearchRun.objects.exists()


def test_a_reward_model_writes_no_steps(registered, alice):
    with pytest.raises(BadSearch, match="taste v1 is a reward model; it writes no steps"):
        searching.queue_search(alice, PROBLEM, registered["taste"], None, "majority", KNOBS)


def test_a_search_can_be_offered_as_a_strategy_once(searched, alice):
    run = searched("best_of_n")
    assert searching.offer(run, alice) == searching.offer(run, alice)
    assert Strategy.objects.get().name == "small v1 · best of 4 by answers v1"
