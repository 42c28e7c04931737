"""A model answers prompts that lack completions, in the background, and they open for ranking."""

import pytest

from annotation.models import Prompt
from training import background, completing
from training.models import CompletionRun, Generation

pytestmark = pytest.mark.django_db(transaction=True)
SAMPLING = {"temperature": 1.2, "max_tokens": 8, "seed": 1}


@pytest.fixture
def bare(make_prompt):
    """Three prompts without completions: they cannot be ranked yet."""
    made = [make_prompt(text, completions=()) for text in ("One?", "Two?", "Three?")]
    Prompt.objects.update(open_slots=0)
    return made


def test_prompts_get_their_completions_and_open_for_ranking(registered, bare, project, alice):
    run = completing.queue_run(project, registered["small"], 3, SAMPLING, alice)
    completing.run_completions(run)
    run.refresh_from_db()
    assert (run.status, run.done, run.total) == ("succeeded", 3, 3)
    for prompt in Prompt.objects.all():
        assert prompt.completions.count() == 3 and prompt.open_slots == prompt.labels_wanted
    assert Generation.objects.filter(model=registered["small"], run=run).count() == 9


def test_a_second_run_answers_only_what_is_missing(registered, bare, project, alice):
    completing.run_completions(completing.queue_run(project, registered["small"], 2, SAMPLING, alice))
    with pytest.raises(completing.NothingToDo):
        completing.queue_run(project, registered["small"], 2, SAMPLING, alice)


def test_a_redelivered_message_does_not_run_twice(registered, bare, project, alice):
    run = completing.queue_run(project, registered["small"], 2, SAMPLING, alice)
    assert background.claim(run)
    completing.run_completions(run)
    assert not Generation.objects.exists()


def test_a_server_that_is_away_fails_the_run_with_advice(registered, bare, project, alice, settings):
    settings.MODEL_SERVER_URL = "http://127.0.0.1:9"
    run = completing.queue_run(project, registered["small"], 2, SAMPLING, alice)
    completing.run_completions(run)
    run.refresh_from_db()
    assert run.status == "failed" and "does not answer" in run.message


def test_a_cancelled_run_keeps_what_it_has(registered, bare, project, alice):
    run = completing.queue_run(project, registered["small"], 2, SAMPLING, alice)
    background.cancel(run)
    completing.run_completions(run)
    assert CompletionRun.objects.get().status == "cancelled"
    assert not Generation.objects.exists()


def test_problems_get_solutions_cut_into_steps_each_a_trace_of_its_own(registered, traces, make_prompt, alice):
    for text in ("One?", "Two?"):
        make_prompt(text, completions=(), project=traces, reference="4")
    Prompt.objects.update(open_slots=0)
    run = completing.queue_run(traces, registered["small"], 2, SAMPLING | {"max_tokens": 24}, alice)
    completing.run_completions(run)
    run.refresh_from_db()
    assert (run.status, run.done, run.total) == ("succeeded", 2, 2), run.message
    found = Prompt.objects.filter(project=traces)
    assert 2 < found.count() <= 4 and not found.filter(open_slots=0).exists()
    for prompt in found:
        completion = prompt.completions.get()
        assert completion.steps and completion.source == "small v1" and prompt.reference == "4"
        assert completion.generation.run == run
    with pytest.raises(completing.NothingToDo, match="has a solution already"):
        completing.queue_run(traces, registered["small"], 2, SAMPLING, alice)
