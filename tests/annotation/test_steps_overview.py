"""A project of steps on its pages: who reads, who only accepts, and one trace with every source side by side."""

import re

import pytest
from django.urls import reverse

from annotation.models import Alternative, Membership, Prompt, StepLabels, Tally
from annotation.steps.labeling import submit_steps
from annotation.steps.overview import paces
from tests.annotation.test_prompts_table import listed

pytestmark = pytest.mark.django_db
LONG = [" ".join(["word"] * 50)] * 3


@pytest.fixture
def machine(traces):
    def machine(trace, kind="verifier", source="arithmetic", **lists):
        return StepLabels.objects.create(prompt=trace, kind=kind, source=source, **lists)

    return machine


@pytest.fixture
def worked(traces, make_trace, machine, alice, bob):
    """Alice reads two long traces; bob accepts what is proposed, in a second each. One trace is short."""
    found = [make_trace(f"Problem {n}", steps=LONG if n < 2 else ("a", "b", "c"), wanted=2) for n in range(3)]
    for n, trace in enumerate(found):
        shown = [machine(trace, ratings=[1, 1, -1]).pk]
        submit_steps(trace, alice, {"ratings": [1, -1, 1] if n else [1, 1, 1], "seconds": 90, "proposals": shown})
        submit_steps(trace, bob, {"ratings": [1, 1, -1], "seconds": 1.5, "proposals": shown})
    return found


def test_a_long_trace_marked_faster_than_it_can_be_read_is_seen(traces, worked, alice, bob):
    found = paces(traces, [alice.pk, bob.pk])
    assert (found[alice.pk].hasty, found[bob.pk].hasty, found[bob.pk].long) == (0, 2, 2)
    assert (found[alice.pk].seconds, found[bob.pk].seconds) == (30, 0.5)
    assert (found[alice.pk].accepted_share, found[bob.pk].accepted_share) == (pytest.approx(4 / 9), 1)


def test_the_manager_reads_who_only_accepts_and_finds_those_traces(client, traces, worked, alice, bob):
    client.force_login(alice)
    page = reverse("project", args=[traces.slug])
    html = client.get(page + "?agreement").content.decode()
    assert "marked faster than they can be read" in html
    assert "2 of 2 long traces" in html and "100 % of the proposals accepted unchanged" in html
    address = reverse("prompts", args=[traces.slug])
    assert f"?labeler={bob.pk}&amp;hasty=on" in html
    assert listed(client, address, labeler=bob.pk, hasty="on") == ["Problem 0", "Problem 1"]
    assert listed(client, address, labeler=alice.pk, hasty="on") == []
    fragment = client.get(page + "?agreement", headers={"HX-Request": "true"}).content.decode()
    assert "<html" not in fragment and "2 of 2 long traces" in fragment
    assert 'hx-trigger="load"' in client.get(page).content.decode()


def test_agreement_is_shown_with_what_it_rests_on(client, traces, make_trace, machine, alice, bob):
    """Between people, and with each machine that labeled what people marked; the others are named."""
    for n in range(6):
        trace = make_trace(f"Problem {n}", wanted=2)
        submit_steps(trace, alice, {"ratings": [1, -1 if n else 1, 1]})
        submit_steps(trace, bob, {"ratings": [1, -1, 1] if n > 1 else [1, 1, 1]})
        machine(trace, ratings=[1, -1, 1])
    machine(make_trace("Alone"), kind="model", source="prm-v1", ratings=[1, 1, 1])
    client.force_login(alice)
    html = client.get(reverse("project", args=[traces.slug]) + "?agreement").content.decode()
    rows = [" ".join(re.sub("<[^>]+>", " ", row).split()) for row in re.findall("<tr>.*?</tr>", html, re.S)]
    people, verifier = (
        next(row for row in rows if row.startswith(name)) for name in ("people with e", "people with v")
    )
    assert people.startswith("people with each other 94 % 18 steps, 6 traces 0.86 0.48 to 1.00")
    assert "83 % 6 traces" in people and people.count(" to ") == 2
    assert verifier.startswith("people with verifier:arithmetic 92 % 36 steps, 6 traces")
    assert "model:prm-v1 and people have no trace in common yet" in html


def test_without_two_opinions_of_a_trace_agreement_is_not_known_and_the_manager_is_told_why(
    client, traces, trace, alice
):
    client.force_login(alice)
    html = client.get(reverse("project", args=[traces.slug]) + "?agreement").content.decode()
    assert "No two people have marked the same trace yet" in html and "ask for two or more" in html


def test_a_labeler_sees_nothing_of_other_peoples_pace(client, traces, worked, bob):
    client.force_login(bob)
    html = client.get(reverse("project", args=[traces.slug]) + "?agreement").content.decode()
    assert "faster than" not in html and "alice" not in html
    form = client.get(reverse("prompts", args=[traces.slug])).context["form"]
    assert not {"labeler", "found", "hasty", "flagged"} & set(form.fields)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"found": "error"}, ["Problem 0", "Problem 1", "Problem 2"]),
        ({"found": "none"}, ["Problem 0"]),
        ({"labeler": "verifier:arithmetic"}, ["Problem 0", "Problem 1", "Problem 2"]),
        ({"labeler": "verifier:arithmetic", "found": "none"}, []),
        ({"labeler": "nobody:x"}, ["Alone", "Problem 0", "Problem 1", "Problem 2"]),
        ({"state": "waiting"}, ["Alone"]),
        ({"flagged": "on"}, ["Problem 2"]),
    ],
)
def test_traces_are_filtered_by_what_was_said(client, traces, worked, make_prompt, alice, filters, found):
    alone = make_prompt("Alone", completions=(), project=traces)
    Prompt.objects.filter(pk=alone.pk).update(open_slots=0)
    StepLabels.objects.filter(prompt=worked[2], labeler=alice).update(flagged=[1])
    client.force_login(alice)
    assert sorted(listed(client, reverse("prompts", args=[traces.slug]), **filters)) == found


def test_the_table_shows_steps_and_where_people_found_the_first_error(client, traces, worked, alice):
    client.force_login(alice)
    html = client.get(reverse("prompts", args=[traces.slug])).content.decode()
    assert "none, step 3" in html and "step 2, step 3" in html and html.count("differ</span>") == 3


def test_a_trace_has_a_column_a_source_with_scores_notes_and_better_steps(client, traces, trace, machine, alice, bob):
    machine(trace, ratings=[1, -1], notes={"1": "12 + 5 = 17, not 18"})
    machine(trace, "monte-carlo", "starter-v1", scores=[0.9, 0.25, None], errors=[0.1, 0.15, None])
    Alternative.objects.create(completion=trace.completions.get(), step=2, text="The answer is 17.", source="prm")
    said = {"ratings": [1, -1, 0], "flagged": [1], "rewrites": {"1": "12 + 5 = 17"}, "comment": "off by one"}
    submit_steps(trace, bob, said)
    client.force_login(alice)
    answer = client.get(trace.get_absolute_url())
    assert [column.labels.name for column in answer.context["columns"]] == [
        "bob",
        "monte-carlo:starter-v1",
        "verifier:arithmetic",
    ]
    assert [column.first_error for column in answer.context["columns"]] == [2, 2, 2]
    html = answer.content.decode()
    for text in ("12 + 5 = 17, not 18", "0.25", "± 0.15", "written by a labeler", "off by one", "The answer is 17."):
        assert text in html
    assert html.count('<span class="badge warn">unsure</span>') == 1


def test_a_labeler_sees_her_own_labels_alone_and_deletes_nothing(client, traces, make_trace, machine, alice, bob):
    trace = make_trace(wanted=2)
    machine(trace, ratings=[1, -1])
    theirs = submit_steps(trace, alice, {"ratings": [1, 1, 1]}).labels
    client.force_login(bob)
    answer = client.get(trace.get_absolute_url())
    assert answer.context["columns"] == [] and "alice" not in answer.content.decode()
    assert client.post(trace.get_absolute_url(), {"delete": theirs.pk}).status_code == 403


def test_deleting_labels_opens_their_place_unless_a_machine_gave_them(client, traces, trace, machine, alice, bob):
    labels, of_machine = submit_steps(trace, bob, {"ratings": [1, 1, 1]}).labels, machine(trace, ratings=[1])
    client.force_login(alice)
    page = client.post(trace.get_absolute_url(), {"delete": of_machine.pk}, follow=True).content.decode()
    assert "labels are deleted." in page
    page = client.post(trace.get_absolute_url(), {"delete": labels.pk}, follow=True).content.decode()
    assert "labels are deleted and its place is open again." in page
    trace.refresh_from_db()
    assert (trace.labels_given, trace.open_slots) == (0, 1)
    assert not Tally.objects.filter(labels__gt=0).exists()


def test_pages_of_a_steps_project_speak_of_traces(client, traces, trace, alice):
    client.force_login(alice)
    home = client.get(reverse("home")).content.decode()
    assert "Go on marking the steps of Sound steps" in home and "1 trace waits" in home
    project = client.get(reverse("project", args=[traces.slug])).content.decode()
    assert "Mark steps</a>" in project and ">Traces</a>" in project
    assert reverse("steps", args=[traces.slug]) in client.get(reverse("projects")).content.decode()


def test_nothing_can_be_frozen_before_there_is_a_label(client, traces, project, trace, prompt, alice, machine):
    client.force_login(alice)
    for one in (traces, project):
        link = f'href="{reverse("dataset_new", args=[one.slug])}"'
        assert link not in client.get(reverse("project", args=[one.slug])).content.decode()
    assert "disabled>Freeze</button>" in client.get(reverse("dataset_new", args=[project.slug])).content.decode()
    machine(trace, ratings=[1])
    link = f'href="{reverse("dataset_new", args=[traces.slug])}"'
    assert link in client.get(reverse("project", args=[traces.slug])).content.decode()


def test_the_page_of_a_trace_asks_little_however_many_sources(
    client, traces, make_trace, machine, alice, django_assert_max_num_queries
):
    trace = make_trace()
    for n in range(20):
        machine(trace, "model", f"m{n}", ratings=[1, 1, 1])
    client.force_login(alice)
    with django_assert_max_num_queries(14):
        client.get(trace.get_absolute_url())
    assert Membership.objects.filter(project=traces).count() == 2
