"""A model answers prompts that lack completions, in the background, and they open for ranking."""

import pytest
from django.urls import reverse

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
        completing.queue_run(traces, registered["small"], 1, SAMPLING, alice)


def test_a_problem_with_too_few_solutions_gets_those_it_lacks_whoever_wrote_the_others(
    registered, traces, make_trace, make_prompt, alice, bob
):
    """One of three has a solution of people and a label; it is a trace of its own, and nothing of it changes."""
    marked = make_trace("One?", steps=("1 + 1 = 2", "So 2."))
    marked.step_labels.create(labeler=bob, ratings=[1, 1])
    Prompt.objects.filter(pk=marked.pk).update(open_slots=0, labels_given=1)
    for text in ("Two?", "Three?"):
        make_prompt(text, completions=(), project=traces)
    assert [(p.text, p.have) for p in completing.problems(traces)] == [("One?", 1), ("Two?", 0), ("Three?", 0)]
    run = completing.queue_run(traces, registered["small"], 3, SAMPLING | {"max_tokens": 24}, alice)
    completing.run_completions(run)
    run.refresh_from_db()
    assert (run.status, run.done, run.total, run.message) == ("succeeded", 3, 3, "")
    assert [(p.text, p.have) for p in completing.problems(traces)] == [("One?", 3), ("Two?", 3), ("Three?", 3)]
    assert Generation.objects.filter(run=run, completion__prompt__text="One?").count() == 2
    marked.refresh_from_db()
    assert (marked.labels_given, marked.open_slots, marked.completions.get().source) == (1, 0, "model")
    with pytest.raises(completing.NothingToDo, match="has 3 solutions already"):
        completing.queue_run(traces, registered["small"], 3, SAMPLING, alice)


def test_a_solution_that_is_there_already_is_said_to_be_missing(registered, traces, make_prompt, alice):
    """At temperature 0 a model says the same twice."""
    make_prompt("One?", completions=(), project=traces)
    run = completing.queue_run(traces, registered["small"], 2, {"temperature": 0, "max_tokens": 24}, alice)
    completing.run_completions(run)
    run.refresh_from_db()
    assert run.status == "succeeded" and "1 problems have fewer solutions" in run.message
    assert [p.have for p in completing.problems(traces)] == [1]


def test_the_page_says_how_many_problems_have_too_few_and_asks_for_those(
    client, traces, make_trace, make_prompt, registered, alice
):
    make_trace("One?")
    client.force_login(alice)
    page = reverse("complete", args=[traces.slug])
    assert "Every problem has a solution, 1 of them only one." in client.get(page).content.decode()
    make_prompt("Two?", completions=(), project=traces)
    assert "1 problem has no solution yet." in client.get(page).content.decode()
    asked = {"model": registered["small"].pk, "per_prompt": 1, "temperature": 1, "top_p": 1, "max_tokens": 8}
    client.post(page, asked)
    client.post(page, asked | {"per_prompt": 3})
    assert [(run.per_prompt, run.total) for run in CompletionRun.objects.order_by("pk")] == [(1, 1), (3, 2)]
