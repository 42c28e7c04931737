"""One trace with what everybody says of it, taking labels back, and moving its cuts while nobody has labeled it."""

import pytest
from django.urls import reverse
from django.utils import timezone

from annotation.importing.ingest import import_path
from annotation.models import Draft, Prompt, StepLabels, Tally, fingerprint
from tests.annotation.traces import steps_project, write

pytestmark = pytest.mark.django_db
TEXT = "One is 1.\nTwo is 2.\n\nSo 3 <i>in all</i>."


@pytest.fixture
def sums(alice, bob):
    return steps_project(alice, bob)


@pytest.fixture
def trace(sums, tmp_path):
    """A solution cut at its blank line into two steps."""
    import_path(sums, write(tmp_path, {"problem": "1 + 2?", "completion": TEXT, "reference": "3"}))
    return sums.prompts.get()


@pytest.fixture
def cut(client, sums, trace, alice):
    client.force_login(alice)
    return reverse("cut", args=[sums.slug, trace.pk])


def steps_of(prompt):
    return prompt.completions.get().steps


def test_a_reviewer_sees_each_sources_marks_beside_the_steps_and_a_labeler_only_hers(client, sums, trace, alice, bob):
    StepLabels.objects.create(
        prompt=trace, labeler=bob, ratings=[1, -1], flagged=[1], comment="Hm.", words=500, seconds=5,
        rewrites={"1": {"text": "So it is 3.", "source": ""}}, proposed={"model:prm": {"0": "accepted"}},
    )  # fmt: skip
    StepLabels.objects.create(prompt=trace, kind="model", source="prm", ratings=[1, 1], scores=[0.9, 0.6])
    address = reverse("prompt", args=[sums.slug, trace.pk])
    client.force_login(alice)
    shown = client.get(address)
    text = shown.content.decode()
    assert [[cell["mark"] for cell in row["cells"]] for row in shown.context["rows"]] == [["good"] * 2, ["bad", "good"]]
    for said in ("So it is 3.", "0.60", "model:prm", "faster than it can be read", "1 of 1 proposals accepted", "Hm."):
        assert said in text, said
    assert "&lt;i&gt;in all&lt;/i&gt;" in text and "<i>in all" not in text
    client.force_login(bob)
    own = client.get(address)
    assert [column.labels.labeler for column in own.context["columns"]] == [bob]
    assert "0.60" not in own.content.decode()


def test_other_solutions_of_the_problem_are_linked(client, sums, trace, alice, tmp_path):
    import_path(sums, write(tmp_path, {"problem": "1 + 2?", "completion": "4"}))
    client.force_login(alice)
    other = sums.prompts.exclude(pk=trace.pk).get()
    assert other.get_absolute_url() in client.get(trace.get_absolute_url()).content.decode()


def test_taking_a_labelers_labels_back_opens_their_place_and_a_machines_do_not(client, sums, trace, alice, bob):
    hers = StepLabels.objects.create(prompt=trace, labeler=bob, ratings=[1])
    machine = StepLabels.objects.create(prompt=trace, kind="model", source="prm", ratings=[1])
    Prompt.objects.filter(pk=trace.pk).update(labels_given=1, open_slots=0)
    Tally.objects.create(project=sums, labeler=bob, day=timezone.localdate(), labels=1)
    client.force_login(bob)
    assert client.post(trace.get_absolute_url(), {"delete": machine.pk}).status_code == 403
    client.force_login(alice)
    for labels, slots in ((machine, (1, 0)), (hers, (0, 1))):
        client.post(trace.get_absolute_url(), {"delete": labels.pk})
        trace.refresh_from_db()
        assert (trace.labels_given, trace.open_slots) == slots
    assert not StepLabels.objects.exists() and Tally.objects.get().labels == 0


def test_cuts_are_moved_by_lines_of_dashes(client, cut, trace):
    assert client.get(cut).context["text"] == "One is 1.\nTwo is 2.\n---\nSo 3 <i>in all</i>."
    said = "One is 1.\r\n---\r\nTwo is 2.\r\n---\r\n\r\nSo 3 <i>in all</i>."
    response = client.post(cut, {"steps": said})
    trace.refresh_from_db()
    assert response.url == trace.get_absolute_url() and steps_of(trace) == [
        "One is 1.",
        "Two is 2.",
        "So 3 <i>in all</i>.",
    ]
    assert trace.fingerprint == fingerprint([trace.messages, steps_of(trace)])
    client.post(cut, {"steps": TEXT})
    assert len(steps_of(trace)) == 1 and trace.completions.get().text == TEXT


def test_a_rule_lays_the_solution_out_anew_before_anything_is_saved(client, cut, trace):
    assert client.get(cut + "?rule=line").context["count"] == 3 and client.get(cut + "?rule=x").context["count"] == 2
    assert len(steps_of(trace)) == 2


def test_the_text_itself_cannot_be_changed_there(client, cut, trace):
    response = client.post(cut, {"steps": TEXT.replace("2.", "5.")})
    text = response.content.decode()
    assert response.status_code == 422 and "the text differs at “5.So3" in text and "Two is 5." in text
    assert "There are no steps left" in client.post(cut, {"steps": "---"}).content.decode()
    assert len(steps_of(trace)) == 2


@pytest.mark.parametrize("why", ["labels", "draft", "alternatives", "twin"])
def test_cuts_stay_where_something_was_said_of_the_steps(client, cut, sums, trace, bob, tmp_path, why):
    if why == "labels":
        StepLabels.objects.create(prompt=trace, kind="import", source="a.jsonl", ratings=[1])
    elif why == "draft":
        Draft.objects.create(prompt=trace, labeler=bob)
    elif why == "alternatives":
        trace.completions.get().alternatives.create(step=0, text="1")
    else:
        import_path(sums, write(tmp_path, {"problem": "1 + 2?", "completion": TEXT}), {"rule": "line"})
    response = client.post(cut, {"steps": TEXT.replace("\n\n", "\n---\n").replace("1.\n", "1.\n---\n")})
    said = {
        "labels": "The labels by import:a.jsonl are for the steps as they are.",
        "draft": "Somebody is marking these steps.",
        "alternatives": "Other texts were sampled",
        "twin": "is the same solution with these cuts.",
    }
    assert response.status_code == 422 and said[why] in response.content.decode() and len(steps_of(trace)) == 2


def test_a_labeler_moves_no_cuts_and_a_problem_alone_has_none(client, cut, sums, bob, alice, tmp_path):
    import_path(sums, write(tmp_path, {"problem": "Alone?"}))
    alone = sums.prompts.get(text="Alone?")
    assert client.get(reverse("cut", args=[sums.slug, alone.pk])).status_code == 404
    assert b"No solution yet" in client.get(alone.get_absolute_url()).content
    client.force_login(bob)
    assert client.post(cut, {"steps": "One"}).status_code == 403


def test_the_table_finds_what_labelers_were_unsure_of(client, sums, trace, alice, bob):
    client.force_login(alice)
    page = reverse("prompts", args=[sums.slug]) + "?flagged=on"
    labels = StepLabels.objects.create(prompt=trace, labeler=bob, ratings=[1])
    assert client.get(page).context["page"].rows == []
    for fields in ({"flagged": [0]}, {"gave_up": "too_hard"}, {"bad_problem": "broken"}):
        StepLabels.objects.filter(pk=labels.pk).update(**{"flagged": [], "gave_up": "", "bad_problem": ""} | fields)
        assert client.get(page).context["page"].rows == [trace]
