"""The pages of machine labels: launching, refusing, proposing, stopping, comparing; and the command."""

import json
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from annotation.models import StepLabels
from training.labeling import runs
from training.models import StepLabelRun

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(traces):
    return reverse("step_labels", args=[traces.slug])


@pytest.fixture
def sources(traces):
    return reverse("step_sources", args=[traces.slug])


@pytest.fixture
def manager(client, alice):
    client.force_login(alice)
    return client


def html(response) -> str:
    return " ".join(response.content.decode().split())


def test_a_manager_launches_a_run_and_sees_it(manager, page, sums):
    assert "No run yet" in html(manager.get(page))
    assert manager.post(page, {"kind": "verifier", "verifier": "arithmetic", "which": "all"}).status_code == 302
    run = StepLabelRun.objects.get()
    assert (run.kind, run.source, run.total, run.created_by.username) == ("verifier", "arithmetic", 4, "alice")
    assert 'hx-trigger="every 2s"' in html(manager.get(page))
    runs.run_labeling(run)
    shown = html(manager.get(page))
    assert "16 steps labeled in 4 traces" in shown and "every 2s" not in shown


@pytest.mark.parametrize("kind", ["monte-carlo", "verifier", "model", "consensus"])
def test_every_kind_has_its_form(manager, page, sums, adder, kind):
    shown = html(manager.get(page, {"kind": kind}))
    assert "Label the steps" in shown and f'value="{kind}"' in shown


def test_an_unknown_kind_is_not_found(manager, page):
    assert manager.get(page, {"kind": "guess"}).status_code == 404


def test_a_wrong_setting_is_said_beside_its_field(manager, page, sums, adder):
    said = html(manager.post(page, {"kind": "monte-carlo", "model": adder.pk, "n": 1000, "which": "all"}))
    assert "less than or equal to 128" in said and not StepLabelRun.objects.exists()


def test_labels_are_replaced_only_when_that_is_said(manager, page, sums, label):
    label("verifier")
    form = {"kind": "verifier", "which": "all"}
    said = html(manager.post(page, form))
    assert "has labeled 4 traces here" in said and 'type="radio" name="again"' in said
    assert manager.post(page, form | {"again": "replace"}).status_code == 302


def test_the_cost_is_estimated_before_launch(manager, traces, sums, make_trace, adder):
    make_trace("Open", reference="")
    address = reverse("step_labels_estimate", args=[traces.slug])
    said = html(manager.get(address, {"estimate": 1, "kind": "monte-carlo", "model": adder.pk, "n": 4, "which": "all"}))
    assert "4 traces" in said and "64 completions" in said and "at most 16,384" in said
    assert "1 more cannot be labeled so: no reference answer" in said
    asked = {"estimate": 1, "kind": "model", "model": adder.pk, "which": "all", "most": 4}
    assert "20 questions" in html(manager.get(address, asked))
    assert not StepLabelRun.objects.exists()


def test_a_source_is_proposed_to_labelers_and_no_longer(manager, traces, sums, label):
    label("verifier")
    address = reverse("step_proposals", args=[traces.slug])
    manager.post(address, {"name": "verifier:arithmetic"})
    traces.refresh_from_db()
    assert traces.proposals == ["verifier:arithmetic"]
    manager.post(address, {"name": "model:nobody"})
    manager.post(address, {"name": "verifier:arithmetic", "from": "sources"})
    traces.refresh_from_db()
    assert traces.proposals == []


def test_a_run_is_stopped_from_its_page(manager, traces, sums, alice):
    run = runs.queue_run(traces, "verifier", None, {}, alice)
    manager.post(reverse("step_labels_cancel", args=[traces.slug, run.pk]))
    run.refresh_from_db()
    assert run.status == "cancelled"


def test_sources_are_compared_with_people(manager, sources, sums, bob, label):
    assert "Only people have labeled so far" in html(manager.get(sources))
    label("verifier")
    for trace, ratings in zip(sums, ([1, 1, -1, 1, 1], [1] * 5, [1, 1, 1, 1, 1], [1, 1, 1, 1, -1]), strict=True):
        StepLabels.objects.create(prompt=trace, labeler=bob, ratings=ratings)
    shown = html(manager.get(sources))
    assert "Against people" in shown and "94 %" in shown, "15 of 16 steps on the same side"
    assert "people with verifier:arithmetic" in shown


def test_an_import_stands_in_for_people_where_there_are_none(manager, sources, sums, label):
    label("verifier")
    StepLabels.objects.create(prompt=sums[0], kind="import", source="gold", ratings=[1, 1, -1])
    assert "Against import:gold" in html(manager.get(sources))
    chosen = {"sources": ["import:gold", "verifier:arithmetic"], "truth": "import:gold"}
    shown = html(manager.get(sources, chosen))
    assert "keep a label" in shown and "Label by this consensus" in shown
    assert "Choose at least two" in html(manager.get(sources, {"sources": "import:gold"}))


def test_scores_are_drawn_against_the_truth(manager, sources, sums, bob):
    StepLabels.objects.create(prompt=sums[0], labeler=bob, ratings=[1, 1, -1])
    StepLabels.objects.create(prompt=sums[0], kind="model", source="m", ratings=[1, 1, -1], scores=[0.9, 0.8, 0.3])
    shown = html(manager.get(sources))
    assert shown.count("steps are good</title>") == 3 and "Are the scores honest?" in shown


def test_only_managers_launch_and_only_reviewers_compare(client, bob, carol, page, sources, sums):
    client.force_login(bob)
    assert client.get(page).status_code == client.get(sources).status_code == 403
    client.force_login(carol)
    assert client.get(page).status_code == client.get(sources).status_code == 404


def test_a_project_of_rankings_has_no_such_pages(manager, project):
    for name in ("step_labels", "step_sources", "step_labels_estimate"):
        assert manager.get(reverse(name, args=[project.slug])).status_code == 404


def said_by(*arguments, **options) -> dict:
    out = StringIO()
    call_command("label", *arguments, json=True, user="alice", stdout=out, stderr=StringIO(), **options)
    return json.loads(out.getvalue())


def test_the_command_labels_here_and_now(traces, sums, adder):
    assert said_by(traces.slug, "monte-carlo", model="adder-v1", set=["n=4"], estimate=True)["completions"] == 64
    done = said_by(traces.slug, "monte-carlo", model="adder-v1", set=["n=4", "search=bisect"], wait=True)
    assert (done["status"], done["source"], done["done"]) == ("succeeded", "monte-carlo:adder-v1", 4)
    assert said_by(traces.slug, "verifier")["status"] == "queued"


def test_the_command_says_what_is_wrong(traces, sums, alice):
    with pytest.raises(CommandError, match="Choose the model that finishes"):
        said_by(traces.slug, "monte-carlo")
    with pytest.raises(CommandError, match="NAME=VALUE"):
        said_by(traces.slug, "verifier", set=["n"])


def test_text_of_others_is_shown_as_text(manager, page, sources, traces, sums, bob, alice):
    """Names of sources, notes and messages come from files and models."""
    evil = "<script>alert(1)</script>"
    StepLabels.objects.create(prompt=sums[0], kind="import", source=evil, ratings=[1], scores=[0.5])
    StepLabels.objects.create(prompt=sums[0], labeler=bob, ratings=[1])
    StepLabelRun.objects.create(
        project=traces, kind="model", source=evil, status="failed", message=evil, settings={"system": evil},
        report={"left_out": {evil: 1}, "unsaid": {evil: 1}, "labeled": 1, "cost": {}}, total=1, created_by=alice,
    )  # fmt: skip
    chosen = {"sources": [f"import:{evil}", "model:x"], "truth": evil}
    shown = [manager.get(page), manager.get(page, {"kind": "consensus"}), manager.get(sources, chosen)]
    assert all(evil not in html(answer) and "alert(1)" in html(answer) for answer in shown)
