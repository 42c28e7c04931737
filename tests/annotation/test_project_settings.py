"""Making a project and changing it: criteria, guidelines, and how many labels prompts want."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.counters import want_labels
from annotation.models import Lease, Membership, Project, Prompt, Ranking, StepLabels
from studio.celery import app as celery_app


def form(project=None, **changes) -> dict:
    rows = list(project.criteria.all()) if project else []
    data = {
        "name": project.name if project else "Tone of mails",
        "description": "",
        "guidelines": "# How",
        "kind": "ranking",
        "labels_wanted": project.labels_wanted if project else 2,
        "criteria-TOTAL_FORMS": len(rows) + 2,
        "criteria-INITIAL_FORMS": len(rows),
    }
    for n, row in enumerate(rows):
        data |= {f"criteria-{n}-id": row.pk, f"criteria-{n}-name": row.name}
    return data | changes


@pytest.fixture
def settings_page(project):
    return reverse("project_settings", args=[project.slug])


def test_whoever_makes_a_project_manages_it(client, alice, project):
    client.force_login(alice)
    client.post(reverse("project_new"), form(**{"criteria-0-name": "Kind", "criteria-0-description": "Not groveling"}))
    made = Project.objects.get(name="Tone of mails")
    assert made.role_of(alice) == "manager" and made.labels_wanted == 2
    assert [c.name for c in made.criteria.all()] == ["Kind"]


def test_a_labeler_cannot_make_projects_and_is_told_whom_to_ask(client, bob, project):
    client.force_login(bob)
    answer = client.post(reverse("project_new"), form())
    assert answer.status_code == 403 and "Ask one of them" in answer.content.decode()
    assert Project.objects.count() == 1


def test_staff_make_projects_without_managing_one(client, carol):
    carol.is_staff = True
    carol.save()
    client.force_login(carol)
    assert client.post(reverse("project_new"), form()).status_code == 302


def test_a_project_called_new_does_not_hide_behind_the_page_that_makes_projects(client, alice, project):
    client.force_login(alice)
    answer = client.post(reverse("project_new"), form(name="New"))
    assert answer.url == "/projects/new-2/" and client.get(answer.url).status_code == 200


def test_a_project_needs_a_name_and_at_least_one_label(client, alice, project, settings_page):
    client.force_login(alice)
    html = client.post(settings_page, form(project, name=" ", labels_wanted=0)).content.decode()
    assert "Not saved." in html and html.count('class="error"') >= 2
    project.refresh_from_db()
    assert project.name == "Helpful answers"


def test_two_criteria_of_one_name_are_refused(client, alice, project, settings_page):
    client.force_login(alice)
    html = client.post(
        settings_page, form(project, **{"criteria-0-name": "Honest", "criteria-1-name": "Honest"})
    ).content.decode()
    assert "Not saved." in html and not project.criteria.exists()


def test_a_criterion_another_tab_has_added_meanwhile_is_refused(client, alice, project, settings_page):
    client.force_login(alice)
    stale = form(project, **{"criteria-0-name": "Honest"})
    client.post(settings_page, stale)
    html = client.post(settings_page, stale).content.decode()
    assert "Another criterion has this name." in html and project.criteria.count() == 1
    fresh = form(project, **{"criteria-0-DELETE": "on", "criteria-1-name": "Honest"})
    assert client.post(settings_page, fresh).status_code == 302
    assert [c.name for c in project.criteria.all()] == ["Honest"]


def test_guidelines_are_previewed_as_they_will_be_read(client, alice, settings_page):
    client.force_login(alice)
    html = client.post(settings_page + "?preview", {"guidelines": "**bold** <script>x</script>"}).content.decode()
    assert "<strong>bold</strong>" in html and "<script>" not in html


def test_what_is_asked_cannot_change_once_a_project_stands(client, alice, project, settings_page):
    client.force_login(alice)
    client.post(settings_page, form(project, kind="steps"))
    project.refresh_from_db()
    assert project.kind == "ranking"


@pytest.fixture
def eager():
    """Tasks run where they are sent."""
    celery_app.conf.task_always_eager = True
    yield
    celery_app.conf.task_always_eager = False


def want(project, labels: int) -> None:
    project.labels_wanted = labels
    want_labels(project)


def counters(prompt) -> tuple[int, int, int]:
    prompt.refresh_from_db()
    return prompt.labels_wanted, prompt.labels_given, prompt.open_slots


def test_more_labels_wanted_open_slots_on_every_prompt(client, alice, bob, project, make_prompt, settings_page):
    fresh, done = make_prompt("fresh"), make_prompt("done")
    Prompt.objects.filter(pk=done.pk).update(labels_given=1, open_slots=0)
    client.force_login(alice)
    client.post(settings_page, form(project, labels_wanted=3))
    assert counters(fresh) == (3, 0, 3) and counters(done) == (3, 1, 2)


def test_fewer_labels_wanted_never_go_below_those_given_or_reserved(project, make_prompt, bob):
    given, leased, fresh = (make_prompt(name, wanted=3) for name in ("given", "leased", "fresh"))
    Prompt.objects.filter(pk=given.pk).update(labels_given=2, open_slots=1)
    Prompt.objects.filter(pk=leased.pk).update(open_slots=2)
    Lease.objects.create(prompt=leased, labeler=bob, expires=timezone.now() + timedelta(minutes=5))
    want(project, 1)
    assert counters(given) == (2, 2, 0)
    assert counters(leased) == (1, 0, 0)
    assert counters(fresh) == (1, 0, 1)


def test_a_leased_prompt_gains_only_what_is_not_reserved(project, make_prompt, bob):
    leased = make_prompt("leased")
    Prompt.objects.filter(pk=leased.pk).update(open_slots=0)
    Lease.objects.create(prompt=leased, labeler=bob, expires=timezone.now() + timedelta(minutes=5))
    want(project, 3)
    assert counters(leased) == (3, 0, 2)


def test_prompts_that_wait_for_completions_stay_closed(project, make_prompt):
    waiting = make_prompt("waiting", completions=("only one",))
    Prompt.objects.filter(pk=waiting.pk).update(open_slots=0)
    want(project, 4)
    assert counters(waiting) == (4, 0, 0)
    want(project, 2)
    assert counters(waiting) == (2, 0, 0)


def test_a_vote_of_a_comparison_stays_one_persons(project, make_prompt):
    vote = make_prompt("vote", origin="comparison")
    Prompt.objects.filter(pk=vote.pk).update(labels_given=1, open_slots=0)
    want(project, 3)
    assert counters(vote) == (1, 1, 0)


def test_other_projects_keep_their_wishes(project, make_prompt):
    other = make_prompt("other", project=Project.objects.create(name="Other"))
    want(project, 5)
    assert counters(other) == (1, 0, 1)


def test_a_large_project_is_changed_in_batches_by_a_worker(
    client, alice, project, make_prompt, settings_page, monkeypatch, eager, django_capture_on_commit_callbacks
):
    from annotation import counters as module
    from annotation.views import projects

    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(projects, "BATCH", 2)
    prompts = [make_prompt(f"Question {n}") for n in range(5)]
    client.force_login(alice)
    with django_capture_on_commit_callbacks(execute=True):
        html = client.post(settings_page, form(project, labels_wanted=3), follow=True).content.decode()
    assert "A worker brings the prompts in line" in html
    assert [counters(prompt) for prompt in prompts] == [(3, 0, 3)] * 5


def test_wanting_the_same_again_changes_nothing(project, make_prompt):
    prompt = make_prompt()
    want(project, 2)
    want(project, 2)
    assert counters(prompt) == (2, 0, 2)


def test_only_an_empty_project_can_be_deleted(client, alice, project, make_prompt, settings_page):
    prompt = make_prompt()
    client.force_login(alice)
    client.post(settings_page, {"delete": "1"})
    assert Project.objects.filter(pk=project.pk).exists()
    prompt.delete()
    client.post(settings_page, {"delete": "1"})
    assert not Project.objects.filter(pk=project.pk).exists()


def test_an_unchanged_wish_touches_no_prompt(client, alice, bob, project, make_prompt, settings_page):
    prompt = make_prompt(wanted=2)  # a prompt may want more than its project asks by default
    Ranking.objects.create(prompt=prompt, labeler=bob)
    client.force_login(alice)
    client.post(settings_page, form(project, name="Renamed"))
    assert counters(prompt) == (2, 0, 2)
    assert Membership.objects.filter(project=project).count() == 2


def test_a_steps_project_is_made_with_its_own_settings(client, alice, project):
    client.force_login(alice)
    steps = {"kind": "steps", "stop_at_first_bad": "on", "split_rule": "line"}
    made = Project.objects.get(slug=client.post(reverse("project_new"), form(name="Traces") | steps).url.split("/")[2])
    assert (made.kind, made.stop_at_first_bad, made.split_rule, made.proposals) == ("steps", True, "line", [])


def test_settings_show_what_applies_to_the_kind_alone(client, alice, project, traces):
    client.force_login(alice)
    of_traces = client.get(reverse("project_settings", args=[traces.slug])).content.decode()
    of_rankings = client.get(reverse("project_settings", args=[project.slug])).content.decode()
    for field in ("allow_ties", "ask_ratings"):
        assert f'name="{field}"' in of_rankings and f'name="{field}"' not in of_traces
    for field in ("stop_at_first_bad", "split_rule"):
        assert f'name="{field}"' in of_traces and f'name="{field}"' not in of_rankings


def test_the_sources_a_page_proposes_are_those_that_labeled_here(client, alice, traces, trace):
    client.force_login(alice)
    page = reverse("project_settings", args=[traces.slug])
    assert "No machine has labeled steps here yet" in client.get(page).content.decode()
    StepLabels.objects.create(prompt=trace, kind="verifier", source="arithmetic", ratings=[1])
    assert 'value="verifier:arithmetic"' in client.get(page).content.decode()
    sent = form(traces) | {"proposals": ["verifier:arithmetic"], "split_rule": "blank_line"}
    assert client.post(page, sent).status_code == 302
    traces.refresh_from_db()
    assert traces.proposals == ["verifier:arithmetic"]
    refused = client.post(page, sent | {"proposals": ["model:invented"]})
    assert refused.status_code == 200 and "not one of the available choices" in refused.content.decode()
    StepLabels.objects.all().delete()
    assert 'value="verifier:arithmetic"' in client.get(page).content.decode(), "still chosen, so still there to untick"
