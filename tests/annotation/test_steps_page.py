"""The step page over plain HTTP: who may see it, what it shows, and forms without any script."""

import pytest
from django.urls import reverse

from annotation.leases import reserve
from annotation.models import Alternative, Completion, Draft, Lease, Project, Skip, StepLabels
from annotation.steps.labeling import submit_steps
from tests.annotation.test_leases import let_expire

JSON = {"HTTP_ACCEPT": "application/json"}
MARKS = {"step_0": "1", "step_1": "-1", "step_2": "0"}


@pytest.fixture
def page(client, traces, bob):
    client.force_login(bob)
    return reverse("steps", args=[traces.slug])


def form(trace, **more):
    lease = Lease.objects.filter(prompt=trace).first()
    return {"prompt": trace.pk, "key": lease.key if lease else "", "seconds": "3.5"} | MARKS | more


def propose(trace, **lists):
    return StepLabels.objects.create(prompt=trace, kind="verifier", source="arithmetic", **lists)


@pytest.mark.parametrize("name", ["steps", "steps_next", "steps_submit", "steps_skip", "steps_undo", "steps_draft"])
def test_an_outsider_finds_nothing(client, traces, trace, carol, name):
    client.force_login(carol)
    url = reverse(name, args=[traces.slug])
    assert client.get(url).status_code in (404, 405)
    if name not in ("steps", "steps_next"):
        assert client.post(url, {"prompt": trace.pk}).status_code == 404
    assert not Lease.objects.exists()


def test_each_kind_of_project_has_its_own_page(client, page, traces, project, trace, prompt):
    assert client.get(reverse("rank", args=[traces.slug])).url == page
    assert client.get(reverse("steps", args=[project.slug])).url == reverse("rank", args=[project.slug])
    for name in ("steps_submit", "steps_skip", "steps_draft"):
        assert client.post(reverse(name, args=[project.slug]), form(prompt, reason="other")).status_code == 404
    for name in ("rank_submit", "rank_skip", "rank_draft"):
        assert client.post(reverse(name, args=[traces.slug]), form(trace, reason="other")).status_code == 404
    assert not Draft.objects.exists()


def test_the_page_shows_problem_reference_and_the_whole_text_of_every_step(client, page, make_trace):
    long = "word " * 4000 + "end"
    make_trace("A problem", steps=("$x^2$ and `code`", long, "```python\nprint(1)\n```"), reference="**42**")
    html = client.get(page).content.decode()
    assert long in html and '<span class="math' in html and '<pre class="code">' in html
    assert '<details class="reference">' in html and "<strong>42</strong>" in html
    assert html.count('<li class="step"') == 3 and html.count(" checked") == 0, "unmarked is not neutral"


def test_proposals_show_source_certainty_and_why(client, page, traces, trace):
    traces.proposals = ["verifier:arithmetic"]
    traces.save()
    propose(trace, ratings=[None, -1], scores=[None, 0.22], notes={"1": "12 + 5 = 17, not 18"})
    html = client.get(page).content.decode()
    assert html.count('class="proposal bad"') == 1
    assert "0.22" in html and "verifier:arithmetic" in html and "12 + 5 = 17, not 18" in html
    assert "Accept the rest" in html


def test_sources_that_are_not_proposed_stay_out_of_sight(client, page, trace):
    propose(trace, ratings=[-1, -1, -1])
    html = client.get(page).content.decode()
    assert "proposal" not in html.replace('name="proposals"', "") and "Accept the rest" not in html


def test_blind_hides_who_wrote_the_solution(client, page, trace):
    Completion.objects.update(source="secret-model-7")
    assert "secret-model-7" not in client.get(page).content.decode()
    Project.objects.update(blind=False)
    assert "secret-model-7" in client.get(page).content.decode()


def test_a_plain_form_submits_and_comes_back(client, page, trace):
    client.get(page)
    response = client.post(page + "submit/", form(trace, flag_1="on", rewrite_1="12 + 5 = 17", rewrite_2=" "))
    assert (response.status_code, response.url) == (302, page)
    labels = StepLabels.objects.get()
    assert (labels.ratings, labels.flagged, labels.seconds) == ([1, -1, 0], [1], 3.5)
    assert labels.rewrites == {"1": {"text": "12 + 5 = 17", "source": ""}}


def test_errors_stand_at_their_step_and_nothing_is_lost(client, page, trace):
    client.get(page)
    sent = form(trace, comment="kept", flag_0="on", rewrite_0="Better") | {"step_1": ""}
    response = client.post(page + "submit/", sent)
    html = response.content.decode()
    assert response.status_code == 422
    assert "Step 2 is not marked." in html and "kept</textarea>" in html and "Better</textarea>" in html
    assert html.count(" checked") == 3, "two marks and a flag"
    assert client.post(page + "submit/", sent, **JSON).json()["errors"] == {"step_1": "Step 2 is not marked."}


@pytest.mark.parametrize("bad", [{"step_0": "2"}, {"step_9": "1"}, {"flag_7": "on"}, {"gave_up": "bored"}])
def test_what_the_page_never_sends_is_refused_with_a_sentence(client, page, trace, bad):
    client.get(page)
    response = client.post(page + "submit/", form(trace) | bad, **JSON)
    assert response.status_code == 422 and response.json()["detail"]
    assert not StepLabels.objects.exists()


def test_fields_that_are_no_steps_are_passed_over(client, page, trace):
    client.get(page)
    odd = {"step_x": "1", "step_": "1", "step_²": "1", "flag_x": "on", "rewrite_99999999": "x", "proposals": "a,9"}
    assert client.post(page + "submit/", form(trace) | odd, **JSON).status_code == 200


@pytest.mark.parametrize("ended", [{"gave_up": "too_hard"}, {"bad_problem": "reference"}])
def test_giving_up_and_a_bad_problem_are_labels_of_their_own(client, page, trace, ended):
    client.get(page)
    client.post(page + "submit/", {"prompt": trace.pk, "step_0": "1"} | ended)
    labels = StepLabels.objects.get()
    assert labels.ratings == [1]
    assert {name: getattr(labels, name) for name in ended} == ended
    html = client.post(page + "undo/", follow=True).content.decode()
    assert "Before, you said:" in html and html.count(" checked") == 1


def test_submitting_twice_gives_one_label(client, page, trace):
    client.get(page)
    sent = form(trace)
    first, second = (client.post(page + "submit/", sent, **JSON).json() for _ in range(2))
    assert (first["again"], second["again"]) == (False, True)
    assert first["labels"] == second["labels"]


def test_too_late_is_said_plainly(client, page, traces, trace, alice, bob):
    client.get(page)
    sent = form(trace)
    let_expire()
    submit_steps(reserve(traces, alice).prompt, alice, {"ratings": [1, 1, 1]})
    assert client.post(page + "submit/", sent, **JSON).status_code == 409
    assert "Yours is kept as a draft." in client.post(page + "submit/", sent, follow=True).content.decode()
    assert Draft.objects.get(labeler=bob).data["ratings"] == [1, -1, 0]


def test_skip_undo_and_draft_work_as_plain_forms(client, page, make_trace):
    first, second = make_trace("First problem"), make_trace("Second problem")
    assert "First problem" in client.get(page).content.decode()
    skipped = client.post(page + "skip/", form(first, reason="language"), follow=True)
    assert "Second problem" in skipped.content.decode()
    undone = client.post(page + "undo/", form(second, comment="later"), follow=True)
    assert "First problem" in undone.content.decode()
    assert Draft.objects.get(prompt=second).data["comment"] == "later"
    assert not Skip.objects.exists()
    assert client.post(page + "draft/", form(first, comment="note")).status_code == 204
    html = client.get(page).content.decode()
    assert "note</textarea>" in html and html.count(" checked") == 3


def test_five_hundred_steps_are_one_form(client, page, make_trace):
    trace = make_trace("Long", steps=[f"Step {n}" for n in range(500)])
    html = client.get(page).content.decode()
    assert html.count('<li class="step"') == 500 and "many" in html
    marks = {f"step_{n}": "1" for n in range(500)} | {f"rewrite_{n}": "" for n in range(500)}
    sent = {"prompt": trace.pk} | marks | {f"flag_{n}": "on" for n in range(500)}
    assert client.post(page + "submit/", sent, **JSON).status_code == 200
    assert len(StepLabels.objects.get().ratings) == 500


def test_a_fragment_asks_the_database_little(client, page, make_trace, django_assert_max_num_queries):
    first, _second = make_trace("First problem"), make_trace("Second problem")
    client.get(page)
    with django_assert_max_num_queries(16):
        html = client.get(page + "next/", {"besides": [first.pk, "x"]}).content.decode()
    assert "Second problem" in html and "<html" not in html
    with django_assert_max_num_queries(20):
        client.post(page + "submit/", form(first), **JSON)


def test_an_empty_page_says_why(client, page, traces, make_prompt):
    assert "nothing to mark" in client.get(page).content.decode()
    make_prompt("Alone", completions=(), project=traces)
    assert "Waiting for solutions" in client.get(page).content.decode()
    assert "no solution in steps yet" in client.get(page + "next/").content.decode()


def test_alternatives_are_offered_with_who_wrote_them(client, page, trace):
    Alternative.objects.create(completion=trace.completions.get(), step=1, text="12 + 5 = 17", source="starter v1")
    html = client.get(page).content.decode()
    assert "12 + 5 = 17</span>" in html and "starter v1" in html


def test_pages_are_not_cached(client, page, trace):
    assert "no-store" in client.get(page)["Cache-Control"]
    assert "no-store" in client.get(page + "next/")["Cache-Control"]
